import { deflate, Z_FINISH, Z_STREAM_END, ZStream, zlibInflate, zlibInflateInit2 } from "pako";
import { MeshError } from "./errors.ts";

/** The most that DEFLATE makes of one byte: a match of 258 bytes in two bits. */
const ratioMax = 1_032;

/** Window of 32 KiB, and a zlib header before the data. */
const windowBits = 15;

/** `bytes` as a zlib stream (RFC 1950). `level` from 0 (stored) to 9 (smallest). */
export function deflateZlib(bytes: Uint8Array, level: number): Uint8Array<ArrayBuffer> {
  return deflate(bytes, { level });
}

/**
 * What `stream`, a zlib stream without preset dictionary, inflates to: exactly `size` bytes.
 *
 * Threat: a few bytes that inflate to gigabytes. Memory for `size` is taken only if a stream of that length can fill it
 * (the caller has tested it against his own limit), and inflating stops where it is full.
 * @throws MeshError `DECODE` when it is anything else, also for bytes behind its end or a wrong checksum.
 */
export function inflateZlib(stream: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  if (size > stream.length * ratioMax) throw invalid(`${stream.length} bytes cannot inflate to ${size}`);
  const state = new ZStream();
  state.input = stream;
  state.avail_in = stream.length;
  // One byte more than expected shows a stream that goes on.
  state.output = new Uint8Array(size + 1);
  state.avail_out = size + 1;
  zlibInflateInit2(state, windowBits);
  const status = zlibInflate(state, Z_FINISH);
  if (status !== Z_STREAM_END) throw invalid(state.msg || `does not end after ${state.total_out} bytes`);
  if (state.total_out !== size) throw invalid(`${state.total_out} bytes instead of ${size}`);
  if (state.avail_in > 0) throw invalid(`${state.avail_in} bytes behind its end`);
  return state.output.subarray(0, size);
}

function invalid(why: string): MeshError {
  return new MeshError("DECODE", `invalid zlib stream: ${why}`);
}
