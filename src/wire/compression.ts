/*
 * Payload of a COMPRESSED frame, or of a message whose fragments are so flagged, wire protocol §4:
 *
 *   size u32 | zlib stream (RFC 1950) of exactly `size` bytes
 */
import { MeshError } from "../base/errors.ts";
import { deflateZlib, inflateZlib } from "../base/zlib.ts";
import { u32 } from "./fragment.ts";

const sizeBytes = 4;

/** `payload` compressed, or `undefined` when that would save less than an eighth: then inflating is not worth its time. */
export function deflatePayload(payload: Uint8Array): Uint8Array | undefined {
  // Level 1: on a link the choice is between a little time and none.
  const deflated = deflateZlib(payload, 1);
  const length = sizeBytes + deflated.length;
  if (length > payload.length - payload.length / 8) return undefined;
  const whole = new Uint8Array(length);
  new DataView(whole.buffer).setUint32(0, payload.length);
  whole.set(deflated, sizeBytes);
  return whole;
}

/**
 * What `payload` was before compression.
 *
 * Threat: a few bytes that inflate to gigabytes. The size is stated, tested before allocating, and inflating ends
 * when it is exceeded.
 * @throws MeshError `DECODE` when the payload is not what it states, `LIMIT` when that is more than `maxBytes`.
 */
export function inflatePayload(payload: Uint8Array, maxBytes: number): Uint8Array {
  if (payload.length < sizeBytes) {
    throw new MeshError("DECODE", `invalid_packet: compressed payload of ${payload.length} bytes`);
  }
  const size = u32(payload, 0);
  if (size > maxBytes) {
    throw new MeshError(
      "LIMIT",
      `payload_too_large: inflates to ${size} bytes, at most ${maxBytes} are allowed`,
    );
  }
  try {
    return inflateZlib(payload.subarray(sizeBytes), size);
  } catch (cause) {
    if (!(cause instanceof MeshError)) throw cause;
    throw new MeshError("DECODE", `invalid_packet: ${cause.message}`, { cause });
  }
}
