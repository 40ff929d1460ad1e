/** How JavaScript values become terms. */
export interface EncodeOptions {
  /**
   * How strings are written. `"plain"`: as binaries, byte for byte what Erlang writes. `"marked"`: as bit strings of
   * a whole number of bytes, which every Erlang reads as the same plain binary and our decoder as text, so that between
   * our own nodes a string stays a string and a `Uint8Array` a `Uint8Array`. Default `"plain"`.
   */
  readonly text?: "plain" | "marked";
  /** The atom for `null`: `null`, or Elixir's `nil`. Default `"null"`. */
  readonly nullAtom?: "null" | "nil";
  /**
   * Compress (zlib) when that makes it shorter: `true` is level 6, as `term_to_binary(T, [compressed])`; or a level,
   * 0 … 9. Default `false`.
   */
  readonly compressed?: boolean | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
  /**
   * As Erlang's option `minor_version`: 2 writes atoms in UTF-8, which is what `term_to_binary/1` does since OTP 26; 1 writes
   * atoms in Latin-1 where possible, as it did before. Default 2.
   */
  readonly minorVersion?: 1 | 2;
  /** Begin with the version byte 131, as `term_to_binary/1`. Default `true`. */
  readonly version?: boolean;
  /** What the node of pids, ports and references is called over there. Default: as it is. */
  readonly nodeName?: (name: string) => string;
  /** How deep terms may nest, 1 … 1000. Default 1000. */
  readonly depthMax?: number;
}

/** How terms become JavaScript values. */
export interface DecodeOptions {
  /**
   * What an unmarked binary becomes. `"text"`: a string when it is valid UTF-8, else a `Uint8Array`. `"bytes"`: always
   * a `Uint8Array`, except as keys of a map, see `maps`. Default `"text"`.
   */
  readonly binaries?: "text" | "bytes";
  /**
   * What a map becomes. `"objects"`: a plain object when all keys are plain binaries of valid UTF-8 and the object
   * would encode back to the same bytes, else a `Map`. `"maps"`: always a `Map`. Default `"objects"`.
   */
  readonly maps?: "objects" | "maps";
  /** The atom that becomes `null`: `null`, or Elixir's `nil`. Default `"null"`. */
  readonly nullAtom?: "null" | "nil";
  /** Expect the version byte 131 first. Default `true`. */
  readonly version?: boolean;
  /** What the node of pids, ports and references is called here. Default: as it is. */
  readonly nodeName?: (name: string) => string;
  /** Copy binaries; by default they are views of the input, which keep it alive and change with it. Default `false`. */
  readonly copyBytes?: boolean;
  /** How deep terms may nest, 1 … 1000. Default 1000. Threat: exhausting the stack. */
  readonly depthMax?: number;
  /** The most that a compressed term may inflate to, bytes. Default 64 MiB. Threat: a few bytes that inflate to gigabytes. */
  readonly inflatedBytesMax?: number;
  /**
   * The most memory that the values may take, estimated, bytes. Default 64 MiB or 16 times the input, whichever is more.
   * Threat: terms of one byte that need forty as a JavaScript value.
   */
  readonly memoryBytesMax?: number;
}

/** The JavaScript stack of Node (984 KB) holds about 1750 levels of maps, unoptimised; callers need some of it too. */
const depthLimit = 1_000;

/** @throws RangeError for a depth outside 1 … 1000. */
export function resolveDepth(given: number | undefined): number {
  const depth = given ?? 1_000;
  if (Number.isInteger(depth) && depth >= 1 && depth <= depthLimit) return depth;
  throw new RangeError(`depthMax must be an integer from 1 to ${depthLimit}, not ${depth}`);
}
