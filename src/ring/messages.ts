import { MeshError } from "../base/errors.ts";
import { Atom, atom, decode, encode } from "../etf/index.ts";

/*
 * LINK_USE (0x24), over the link that it is about: one atom with its version byte.
 *
 *   wanted     the sender needs the link
 *   unwanted   it does not, and leaves the link to the receiver
 *   refused    it has more links of others than it can bear: the receiver should take another node
 */
export type LinkUse = "wanted" | "unwanted" | "refused";

const known: readonly string[] = ["wanted", "unwanted", "refused"];

export function encodeLinkUse(use: LinkUse): Uint8Array<ArrayBuffer> {
  return encode(atom(use));
}

/** @throws MeshError `DECODE` for anything else. */
export function decodeLinkUse(payload: Uint8Array): LinkUse {
  const term = decode(payload);
  if (term instanceof Atom && known.includes(term.name)) return term.name as LinkUse;
  throw new MeshError("DECODE", "a LINK_USE is one of the atoms wanted, unwanted, refused");
}
