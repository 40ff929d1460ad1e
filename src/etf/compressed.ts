import { concat } from "../base/bytes.ts";
import { deflateZlib } from "../base/zlib.ts";

/** Tag, length after inflation u32. */
const headerBytes = 5;

/**
 * The compressed form of an encoded term: `80 | length after inflation u32 | zlib`; or the term as it is, when that is
 * no longer.
 */
export function compress(term: Uint8Array<ArrayBuffer>, level: number): Uint8Array<ArrayBuffer> {
  const packed = deflateZlib(term, level);
  if (headerBytes + packed.length >= term.length) return term;
  const header = new Uint8Array(headerBytes);
  header[0] = 80;
  new DataView(header.buffer).setUint32(1, term.length);
  return concat([header, packed]);
}
