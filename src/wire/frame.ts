/*
 * Frame, wire protocol §2 (docs/wire-protocol.md), integers big-endian:
 *
 *   version u8 = 1 | type u8 | flags u16 | length u32 | payload, `length` bytes
 */
import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { fragmentFault, fragmentHeaderBytes, readFragmentHeader } from "./fragment.ts";
import { payloadMaxBytes } from "./limits.ts";

export const protocolVersion = 1;
export const frameHeaderBytes = 8;

/** Bits of the flags field. The others are zero when sent and ignored when received. */
export const frameFlag = {
  /** The payload is a size (u32) and a zlib stream of that many bytes: §4. */
  compressed: 0x0001,
  /** The payload is a piece of a message: §3. */
  fragmented: 0x0002,
} as const;

/** The least a COMPRESSED payload can be: the size and the shortest zlib stream. */
const compressedMinBytes = 12;

/** One frame as it is on the wire: pieces not yet put together, nothing inflated. */
export interface WireFrame {
  readonly type: number;
  readonly flags: number;
  /** A view of the decoded input: it changes when the input does. */
  readonly payload: Uint8Array;
}

/** What decoding made of the input: one of the four results of the protocol. */
export type DecodeResult =
  | { readonly result: "frame"; readonly frame: WireFrame; readonly rest: Uint8Array }
  /** The input is the beginning of a frame; `missing` more bytes at least are needed. */
  | { readonly result: "insufficient_data"; readonly missing: number }
  | { readonly result: "unsupported_version"; readonly version: number }
  | { readonly result: "invalid_packet"; readonly reason: string };

/**
 * One frame as bytes. `payload` is taken as it is: compressing and splitting are the Outbox's business.
 * @throws MeshError `LIMIT` `payload_too_large` above 16 MiB, `ENCODE` when type or flags are out of range.
 */
export function encodeFrame(type: number, payload: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> {
  checkType(type);
  checkPayloadLength(payload.length);
  if (!Number.isInteger(flags) || flags < 0 || flags > 0xffff) {
    throw new MeshError("ENCODE", `flags are 16 bits, not ${flags}`);
  }
  const bytes = new Uint8Array(frameHeaderBytes + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, headerWord(type, flags));
  view.setUint32(4, payload.length);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** The first frame of `bytes`, and what follows it, both as views. Never throws. */
export function decodeFrame(bytes: Uint8Array): DecodeResult {
  const reader = new Reader(bytes);
  // The version is judged first: what follows it may mean anything in another version.
  if (reader.remaining === 0) return { result: "insufficient_data", missing: frameHeaderBytes };
  const version = reader.u8();
  if (version !== protocolVersion) return { result: "unsupported_version", version };
  if (bytes.length < frameHeaderBytes) {
    return { result: "insufficient_data", missing: frameHeaderBytes - bytes.length };
  }
  const type = reader.u8();
  const flags = reader.u16();
  const length = reader.u32();
  // A lying length fails here, before anybody waits or allocates for it.
  const fault = headerFault(flags, length) ?? peekedFragmentFault(reader, flags, length);
  if (fault !== undefined) return { result: "invalid_packet", reason: fault };
  if (length > reader.remaining) {
    return { result: "insufficient_data", missing: length - reader.remaining };
  }
  const payload = reader.view(length);
  return { result: "frame", frame: { type, flags, payload }, rest: reader.view(reader.remaining) };
}

function peekedFragmentFault(reader: Reader, flags: number, length: number): string | undefined {
  if ((flags & frameFlag.fragmented) === 0 || reader.remaining < fragmentHeaderBytes) return undefined;
  return fragmentFault(readFragmentHeader(reader.bytes, frameHeaderBytes), length - fragmentHeaderBytes);
}

/** What makes a header unacceptable by itself, in words; `undefined` when nothing does. */
export function headerFault(flags: number, length: number): string | undefined {
  if (length > payloadMaxBytes) return `payload of ${length} bytes, at most ${payloadMaxBytes} are allowed`;
  if ((flags & frameFlag.fragmented) !== 0) {
    return length > fragmentHeaderBytes
      ? undefined
      : `fragment of ${length} bytes is shorter than its header`;
  }
  if ((flags & frameFlag.compressed) !== 0 && length < compressedMinBytes) {
    return `compressed payload of ${length} bytes`;
  }
  return undefined;
}

/** The first four bytes of a frame. */
export function headerWord(type: number, flags: number): number {
  return (protocolVersion << 24) | (type << 16) | flags;
}

/** @throws MeshError `LIMIT` when no frame or message may have so many bytes. */
export function checkPayloadLength(length: number): void {
  if (length <= payloadMaxBytes) return;
  throw new MeshError("LIMIT", `payload_too_large: ${length} bytes, at most ${payloadMaxBytes} are allowed`);
}

/** @throws MeshError `ENCODE` when `type` is not one byte. */
export function checkType(type: number): void {
  if ((type & 0xff) !== type) throw new MeshError("ENCODE", `a frame type is one byte, not ${type}`);
}
