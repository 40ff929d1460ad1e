/*
 * Payload of a MEMBERS frame (0x21), a message over a link. Packed: a list has an entry for each member.
 *
 *   kind u8: 1 offer    | count u32 | hash 8                      of the living in the sender's table
 *            2 same                                               the receiver's table has the same hash
 *            3 list     | count u32 | count x (id 32 | incarnation u64 | fingerprint u32 | state u8)
 *            4 records  | last u8   | records, each: length u16, record
 *            5 wants    | count u32, ids wanted | count u32, ids disputed
 *
 * state: 0 alive, 1 suspect, 2 dead, 3 left.
 */
import { MeshError } from "../base/errors.ts";
import { type NodeId, nodeIdBytes, nodeIdBytesLength, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";
import { Writer } from "../base/writer.ts";
import { type MemberState, memberStates } from "./member.ts";
import { readIncarnation, writeIncarnation } from "./record.ts";

export interface ListEntry {
  readonly id: NodeId;
  readonly incarnation: number;
  /** The first half of the record's fingerprint. */
  readonly fingerprint: number;
  readonly state: MemberState;
}

export type SyncMessage =
  | { readonly kind: "offer"; readonly count: number; readonly hash: readonly [number, number] }
  | { readonly kind: "same" }
  | { readonly kind: "list"; readonly entries: readonly ListEntry[] }
  /** `records` are views of the input. */
  | { readonly kind: "records"; readonly isLast: boolean; readonly records: readonly Uint8Array[] }
  | { readonly kind: "wants"; readonly wanted: readonly NodeId[]; readonly disputed: readonly NodeId[] };

const entryBytes = nodeIdBytesLength + 13;

export function encodeSync(message: SyncMessage): Uint8Array<ArrayBuffer> {
  const writer = new Writer(message.kind === "list" ? 5 + message.entries.length * entryBytes : 64);
  switch (message.kind) {
    case "offer":
      writer.u8(1);
      writer.u32(message.count);
      for (const word of message.hash) writer.u32(word);
      break;
    case "same":
      writer.u8(2);
      break;
    case "list":
      writer.u8(3);
      writer.u32(message.entries.length);
      for (const entry of message.entries) writeEntry(writer, entry);
      break;
    case "records":
      writer.u8(4);
      writer.u8(message.isLast ? 1 : 0);
      for (const record of message.records) {
        writer.u16(record.length);
        writer.raw(record);
      }
      break;
    case "wants":
      writer.u8(5);
      writeIds(writer, message.wanted);
      writeIds(writer, message.disputed);
      break;
    default:
      message satisfies never;
  }
  return writer.take();
}

/** @throws MeshError `DECODE` when it is not such a message, or lists more than `countMax` of anything. */
export function decodeSync(bytes: Uint8Array, countMax: number): SyncMessage {
  const reader = new Reader(bytes);
  const message = read(reader, countMax);
  reader.end();
  return message;
}

function read(reader: Reader, countMax: number): SyncMessage {
  const code = reader.u8();
  switch (code) {
    case 1:
      return { kind: "offer", count: reader.u32(), hash: [reader.u32(), reader.u32()] };
    case 2:
      return { kind: "same" };
    case 3: {
      const count = readCount(reader, entryBytes, countMax);
      return { kind: "list", entries: Array.from({ length: count }, () => readEntry(reader)) };
    }
    case 4: {
      const isLast = reader.u8() === 1;
      const records: Uint8Array[] = [];
      while (reader.remaining > 0) {
        if (records.length >= countMax) throw reader.error(`more than ${countMax} records`);
        records.push(reader.view(reader.u16()));
      }
      return { kind: "records", isLast, records };
    }
    case 5:
      return { kind: "wants", wanted: readIds(reader, countMax), disputed: readIds(reader, countMax) };
    default:
      throw new MeshError("DECODE", `there is no exchange message of kind ${code}`);
  }
}

function writeEntry(writer: Writer, entry: ListEntry): void {
  writer.raw(nodeIdBytes(entry.id));
  writeIncarnation(writer, entry.incarnation);
  writer.u32(entry.fingerprint);
  writer.u8(memberStates.indexOf(entry.state));
}

function readEntry(reader: Reader): ListEntry {
  const id = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  const incarnation = readIncarnation(reader);
  const fingerprint = reader.u32();
  const state = memberStates[reader.u8()];
  if (state === undefined || !Number.isSafeInteger(incarnation)) throw reader.error("not a member's entry");
  return { id, incarnation, fingerprint, state };
}

function writeIds(writer: Writer, ids: readonly NodeId[]): void {
  writer.u32(ids.length);
  for (const id of ids) writer.raw(nodeIdBytes(id));
}

function readIds(reader: Reader, countMax: number): NodeId[] {
  const count = readCount(reader, nodeIdBytesLength, countMax);
  return Array.from({ length: count }, () => nodeIdFromBytes(reader.view(nodeIdBytesLength)));
}

/** A lying count fails before anything is allocated for it. */
function readCount(reader: Reader, eachBytes: number, countMax: number): number {
  const count = reader.u32();
  if (count > countMax || count * eachBytes > reader.remaining) {
    throw reader.error(`${count} entries in ${reader.remaining} bytes, at most ${countMax} are allowed`);
  }
  return count;
}
