import { constants, deflateSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { inflateZlib } from "../../src/base/zlib.ts";

const decodeError = expect.objectContaining({ code: "DECODE" });

describe("RFC 1950, RFC 1951", () => {
  test("whatever zlib makes, by every level, strategy and window", () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 3_000 }),
      fc
        .array(fc.constantFrom("alpha ", "beta ", "gamma ", "\n"), { maxLength: 2_000 })
        .map((words) => Buffer.from(words.join(""))),
      fc.tuple(fc.nat(255), fc.nat(100_000)).map(([byte, length]) => new Uint8Array(length).fill(byte)),
    );
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 0, max: 9 }),
        fc.constantFrom(
          constants.Z_DEFAULT_STRATEGY,
          constants.Z_HUFFMAN_ONLY,
          constants.Z_RLE,
          constants.Z_FIXED,
          constants.Z_FILTERED,
        ),
        fc.integer({ min: 9, max: 15 }),
        (bytes, level, strategy, windowBits) => {
          const stream = deflateSync(bytes, { level, strategy, windowBits });
          expect(Buffer.compare(inflateZlib(stream, bytes.length), bytes)).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("codes of up to 15 bits", () => {
    // Fibonacci frequencies make the deepest code there can be.
    const parts: Uint8Array[] = [];
    for (let symbol = 0, [a, b] = [1, 1] as [number, number]; symbol < 22; symbol++, [a, b] = [b, a + b]) {
      parts.push(new Uint8Array(a).fill(symbol * 7));
    }
    const bytes = concat(parts);
    for (let index = bytes.length - 1, state = 7; index > 0; index--) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      const other = state % (index + 1);
      [bytes[index], bytes[other]] = [bytes[other] as number, bytes[index] as number];
    }
    const stream = deflateSync(bytes, { strategy: constants.Z_HUFFMAN_ONLY });
    expect(Buffer.compare(inflateZlib(stream, bytes.length), bytes)).toBe(0);
  });

  test("a stream of several blocks of every kind", () => {
    const noise = Uint8Array.from({ length: 70_000 }, (_, index) => Math.imul(index, 2_654_435_761) >>> 13);
    const bytes = concat([
      noise,
      new Uint8Array(200_000),
      new TextEncoder().encode("word ".repeat(20_000)),
      noise,
    ]);
    for (let level = 0; level <= 9; level++) {
      expect(Buffer.compare(inflateZlib(deflateSync(bytes, { level }), bytes.length), bytes)).toBe(0);
    }
  });
});

describe("hostile streams", () => {
  const stream = deflateSync("to be or not to be, that is the question");
  const { length } = "to be or not to be, that is the question";

  test("every truncation", () => {
    for (let end = 0; end < stream.length; end++) {
      expect(() => inflateZlib(stream.subarray(0, end), length)).toThrow(decodeError);
    }
  });

  test("a byte more, another size, any flipped bit: an error, or the same bytes", () => {
    expect(() => inflateZlib(concat([stream, Uint8Array.of(0)]), length)).toThrow(decodeError);
    expect(() => inflateZlib(stream, length - 1)).toThrow(decodeError);
    expect(() => inflateZlib(stream, length + 1)).toThrow(decodeError);
    for (let bit = 0; bit < stream.length * 8; bit++) {
      const flipped = new Uint8Array(stream);
      (flipped[bit >> 3] as number) ^= 1 << (bit & 7);
      expect(() => {
        expect(Buffer.from(inflateZlib(flipped, length)).toString()).toBe(
          "to be or not to be, that is the question",
        );
        throw Object.assign(new Error("the same"), { code: "DECODE" });
      }).toThrow(decodeError);
    }
  });

  test("random bytes behind a good header", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(5_000), (bytes, size) => {
        expect(() => inflateZlib(concat([Uint8Array.of(0x78, 0x9c), bytes]), size)).toThrow(decodeError);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ["no header", "0000030000000001"],
    ["a dictionary", "78bb030000000001"],
    ["a window above 32 KiB", "881c030000000001"],
    ["a block of unknown kind", "789c070000000001"],
    ["a stored block of two lengths", "789c0101000000aa00000001"],
    ["a stored block that is cut short", "789c010500faffaa00000001"],
    ["a distance beyond the beginning", "789c030200000000000001"],
  ])("%s", (_, text) => {
    expect(() => inflateZlib(new Uint8Array(Buffer.from(text, "hex")), 1)).toThrow(decodeError);
  });

  test("a size that no stream of this length can have is not allocated", () => {
    expect(() => inflateZlib(stream, 2 ** 40)).toThrow(decodeError);
  });
});
