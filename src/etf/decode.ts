import { MeshError } from "../base/errors.ts";
import type { Reader } from "../base/reader.ts";
import { Decoder } from "./decoder.ts";
import { type DecodeOptions, resolveDepth } from "./options.ts";
import type { Term } from "./terms.ts";

// Decoding calls nobody else's code, so one decoder is never asked while it is busy.
const decoder = new Decoder();

/**
 * The term in `bytes`, which must hold nothing else. Binaries in it are views of `bytes` unless `copyBytes`.
 * @throws MeshError `DECODE` with the offset, for everything that is no term or exceeds a limit of `options`.
 */
export function decode(bytes: Uint8Array, options?: DecodeOptions): Term {
  const term = decoder.decode(bytes, 0, options, resolveDepth(options?.depthMax));
  const { position } = decoder;
  if (position === bytes.length) return term;
  const left = bytes.length - position;
  throw new MeshError("DECODE", `${left} bytes left over (at byte ${position})`, { offset: position });
}

/**
 * As `decode`, from the cursor of `reader`, which is then behind the term (a compressed term takes all that is left).
 * @throws MeshError as `decode`; the cursor is then where it was.
 */
export function decodeFrom(reader: Reader, options?: DecodeOptions): Term {
  const { bytes, offset } = reader;
  const term = decoder.decode(bytes, offset, options, resolveDepth(options?.depthMax));
  reader.skip(decoder.position - offset);
  return term;
}
