import { MeshError } from "../base/errors.ts";
import { Atom, atom, decode, encode } from "../etf/index.ts";

/*
 * RETIRE (0x2D), on the control stream before its end: nobody needs the link. One atom with its version byte.
 *
 *   asked     the sender's lanes are finished
 *   all_read  and it has read all of the receiver's to their ends
 */

export function encodeRetire(readAll: boolean): Uint8Array {
  return encode(atom(readAll ? "all_read" : "asked"));
}

/** Whether the sender has read everything. @throws MeshError `DECODE` for anything else. */
export function decodeRetire(payload: Uint8Array): boolean {
  const term = decode(payload);
  if (term instanceof Atom && (term.name === "asked" || term.name === "all_read"))
    return term.name === "all_read";
  throw new MeshError("DECODE", "a RETIRE is one of the atoms asked, all_read");
}
