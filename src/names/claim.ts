/*
 * What a node says in the directory to claim a global name: the value of a record of kind 1 under the name's key.
 *
 *   life u32 | registered u64 | value, at most 512 bytes
 *
 * life: the creation of the node when it claimed the name. registered: milliseconds since 1970 by its clock.
 */
import type { CoreCrypto } from "../base/crypto.ts";
import { directoryKind } from "../base/directory-kind.ts";
import { MeshError } from "../base/errors.ts";
import { comparePoints, type Point } from "../base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";
import { utf8, utf8Text } from "../base/text.ts";
import { Writer } from "../base/writer.ts";

const nameBytesMax = 255;
/** Longest value, bytes: a pid has at most 276. */
const valueBytesMax = 512;
const keyPrefix = "macula/1.0 global name\0";

/** Of a directory record, what names need. */
export interface NameRecord {
  readonly kind: number;
  readonly owner: NodeId;
  readonly value: Uint8Array;
}

/** That a name is a node's. */
export interface Claim {
  readonly owner: NodeId;
  /** Of the owner when it claimed the name. */
  readonly life: number;
  readonly registeredMs: number;
  /** A view of the record. */
  readonly value: Uint8Array;
}

/**
 * Where a name is in the directory: SHA-256 of it behind a prefix.
 * @throws MeshError `LIMIT` unless the name is text of 1 to 255 bytes in UTF-8.
 */
export function nameKey(name: string, crypto: CoreCrypto): Point {
  const bytes = utf8(name);
  // Lone surrogates would all become the same character, and different names the same key.
  if (bytes.length < 1 || bytes.length > nameBytesMax || utf8Text(bytes) !== name) {
    throw new MeshError("LIMIT", `a global name is text of 1 to ${nameBytesMax} bytes, not ${bytes.length}`);
  }
  return nodeIdFromBytes(crypto.sha256(utf8(keyPrefix + name)));
}

/** @throws MeshError `LIMIT` for a value of more than 512 bytes. */
export function encodeClaim(claim: Omit<Claim, "owner">): Uint8Array {
  if (claim.value.length > valueBytesMax) {
    throw new MeshError("LIMIT", `a name stands for ${valueBytesMax} bytes, not ${claim.value.length}`);
  }
  const writer = new Writer(12 + claim.value.length);
  writer.u32(claim.life);
  writer.u64(BigInt(claim.registeredMs));
  writer.raw(claim.value);
  return writer.take();
}

/** What the record claims; `undefined` when it is about something else. @throws MeshError `DECODE`. */
export function readClaim(record: NameRecord): Claim | undefined {
  if (record.kind !== directoryKind.name) return undefined;
  const reader = new Reader(record.value);
  const life = reader.u32();
  const registeredMs = Number(reader.u64());
  if (!Number.isSafeInteger(registeredMs)) throw reader.error("a time after all times");
  if (reader.remaining > valueBytesMax) throw reader.error(`a value of ${reader.remaining} bytes`);
  return { owner: record.owner, life, registeredMs, value: reader.view(reader.remaining) };
}

/**
 * Negative when `a` counts and not `b`: the name is whose claim is older, so that nobody gets it by coming later; at equal
 * times the smaller node id's. It depends on the claims alone: all who see the same claims agree.
 */
export function compareClaims(
  a: Pick<Claim, "registeredMs" | "owner">,
  b: Pick<Claim, "registeredMs" | "owner">,
): number {
  return a.registeredMs - b.registeredMs || comparePoints(a.owner, b.owner);
}
