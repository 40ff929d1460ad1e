import { MeshError } from "../base/errors.ts";
import type { Position } from "../base/id-space.ts";
import { type NodeId, nodeIdBytes, nodeIdBytesLength, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";

/*
 * FORWARD (0x28), over a link. Packed, not a term: each node on the way puts itself into the list and copies the rest as
 * it is.
 *
 *    0               1               2               3
 *   +---------------+---------------+---------------+---------------+
 *   | protocol      | variant       | visited, n    | 0             |
 *   +---------------+---------------+---------------+---------------+
 *   | target, 32 bytes                                              |
 *   | source, 32 bytes                                              |
 *   | first 48 bits of the id of each node visited, n times 6 bytes |
 *   | payload ...                                                   |
 */

/** What the payload of a packet is. */
export const packetProtocol = {
  /** A packet could not be delivered: `encodeFailure`. */
  failure: 0,
  /** A datagram between two nodes without a link; may be lost. */
  datagram: 1,
  /** A packet of a sealed channel. */
  channel: 2,
} as const;

const fixedBytes = 4 + 2 * nodeIdBytesLength;
const visitBytes = 6;

/** A message on its way. */
export interface Packet {
  /** One of `packetProtocol`; others are carried and dropped by the target. */
  readonly protocol: number;
  /** 0 for the best way; a sender that hears nothing tries others, so that no dead link is met twice. */
  readonly variant: number;
  /** The nodes that it has left, its source first, 0 … 255 of them. */
  readonly visited: readonly Position[];
  readonly target: NodeId;
  readonly source: NodeId;
  readonly payload: Uint8Array;
}

/** What a packet takes, as it came: more than its payload, of which there may be none. */
export function packetBytes({ visited, payload }: Packet): number {
  return fixedBytes + visitBytes * visited.length + payload.length;
}

/** A packet as it leaves a node that it has come to: with that in the list, and the rest as it is. */
export function passOn(packet: Uint8Array, left: Position): Uint8Array<ArrayBuffer> {
  const count = packet[2] as number;
  const end = fixedBytes + visitBytes * count;
  const bytes = new Uint8Array(packet.length + visitBytes);
  bytes.set(packet.subarray(0, end));
  bytes[2] = count + 1;
  writePosition(new DataView(bytes.buffer), end, left);
  bytes.set(packet.subarray(end), end + visitBytes);
  return bytes;
}

export function encodePacket(packet: Packet): Uint8Array<ArrayBuffer> {
  const { visited, payload } = packet;
  const bytes = new Uint8Array(packetBytes(packet));
  const view = new DataView(bytes.buffer);
  bytes[0] = packet.protocol;
  bytes[1] = packet.variant;
  bytes[2] = visited.length;
  bytes.set(nodeIdBytes(packet.target), 4);
  bytes.set(nodeIdBytes(packet.source), 4 + nodeIdBytesLength);
  let offset = fixedBytes;
  for (const position of visited) {
    writePosition(view, offset, position);
    offset += visitBytes;
  }
  bytes.set(payload, offset);
  return bytes;
}

/** 24 bits each. */
function writePosition(view: DataView, offset: number, { high, low }: Position): void {
  view.setUint16(offset, high >>> 8);
  view.setUint32(offset + 2, ((high << 24) | low) >>> 0);
}

/**
 * The payload is a view.
 * @throws MeshError `DECODE` when it is no packet.
 */
export function decodePacket(bytes: Uint8Array): Packet {
  const reader = new Reader(bytes);
  const protocol = reader.u8();
  const variant = reader.u8();
  const count = reader.u8();
  if (reader.u8() !== 0) throw reader.error("a reserved byte is not zero");
  const target = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  const source = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  const visited: Position[] = [];
  for (let index = 0; index < count; index++) {
    const head = reader.u16();
    const tail = reader.u32();
    visited.push({ high: (head << 8) | (tail >>> 24), low: tail & 0xff_ffff });
  }
  return { protocol, variant, visited, target, source, payload: reader.view(reader.remaining) };
}

/** Why a packet went no further. */
export type FailureReason = "no_route" | "busy";

/** How a node says which packet it could not pass on: enough for its sender, useless to whoever has not seen it. */
export interface Failure {
  readonly reason: FailureReason;
  /** Where the packet was to go. */
  readonly target: NodeId;
  /** The last bytes of its payload: of a sealed packet, the authentication tag. */
  readonly mark: Uint8Array;
}

/** Bytes of a `mark`, unless the payload is shorter. */
const markBytes = 16;

export function markOf(payload: Uint8Array): Uint8Array {
  return payload.subarray(Math.max(0, payload.length - markBytes));
}

/*
 * Payload of a packet of protocol 0:
 *
 *   reason u8: 0 no_route, 1 busy | target, 32 bytes | mark, 0 … 16 bytes
 */
const reasons: readonly FailureReason[] = ["no_route", "busy"];

export function encodeFailure({ reason, target, mark }: Failure): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1 + nodeIdBytesLength + mark.length);
  bytes[0] = reasons.indexOf(reason);
  bytes.set(nodeIdBytes(target), 1);
  bytes.set(mark, 1 + nodeIdBytesLength);
  return bytes;
}

/** @throws MeshError `DECODE` when it is none. */
export function decodeFailure(bytes: Uint8Array): Failure {
  const reader = new Reader(bytes);
  const reason = reasons[reader.u8()];
  if (reason === undefined) throw reader.error("an unknown reason");
  const target = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  if (reader.remaining > markBytes) throw new MeshError("DECODE", `a mark of ${reader.remaining} bytes`);
  return { reason, target, mark: reader.view(reader.remaining).slice() };
}
