import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";

const sequence = 0x30;
const explicitVersion = 0xa0;

/**
 * The SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1), DER with its header: a view of `certificate`.
 *
 * Nothing is checked but lengths: the engine has verified the certificate, and whoever uses this compares the hash with
 * the node id it found. A full X.509 parser takes half a millisecond for each link.
 *
 * @throws MeshError `DECODE` when it is not a certificate.
 */
export function subjectPublicKeyInfo(certificate: Uint8Array): Uint8Array {
  const fields = enter(enter(new Reader(certificate)));
  // version, which may be left out; then serialNumber, signature, issuer, validity, subject.
  if (fields.bytes[0] === explicitVersion) skip(fields);
  for (let field = 0; field < 5; field++) skip(fields);
  const start = fields.offset;
  if (fields.u8() !== sequence) throw fields.error("no public key");
  fields.view(length(fields));
  return fields.bytes.subarray(start, fields.offset);
}

/** The contents of the sequence at the cursor. */
function enter(reader: Reader): Reader {
  if (reader.u8() !== sequence) throw reader.error("a sequence expected");
  return new Reader(reader.view(length(reader)));
}

function skip(reader: Reader): void {
  reader.u8();
  reader.view(length(reader));
}

/** Length octets, X.690 §8.1.3; up to 16 MiB. */
function length(reader: Reader): number {
  const first = reader.u8();
  if (first < 0x80) return first;
  const octets = first & 0x7f;
  if (octets === 0 || octets > 3) throw new MeshError("DECODE", `a length of ${octets} octets`);
  let value = 0;
  for (let octet = 0; octet < octets; octet++) value = value * 256 + reader.u8();
  return value;
}
