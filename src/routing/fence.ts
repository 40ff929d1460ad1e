import { MeshError } from "../base/errors.ts";
import { Atom, atom, decode, encode, Tuple, tuple } from "../etf/index.ts";

/*
 * FENCE (0x2A), over a link, before the first signal that takes it instead of a channel:
 *
 *   {fence, Token}    all that the sender sent through a channel was delivered or is given up: deliver nothing of it any more
 *   {fenced, Token}   so it is
 *
 * Token: an integer of 32 bits, repeated.
 */
export interface Fence {
  readonly type: "fence" | "fenced";
  readonly token: number;
}

export function encodeFence({ type, token }: Fence): Uint8Array<ArrayBuffer> {
  return encode(tuple(atom(type), token));
}

/** @throws MeshError `DECODE` for anything else. */
export function decodeFence(payload: Uint8Array): Fence {
  const term = decode(payload);
  if (term instanceof Tuple && term.length === 2) {
    const [type, token] = term.elements;
    const name = type instanceof Atom ? type.name : undefined;
    const whole = typeof token === "number" && Number.isInteger(token) && token >= 0 && token <= 0xffff_ffff;
    if ((name === "fence" || name === "fenced") && whole) return { type: name, token };
  }
  throw new MeshError("DECODE", "a FENCE is {fence, Token} or {fenced, Token}");
}
