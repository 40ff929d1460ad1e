/*
 * Payload of a PROBE frame (0x20), which travels as one datagram. Packed, because the room left in it is for gossip:
 *
 *   kind u8: 1 ping, 2 ack, 3 ping request, 4 nack, 5 gossip
 *   sequence u32                      not in gossip
 *   target 32                         in a ping request
 *   then news to the end, each:  kind u8 (1 record, 2 accusation) | length u16 | that many bytes
 */
import { MeshError } from "../base/errors.ts";
import { type NodeId, nodeIdBytes, nodeIdBytesLength, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";
import { Writer } from "../base/writer.ts";

export type PacketHead =
  | { readonly kind: "ping" | "ack" | "nack"; readonly sequence: number }
  | { readonly kind: "pingRequest"; readonly sequence: number; readonly target: NodeId }
  | { readonly kind: "gossip" };

/** A piece of gossip: a signed record or accusation. */
export interface NewsItem {
  readonly kind: "record" | "accusation";
  readonly bytes: Uint8Array;
}

export interface Packet {
  readonly head: PacketHead;
  /** Views of the decoded input. */
  readonly news: readonly NewsItem[];
}

const kindCodes = { ping: 1, ack: 2, pingRequest: 3, nack: 4, gossip: 5 } as const;
const kinds = [undefined, "ping", "ack", "pingRequest", "nack", "gossip"] as const;
const newsCodes = { record: 1, accusation: 2 } as const;
/** What a piece of news takes besides its bytes. */
export const newsHeaderBytes = 3;

export function headBytes(head: PacketHead): number {
  if (head.kind === "gossip") return 1;
  return head.kind === "pingRequest" ? 5 + nodeIdBytesLength : 5;
}

export function encodePacket(head: PacketHead, news: readonly NewsItem[]): Uint8Array<ArrayBuffer> {
  const length = news.reduce((sum, { bytes }) => sum + newsHeaderBytes + bytes.length, headBytes(head));
  const writer = new Writer(length);
  writer.u8(kindCodes[head.kind]);
  if (head.kind !== "gossip") writer.u32(head.sequence);
  if (head.kind === "pingRequest") writer.raw(nodeIdBytes(head.target));
  for (const { kind, bytes } of news) {
    writer.u8(newsCodes[kind]);
    writer.u16(bytes.length);
    writer.raw(bytes);
  }
  return writer.take();
}

/** @throws MeshError `DECODE` when it is not a packet. */
export function decodePacket(bytes: Uint8Array): Packet {
  const reader = new Reader(bytes);
  const head = decodeHead(reader);
  const news: NewsItem[] = [];
  while (reader.remaining > 0) {
    const code = reader.u8();
    const item = reader.view(reader.u16());
    if (code === newsCodes.record) news.push({ kind: "record", bytes: item });
    else if (code === newsCodes.accusation) news.push({ kind: "accusation", bytes: item });
    // Anything else is of a later version, which this one passes over.
  }
  return { head, news };
}

function decodeHead(reader: Reader): PacketHead {
  const code = reader.u8();
  const kind = kinds[code];
  if (kind === undefined) throw new MeshError("DECODE", `there is no packet of kind ${code}`);
  if (kind === "gossip") return { kind };
  const sequence = reader.u32();
  if (kind !== "pingRequest") return { kind, sequence };
  return { kind, sequence, target: nodeIdFromBytes(reader.view(nodeIdBytesLength)) };
}
