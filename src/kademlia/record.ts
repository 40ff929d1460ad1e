import { compare, concat } from "../base/bytes.ts";
import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import type { Point } from "../base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";
import { base32Bytes, utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";

/*
 * A directory record. Packed, because it is signed: what is signed must have one form only.
 *
 *   kind u8 | key 32 | sequence u64 | issued u64 | ttl u32
 *   | length u16, public key (SubjectPublicKeyInfo) | length u16, value | signature 64
 *
 * The signature, ECDSA P-256 with SHA-256, r ‖ s, covers "macula/1.0 directory record" 00 and all that precedes it.
 */

const prefix = utf8("macula/1.0 directory record\0");
const signatureBytes = 64;
const publicKeyBytesMax = 256;

/** Longest value, bytes. */
export const valueBytesMax = 1_024;
/** Longest life of a record, milliseconds: a day. */
export const ttlMsMax = 86_400_000;
/** Longest record, bytes. */
export const recordBytesMax = 53 + 2 + publicKeyBytesMax + 2 + valueBytesMax + signatureBytes;

/** What one node says under one key; immutable, its signature checked. */
export interface DirectoryRecord {
  /** What it is about: names, topics, procedures; 0 … 255. */
  readonly kind: number;
  readonly key: Point;
  /** Whose key signed it. */
  readonly owner: NodeId;
  /** Grows with each change that the owner makes, 0 … 2^53 − 1. */
  readonly sequence: number;
  /** When it was signed, milliseconds since 1970 by the owner's clock. Without it an old record could be stored for ever again. */
  readonly issuedMs: number;
  /** Milliseconds from then on that it lasts, 1 … a day. */
  readonly ttlMs: number;
  /** Empty: withdrawn. A view of `bytes`. */
  readonly value: Uint8Array;
  /** The record as it travels. */
  readonly bytes: Uint8Array;
}

/** What an owner wants to say. */
export type Claim = Pick<DirectoryRecord, "kind" | "key" | "sequence" | "issuedMs" | "ttlMs" | "value">;

/** @throws MeshError `LIMIT` when no record can be made with this: the value is too long or the time to live out of range. */
export function assertClaim(value: Uint8Array, ttlMs: number): void {
  if (value.length > valueBytesMax) {
    throw new MeshError("LIMIT", `a record holds ${valueBytesMax} bytes, not ${value.length}`);
  }
  if (!(ttlMs >= 1 && ttlMs <= ttlMsMax)) {
    throw new MeshError("LIMIT", `a record lasts 1 to ${ttlMsMax} ms, not ${ttlMs}`);
  }
}

/** @throws MeshError `LIMIT`, see `assertClaim`. */
export function signRecord(claim: Claim, publicKey: Uint8Array, crypto: CoreCrypto): DirectoryRecord {
  assertClaim(claim.value, claim.ttlMs);
  const writer = new Writer(256);
  writer.u8(claim.kind);
  writer.raw(base32Bytes(claim.key));
  writer.u64(BigInt(claim.sequence));
  writer.u64(BigInt(Math.floor(claim.issuedMs)));
  writer.u32(claim.ttlMs);
  writer.u16(publicKey.length);
  writer.raw(publicKey);
  writer.u16(claim.value.length);
  writer.raw(claim.value);
  writer.raw(crypto.sign(concat([prefix, writer.bytes()])));
  return readRecord(writer.take(), crypto);
}

/**
 * Reads a record and checks its signature. `bytes` are kept.
 * @throws MeshError `DECODE` when it is none, `PROTOCOL` when its owner did not sign it.
 */
export function readRecord(bytes: Uint8Array, crypto: CoreCrypto): DirectoryRecord {
  const reader = new Reader(bytes);
  const kind = reader.u8();
  const key = nodeIdFromBytes(reader.view(32)) as Point;
  const sequence = safe(reader);
  const issuedMs = safe(reader);
  const ttlMs = reader.u32();
  if (ttlMs < 1 || ttlMs > ttlMsMax) throw reader.error(`a record lasts 1 to ${ttlMsMax} ms, not ${ttlMs}`);
  const keyLength = reader.u16();
  if (keyLength > publicKeyBytesMax) throw reader.error(`a public key of ${keyLength} bytes`);
  const publicKey = reader.view(keyLength);
  const valueLength = reader.u16();
  if (valueLength > valueBytesMax) throw reader.error(`a value of ${valueLength} bytes`);
  const value = reader.view(valueLength);
  const signed = bytes.subarray(0, reader.offset);
  const signature = reader.view(signatureBytes);
  reader.end();
  if (!crypto.verify(publicKey, concat([prefix, signed]), signature)) {
    throw new MeshError("PROTOCOL", "a directory record that its owner did not sign");
  }
  const owner = nodeIdFromBytes(crypto.sha256(publicKey));
  return { kind, key, owner, sequence, issuedMs, ttlMs, value, bytes };
}

function safe(reader: Reader): number {
  const value = Number(reader.u64());
  if (!Number.isSafeInteger(value)) throw reader.error("a number above 2^53 − 1");
  return value;
}

/**
 * Whether `a` takes the place of `b`, a record of the same owner, kind and key. The same answer everywhere and in any
 * order of arrival, so that copies agree after a partition as well.
 */
export function supersedes(a: DirectoryRecord, b: DirectoryRecord): boolean {
  return (a.sequence - b.sequence || a.issuedMs - b.issuedMs || compare(a.bytes, b.bytes)) > 0;
}
