/*
 * Payload of a COMPRESSED frame, or of a message whose fragments are so flagged, wire protocol §4:
 *
 *   size u32 | zlib stream (RFC 1950) of exactly `size` bytes
 */
import { Unzlib, unzlibSync, zlibSync } from "fflate";
import { MeshError } from "../base/errors.ts";
import { u32 } from "./fragment.ts";

const sizeBytes = 4;
/** The most that DEFLATE makes of one byte: a match of 258 bytes in two bits. zlib's manual, "Maximum compression factor". */
const ratioMax = 1_032;
/** So much input is inflated between two checks of the output's size: a lie costs at most this times `ratioMax`. */
const stepBytes = 16_384;

/** `payload` compressed, or `undefined` when that would save less than an eighth: then inflating is not worth its time. */
export function deflatePayload(payload: Uint8Array): Uint8Array | undefined {
  // Level 1: on a link the choice is between a little time and none.
  const deflated = zlibSync(payload, { level: 1 });
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
  if (payload.length <= sizeBytes) throw invalid(`compressed payload of ${payload.length} bytes`);
  const size = u32(payload, 0);
  const stream = payload.subarray(sizeBytes);
  if (size > maxBytes) {
    throw new MeshError(
      "LIMIT",
      `payload_too_large: inflates to ${size} bytes, at most ${maxBytes} are allowed`,
    );
  }
  if (size > stream.length * ratioMax) throw invalid(`${stream.length} bytes cannot inflate to ${size}`);
  let inflated: Uint8Array;
  try {
    inflated = stream.length <= stepBytes ? inflateAtOnce(stream, size) : inflateInSteps(stream, size);
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw invalid("not a zlib stream", cause);
  }
  if (adler32(inflated) !== u32(stream, stream.length - 4)) throw invalid("zlib checksum differs");
  return inflated;
}

function inflateAtOnce(stream: Uint8Array, size: number): Uint8Array {
  // fflate drops what does not fit. One byte to spare shows that there was more.
  const inflated = unzlibSync(stream, { out: new Uint8Array(size + 1) });
  if (inflated.length !== size) throw invalid(`does not inflate to the ${size} bytes stated`);
  return inflated;
}

function inflateInSteps(stream: Uint8Array, size: number): Uint8Array {
  const inflated = new Uint8Array(size);
  let length = 0;
  const inflater = new Unzlib((piece) => {
    if (piece.length > size - length) throw invalid(`inflates to more than the ${size} bytes stated`);
    inflated.set(piece, length);
    length += piece.length;
  });
  for (let start = 0; start < stream.length; start += stepBytes) {
    const end = Math.min(start + stepBytes, stream.length);
    inflater.push(stream.subarray(start, end), end === stream.length);
  }
  if (length !== size) throw invalid(`inflates to ${length} of the ${size} bytes stated`);
  return inflated;
}

/** The checksum that ends a zlib stream, RFC 1950 §8.2; fflate writes it and does not check it. */
function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let start = 0; start < bytes.length; start += 3_800) {
    const end = Math.min(start + 3_800, bytes.length);
    // So many bytes fit before the sums need reducing (both stay below 2^32).
    for (let index = start; index < end; index++) {
      a += bytes[index] as number;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return ((b << 16) | a) >>> 0;
}

function invalid(message: string, cause?: unknown): MeshError {
  return new MeshError("DECODE", `invalid_packet: ${message}`, { cause });
}
