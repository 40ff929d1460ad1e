import { unzlibSync, zlibSync } from "fflate";
import { concat } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";

/** Tag, length after inflation u32. */
const headerBytes = 5;

/**
 * The compressed form of an encoded term: `80 | length after inflation u32 | zlib`; or the term as it is, when that is
 * no longer.
 */
export function compress(term: Uint8Array<ArrayBuffer>, level: number): Uint8Array<ArrayBuffer> {
  const packed = zlibSync(term, { level: level as 6 });
  if (headerBytes + packed.length >= term.length) return term;
  const header = new Uint8Array(headerBytes);
  header[0] = 80;
  new DataView(header.buffer).setUint32(1, term.length);
  return concat([header, packed]);
}

/**
 * What `packed` (zlib) inflates to, which must be exactly `length` bytes.
 * @throws MeshError `DECODE`, before anything is allocated for a length that zlib cannot reach.
 */
export function inflate(packed: Uint8Array, length: number): Uint8Array {
  // Deflate packs at most 1032 to 1. Threat: a few bytes that claim gigabytes.
  if (length > packed.length * 1_032) {
    throw new MeshError("DECODE", `${packed.length} compressed bytes cannot inflate to ${length}`);
  }
  // One byte more than claimed, so that a stream that holds more is noticed; fflate drops what does not fit.
  const inflated = unzlib(packed, new Uint8Array(length + 1));
  if (inflated.length !== length) {
    throw new MeshError("DECODE", `compressed term does not inflate to ${length} bytes as it says`);
  }
  if (adler32(inflated) !== checksum(packed)) {
    throw new MeshError("DECODE", "compressed term with a wrong checksum");
  }
  return inflated;
}

function unzlib(packed: Uint8Array, out: Uint8Array): Uint8Array {
  try {
    return unzlibSync(packed, { out });
  } catch (cause) {
    throw new MeshError("DECODE", "compressed term is not well-formed zlib", { cause });
  }
}

/** The last four bytes, RFC 1950 §2.2. fflate does not look at them. */
function checksum(packed: Uint8Array): number {
  return new DataView(packed.buffer, packed.byteOffset, packed.length).getUint32(packed.length - 4);
}

/** RFC 1950 §8.2. */
function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let start = 0; start < bytes.length; start += 3_800) {
    // 3800 additions fit 32 bits, so the remainder can wait.
    const end = Math.min(start + 3_800, bytes.length);
    for (let index = start; index < end; index++) {
      a += bytes[index] as number;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return ((b << 16) | a) >>> 0;
}
