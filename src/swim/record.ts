/*
 * A member's record, as the member itself signed it; integers big-endian:
 *
 *   state u8 (0 alive, 1 left) | incarnation u64 | key length u8, key (SubjectPublicKeyInfo)
 *   | name length u8, name | address length u8, address | metadata length u16, metadata
 *   | signature 64: ECDSA P-256 with SHA-256 over "macula member record" 00 and all before the signature
 *
 * The node id is not in it: it is the SHA-256 of the key.
 */
import { concat, equal } from "../base/bytes.ts";
import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { canonicalNodeName } from "../base/node-name.ts";
import { Reader } from "../base/reader.ts";
import { utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";

/** What a member says of itself. */
export interface MemberContent {
  /** `name@host:port`. */
  readonly name: string;
  /** Where it can be dialled: `host:port`, printable ASCII, at most 255 characters. */
  readonly address: string;
  /** Whatever the layer above wants known about it, at most 516 bytes. */
  readonly metadata: Uint8Array;
  /** Raised by the member alone, with each record. 0 … 2^53 − 1. */
  readonly incarnation: number;
  /** Its farewell. */
  readonly hasLeft: boolean;
}

/** A record whose signature was found right. Never changed, so that many tables share one. */
export interface MemberRecord extends MemberContent {
  readonly id: NodeId;
  readonly publicKey: Uint8Array;
  /** As it travels. */
  readonly bytes: Uint8Array;
  /** The first eight bytes of the signature: what tells this record from any other. */
  readonly fingerprint: readonly [number, number];
}

export const metadataBytesMax = 516;
/** A whole record, so that it finds room in a datagram beside a ping request and an accusation. */
export const recordBytesMax = 800;
export const signatureBytes = 64;

const context = utf8("macula member record\0");
const addressPattern = /^[\x21-\x7e]{1,255}$/;

/** The record with this content, signed by the node whose crypto it is. @throws MeshError `CONFIGURATION` when it does not fit one. */
export function signRecord(content: MemberContent, publicKey: Uint8Array, crypto: CoreCrypto): MemberRecord {
  const writer = new Writer();
  writer.u8(content.hasLeft ? 1 : 0);
  writeIncarnation(writer, content.incarnation);
  const name = utf8(content.name);
  const address = utf8(content.address);
  for (const part of [publicKey, name, address]) {
    writer.u8(part.length);
    writer.raw(part);
  }
  writer.u16(content.metadata.length);
  writer.raw(content.metadata);
  writer.raw(crypto.sign(concat([context, writer.bytes()])));
  const record = readRecord(writer.take(), crypto);
  if (typeof record === "object") return record;
  throw new MeshError(
    "CONFIGURATION",
    `no record can be made of name ${JSON.stringify(content.name)}, address ${JSON.stringify(content.address)} ` +
      `and ${content.metadata.length} bytes of metadata: at most ${metadataBytesMax}, and ${recordBytesMax} in all`,
  );
}

/**
 * The record in `bytes`, which must not change any more. `malformed` when they are not one, `forged` when its signature
 * is wrong.
 */
export function readRecord(bytes: Uint8Array, crypto: CoreCrypto): MemberRecord | "malformed" | "forged" {
  try {
    return parse(bytes, crypto);
  } catch {
    return "malformed";
  }
}

function parse(bytes: Uint8Array, crypto: CoreCrypto): MemberRecord | "malformed" | "forged" {
  if (bytes.length > recordBytesMax) return "malformed";
  const reader = new Reader(bytes);
  const state = reader.u8();
  const incarnation = readIncarnation(reader);
  const publicKey = reader.view(reader.u8());
  const name = reader.text(reader.u8());
  const address = reader.text(reader.u8());
  const metadata = reader.view(reader.u16());
  const signed = bytes.subarray(0, reader.offset);
  const signature = reader.view(signatureBytes);
  reader.end();
  const isWellFormed =
    state <= 1 &&
    Number.isSafeInteger(incarnation) &&
    metadata.length <= metadataBytesMax &&
    addressPattern.test(address) &&
    canonicalNodeName(name) === name;
  if (!isWellFormed) return "malformed";
  if (!crypto.verify(publicKey, concat([context, signed]), signature)) return "forged";
  const id = nodeIdFromBytes(crypto.sha256(publicKey));
  const fingerprint = fingerprintOf(bytes);
  return { id, publicKey, name, address, metadata, incarnation, hasLeft: state === 1, bytes, fingerprint };
}

/** What orders the records of one member. */
export interface RecordVersion {
  readonly incarnation: number;
  /** The first four bytes of the signature. */
  readonly fingerprint: number;
}

export function versionOf({ incarnation, fingerprint }: MemberRecord): RecordVersion {
  return { incarnation, fingerprint: fingerprint[0] };
}

/**
 * Whether `a` takes the place of `b`. Threat: a member that signs two records with one incarnation; if each node kept the one
 * it heard first, tables would differ for ever, and be sent around for ever.
 */
export function isNewer(a: RecordVersion, b: RecordVersion): boolean {
  return (a.incarnation - b.incarnation || a.fingerprint - b.fingerprint) > 0;
}

function fingerprintOf(bytes: Uint8Array): readonly [number, number] {
  const reader = new Reader(bytes, bytes.length - signatureBytes);
  return [reader.u32(), reader.u32()];
}

/** u64, of which 53 bits are used: what is beyond reads as no safe integer. */
export function readIncarnation(reader: Reader): number {
  return reader.u32() * 0x1_0000_0000 + reader.u32();
}

export function writeIncarnation(writer: Writer, incarnation: number): void {
  writer.u32(Math.floor(incarnation / 0x1_0000_0000));
  writer.u32(incarnation >>> 0);
}

/**
 * Records read lately. Gossip brings the same one ten times over, and a signature costs a tenth of a millisecond to
 * check: here it is checked once. The oldest is forgotten first.
 */
export class RecordCache {
  readonly #max: number;
  readonly #known = new Map<number, MemberRecord>();

  constructor(max: number) {
    this.#max = max;
  }

  read(bytes: Uint8Array, crypto: CoreCrypto): MemberRecord | "malformed" | "forged" {
    if (bytes.length <= signatureBytes) return "malformed";
    const [high, low] = fingerprintOf(bytes);
    // 53 bits of it; whoever makes two records collide has only made his own be checked twice.
    const key = (high & 0x1f_ffff) * 0x1_0000_0000 + low;
    const known = this.#known.get(key);
    if (known !== undefined && equal(known.bytes, bytes)) return known;
    // A copy: what it was received in may be used again.
    const record = readRecord(bytes.slice(), crypto);
    if (typeof record === "string") return record;
    const [oldest] = this.#known.size >= this.#max ? this.#known.keys() : [];
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(key, record);
    return record;
  }
}
