import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import { deflateZlib } from "../../src/base/zlib.ts";
import { decode, encode, equals, format, type Term, tuple } from "../../src/etf/index.ts";

const refused = expect.objectContaining({ code: "DECODE" });

function u32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** Heap and buffers that `body` took while it ran, bytes; collected or not, so an upper bound of what it holds. */
function taken(body: () => void): number {
  const used = (): number => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  body();
  return used() - before;
}

describe("hostile input", () => {
  test("random bytes are a value or DECODE", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decode(Uint8Array.of(131, ...bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(MeshError);
          expect(error).toMatchObject({ code: "DECODE" });
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ["tuple", [105, ...u32(0xffff_ffff)]],
    ["list", [108, ...u32(0x7fff_ffff)]],
    ["map", [116, ...u32(0x7fff_ffff)]],
    ["binary", [109, ...u32(0xffff_ffff)]],
    ["bit string", [77, ...u32(0xffff_fff0), 3]],
    ["large integer", [111, ...u32(0xffff_ffff), 0]],
    ["string", [107, 255, 255]],
    ["compressed", [80, ...u32(60_000_000), 120, 156, 3, 0]],
  ])("a lying %s allocates nothing", (_, start) => {
    const bytes = Uint8Array.of(131, ...start, ...new Uint8Array(50).fill(106));
    expect(taken(() => expect(() => decode(bytes)).toThrow(refused))).toBeLessThan(2_000_000);
  });

  test("claims nested in claims allocate a small multiple of the input", () => {
    // Each of 900 tuples claims as many elements as there are bytes left: each check by itself passes.
    const bytes = new Uint8Array(900 * 5 + 100_000).fill(106);
    bytes[0] = 131;
    for (let level = 0; level < 900; level++) {
      const at = 1 + level * 5;
      bytes.set([105, ...u32(bytes.length - at - 5)], at);
    }
    expect(taken(() => expect(() => decode(bytes)).toThrow(refused))).toBeLessThan(40 * bytes.length);
  });

  test("16 MiB of empty lists are refused before they take a gigabyte", () => {
    const bytes = new Uint8Array(0x100_0000).fill(106);
    bytes.set([131, 108, ...u32(bytes.length - 7)]);
    expect(() => decode(bytes)).toThrow("more memory than allowed");
    const some = bytes.slice(0, 100_007);
    some.set([108, ...u32(100_000)], 1);
    expect(decode(some)).toHaveLength(100_000);
    expect(() => decode(some, { memoryBytesMax: 1_000_000 })).toThrow("more memory than allowed");
  });

  test("what inflates beyond the limit, or to another length, is refused", () => {
    const zeros = encode(new Uint8Array(10_000_000).fill(255), { compressed: true });
    expect(() => decode(zeros, { inflatedBytesMax: 1_000_000 })).toThrow("at most 1000000 allowed");
    expect(decode(zeros)).toHaveLength(10_000_000);
    for (const length of [9_000_000, 10_000_004, 10_000_006, 11_000_000]) {
      const lying = zeros.slice();
      lying.set(u32(length), 2);
      expect(() => decode(lying)).toThrow(refused);
    }
    const damaged = zeros.slice();
    damaged[damaged.length - 1] = (damaged.at(-1) as number) ^ 1;
    expect(() => decode(damaged)).toThrow(refused);
    expect(() => decode(Uint8Array.of(...zeros, 0))).toThrow(refused);
  });

  test("a small compressed term cannot become gigabytes of values", () => {
    const nils = new Uint8Array(20_000_000).fill(106);
    nils.set([108, ...u32(nils.length - 6)]);
    const packed = deflateZlib(nils, 6);
    expect(packed.length).toBeLessThan(100_000);
    const bomb = Uint8Array.of(131, 80, ...u32(nils.length), ...packed);
    expect(() => decode(bomb)).toThrow("more memory than allowed");
  });

  test("a compressed term within a compressed term is refused", () => {
    const inner = encode(Array.from<Term>({ length: 500 }).fill(tuple()), {
      compressed: true,
      version: false,
    });
    const nested = encode(tuple(new Uint8Array(3_000).fill(255)), { compressed: true });
    expect(nested[1]).toBe(80);
    expect(() => decode(Uint8Array.of(131, 104, 1, ...inner))).toThrow("unknown tag 80");
  });

  test("nesting is bounded, in every kind of term, and the bound does not exhaust the stack", () => {
    const deep = (levels: number, ...open: number[]): Uint8Array => {
      return new Uint8Array([131, ...Array.from({ length: levels }, () => open).flat(), 106]);
    };
    for (const open of [
      [104, 1],
      [108, 0, 0, 0, 1],
      [116, 0, 0, 0, 1, 97, 1],
      [105, 0, 0, 0, 1],
    ]) {
      expect(() => decode(deep(20_000, ...open))).toThrow(refused);
    }
    const most = decode(deep(999, 104, 1));
    expect(encode(most)).toStrictEqual(deep(999, 104, 1));
    expect(equals(most, decode(deep(999, 104, 1)))).toBe(true);
    expect(format(most)).toContain("…");
    expect(() => decode(deep(1_001, 104, 1))).toThrow("nested too deeply");
    expect(() => encode([[most]])).toThrow(expect.objectContaining({ code: "ENCODE" }));
    expect(() => decode(deep(1, 104, 1), { depthMax: 1_001 })).toThrow(RangeError);
  });

  test("a chain of a million lists of one element is one list", () => {
    const bytes = new Uint8Array(2 + 7 * 1_000_000);
    bytes[0] = 131;
    for (let index = 0; index < 1_000_000; index++) bytes.set([108, 0, 0, 0, 1, 97, 5], 1 + index * 7);
    bytes[bytes.length - 1] = 106;
    expect(decode(bytes)).toHaveLength(1_000_000);
  });

  test("a decoded object cannot pollute what it inherits from", () => {
    const bytes = encode(
      new Map<Term, Term>([
        ["__proto__", { polluted: 1 }],
        ["constructor", 1],
      ]),
    );
    const term = decode(bytes);
    expect(term).toBeInstanceOf(Map);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
