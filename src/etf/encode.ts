import { Writer } from "../base/writer.ts";
import { compress } from "./compressed.ts";
import { Encoder } from "./encoder.ts";
import { type EncodeOptions, resolveDepth } from "./options.ts";
import type { Term } from "./terms.ts";
import { explain } from "./unencodable.ts";

/** Idle encoders. One does, unless a getter of an encoded object encodes in turn. */
const idle: Encoder[] = [];

/**
 * `term` in the External Term Format, byte for byte as Erlang's `term_to_binary(Term, [{minor_version, 2}])`, see
 * `docs/etf.md`. The result may share its `buffer` with other results.
 * @throws MeshError `ENCODE`, naming the part of `term` that cannot be encoded: functions, symbols, NaN and infinities,
 * values that contain themselves, objects of a class.
 */
export function encode(term: Term, options?: EncodeOptions): Uint8Array<ArrayBuffer> {
  if (options?.compressed !== undefined && options.compressed !== false)
    return encodeCompressed(term, options);
  const depth = resolveDepth(options?.depthMax);
  const encoder = idle.pop() ?? new Encoder();
  try {
    return encoder.encode(term, options, depth);
  } catch (failure) {
    throw explain(term, failure, depth);
  } finally {
    idle.push(encoder);
  }
}

/**
 * As `encode`, appended to what `writer` holds, without a copy.
 * @throws MeshError as `encode`; `writer` is then as before.
 */
export function encodeInto(writer: Writer, term: Term, options?: EncodeOptions): void {
  if (options?.compressed !== undefined && options.compressed !== false) {
    writer.raw(encodeCompressed(term, options));
    return;
  }
  const depth = resolveDepth(options?.depthMax);
  const encoder = idle.pop() ?? new Encoder();
  try {
    encoder.encodeInto(writer, term, options, depth);
  } catch (failure) {
    throw explain(term, failure, depth);
  } finally {
    idle.push(encoder);
  }
}

function encodeCompressed(term: Term, options: EncodeOptions): Uint8Array<ArrayBuffer> {
  const level =
    options.compressed === true || options.compressed === undefined ? 6 : Number(options.compressed);
  const plain = encode(term, { ...options, compressed: false, version: false });
  const packed = compress(plain, level);
  const writer = new Writer(packed.length + 1);
  if (options.version !== false) writer.u8(131);
  writer.raw(packed);
  return writer.take();
}
