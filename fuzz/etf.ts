import * as fc from "fast-check";
import { equal } from "../src/base/bytes.ts";
import { MeshError, toError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { hex } from "../src/base/text.ts";
import {
  type DecodeOptions,
  decode,
  type EncodeOptions,
  encode,
  equals,
  type Term,
} from "../src/etf/index.ts";
import { anyTerm } from "../test/etf/support/arbitrary.ts";

/** Every way of reading, with the way of writing that goes with it. */
const modes: readonly { readonly reading: DecodeOptions; readonly writing: EncodeOptions }[] = [
  { reading: {}, writing: {} },
  { reading: { binaries: "bytes" }, writing: { text: "marked" } },
  {
    reading: { binaries: "bytes", maps: "maps", nullAtom: "nil" },
    writing: { text: "marked", nullAtom: "nil" },
  },
];
const corpusSize = 200;

/**
 * Throws damaged terms and garbage at the decoder for `seconds`; returns how many. Each must be refused with `DECODE`, or
 * become a value whose encoding decodes to the same value.
 * @throws Error with the seed of the input that broke that promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  const corpus = fc.sample(anyTerm, { numRuns: corpusSize, seed }).map((term) => encode(term));
  let runs = 0;
  for (; performance.now() < end; runs++) {
    const own = (seed + runs) >>> 0;
    const input = makeInput(seededRandom(own), corpus);
    try {
      for (const { reading, writing } of modes) check(input, reading, writing);
    } catch (cause) {
      throw new Error(`fuzz etf: seed ${own}, ${hex(input).slice(0, 2_000)}: ${toError(cause).message}`, {
        cause,
      });
    }
  }
  return runs;
}

function check(input: Uint8Array, reading: DecodeOptions, writing: EncodeOptions): void {
  let term: Term;
  try {
    term = decode(input, reading);
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== "DECODE") throw error;
    if (error.offset === undefined || error.offset < 0 || error.offset > input.length) {
      throw new Error(`offset ${error.offset} in ${input.length} bytes`, { cause: error });
    }
    return;
  }
  const encoded = encode(term, writing);
  const again = decode(encoded, reading);
  if (!equals(again, term) && writing.nullAtom === undefined)
    throw new Error("another term after a round trip");
  if (!equal(encode(again, writing), encoded)) throw new Error("other bytes after a second round trip");
}

function makeInput(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  if (random.integer(8) === 0) return Uint8Array.of(131, ...random.bytes(random.integer(200)));
  const valid = pick(random, corpus);
  const term = random.integer(8) === 0 ? encode(decode(valid), { compressed: true }) : valid.slice();
  return mutate(random, term, corpus);
}

/** Some bytes changed, removed, doubled, or taken from another term. */
function mutate(random: Random, term: Uint8Array, corpus: readonly Uint8Array[]): Uint8Array {
  let bytes = term;
  for (let count = random.integer(4); count > 0 && bytes.length > 1; count--) {
    const at = 1 + random.integer(bytes.length - 1);
    const length = 1 + random.integer(Math.min(16, bytes.length - at));
    switch (random.integer(5)) {
      case 0:
        bytes = bytes.slice();
        bytes[at] = random.integer(256);
        break;
      case 1:
        bytes = Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + length));
        break;
      case 2:
        bytes = Uint8Array.of(...bytes.subarray(0, at + length), ...bytes.subarray(at));
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      default:
        bytes = Uint8Array.of(
          ...bytes.subarray(0, at),
          ...pick(random, corpus).subarray(1),
          ...bytes.subarray(at),
        );
    }
  }
  return bytes;
}

function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[random.integer(values.length)] as Value;
}
