import { concat } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";
import { pointBytes, sealTagBytes } from "./seal-crypto.ts";

/*
 * Payload of a FORWARD packet of protocol 2: one packet of a channel, which carries messages from its opener, A, to B.
 *
 *   OPEN    1 | channel 16 | point of A 65
 *   ACCEPT  2 | channel 16 | point of B 65 | enc 65 | seal 16
 *   START   3 | channel 16 | number u48 | enc 65 | sealed message
 *   DATA    4 | channel 16 | number u48 | sealed message
 *   ACK     5 | channel 16 | number u48 | sealed: next u48 | received u32 | room u16
 *
 * `channel`: random, chosen by A. Two HPKE contexts (RFC 9180, auth mode): enc of ACCEPT makes that of B to A, whose info is
 * "macula/1.0 channel accept" 00 and OPEN; enc of START makes that of A to B, whose info is "macula/1.0 channel data" 00,
 * OPEN and ACCEPT. So what each receives is bound to something it has just made at random, and nothing old can be played
 * to it again. The seal of ACCEPT is over nothing, number 0, with all that precedes it as associated data; that of the
 * others has channel and number as associated data.
 *
 * A message keeps its number, from 0, when it is sent again; ACKs count from 1. ACK: all before `next` are delivered; bit
 * i of `received`: message `next` + 1 + i has arrived; `room`: messages that may be under way.
 */
export const channelBytes = 16;
export const receivedBits = 32;

export type ChannelPacket =
  | { readonly type: "open"; readonly channel: Uint8Array; readonly point: Uint8Array }
  | {
      readonly type: "accept";
      readonly channel: Uint8Array;
      readonly point: Uint8Array;
      readonly enc: Uint8Array;
      readonly seal: Uint8Array;
    }
  | SealedPacket<"start">
  | SealedPacket<"data">
  | SealedPacket<"ack">;

export interface SealedPacket<Type extends "start" | "data" | "ack"> {
  readonly type: Type;
  readonly channel: Uint8Array;
  readonly number: number;
  /** Of START; empty else. */
  readonly enc: Uint8Array;
  readonly sealed: Uint8Array;
}

const types = ["open", "accept", "start", "data", "ack"] as const;
const empty = new Uint8Array(0);

export function encodeChannelPacket(packet: ChannelPacket): Uint8Array<ArrayBuffer> {
  const writer = new Writer(256);
  writer.u8(types.indexOf(packet.type) + 1);
  writer.raw(packet.channel);
  if (packet.type === "open" || packet.type === "accept") writer.raw(packet.point);
  if (packet.type === "accept") {
    writer.raw(packet.enc);
    writer.raw(packet.seal);
  } else if (packet.type !== "open") {
    writeNumber(writer, packet.number);
    writer.raw(packet.enc);
    writer.raw(packet.sealed);
  }
  return writer.take();
}

/**
 * Its parts are views.
 * @throws MeshError `DECODE` for anything else.
 */
export function decodeChannelPacket(bytes: Uint8Array): ChannelPacket {
  const reader = new Reader(bytes);
  const type = types[reader.u8() - 1];
  if (type === undefined) throw reader.error("an unknown type");
  const channel = reader.view(channelBytes);
  if (type === "open") {
    const point = reader.view(pointBytes);
    reader.end();
    return { type, channel, point };
  }
  if (type === "accept") {
    const point = reader.view(pointBytes);
    const enc = reader.view(pointBytes);
    const seal = reader.view(sealTagBytes);
    reader.end();
    return { type, channel, point, enc, seal };
  }
  const number = readNumber(reader);
  const enc = type === "start" ? reader.view(pointBytes) : empty;
  if (reader.remaining < sealTagBytes) throw new MeshError("DECODE", "no room for a seal");
  return { type, channel, number, enc, sealed: reader.view(reader.remaining) };
}

/** Associated data of message or ACK `number`. */
export function associated(channel: Uint8Array, number: number): Uint8Array {
  const writer = new Writer(channelBytes + 6);
  writer.raw(channel);
  writeNumber(writer, number);
  return writer.take();
}

export function acceptInfo(open: Uint8Array): Uint8Array {
  return concat([utf8("macula/1.0 channel accept\0"), open]);
}

export function dataInfo(open: Uint8Array, accept: Uint8Array): Uint8Array {
  return concat([utf8("macula/1.0 channel data\0"), open, accept]);
}

export interface Ack {
  readonly next: number;
  readonly received: number;
  readonly room: number;
}

export function encodeAck({ next, received, room }: Ack): Uint8Array {
  const writer = new Writer(12);
  writeNumber(writer, next);
  writer.u32(received);
  writer.u16(room);
  return writer.take();
}

/** @throws MeshError `DECODE`. */
export function decodeAck(bytes: Uint8Array): Ack {
  const reader = new Reader(bytes);
  const next = readNumber(reader);
  const received = reader.u32();
  const room = reader.u16();
  reader.end();
  return { next, received, room };
}

function writeNumber(writer: Writer, number: number): void {
  writer.u16(Math.floor(number / 0x1_0000_0000));
  writer.u32(number >>> 0);
}

function readNumber(reader: Reader): number {
  return reader.u16() * 0x1_0000_0000 + reader.u32();
}
