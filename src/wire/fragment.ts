/*
 * Payload of a FRAGMENTED frame, wire protocol §3:
 *
 *   message u32 | total u32 | offset u32 | piece, 1 byte or more
 *
 * Every piece names the whole, so that a lie is found at the first frame that contradicts itself or its predecessors.
 */
import { payloadMaxBytes } from "./limits.ts";

export const fragmentHeaderBytes = 12;

export interface FragmentHeader {
  /** Names the message among those begun and not finished on the same stream. */
  readonly message: number;
  /** Bytes of the whole message, 1 … 2^24. */
  readonly total: number;
  /** Where in the message the piece belongs: as many bytes as came before it. */
  readonly offset: number;
}

/** The header that starts at `start`; the caller has seen that it is there. */
export function readFragmentHeader(bytes: Uint8Array, start: number): FragmentHeader {
  return { message: u32(bytes, start), total: u32(bytes, start + 4), offset: u32(bytes, start + 8) };
}

/** What makes a piece of `length` bytes unacceptable by itself, in words. */
export function fragmentFault(header: FragmentHeader, length: number): string | undefined {
  const { total, offset } = header;
  if (total > payloadMaxBytes) return `message of ${total} bytes, at most ${payloadMaxBytes} are allowed`;
  if (offset + length <= total) return undefined;
  return `fragment of ${length} bytes at ${offset} of a message of ${total} bytes`;
}

/** The big-endian integer that starts at `start`; the caller has seen that it is there. */
export function u32(bytes: Uint8Array, start: number): number {
  const high = ((bytes[start] as number) << 24) | ((bytes[start + 1] as number) << 16);
  return (high | ((bytes[start + 2] as number) << 8) | (bytes[start + 3] as number)) >>> 0;
}
