import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reader } from "../../src/base/reader.ts";
import { Writer } from "../../src/base/writer.ts";

const field = fc.oneof(
  fc.record({ kind: fc.constant("u8" as const), value: fc.nat(0xff) }),
  fc.record({ kind: fc.constant("u16" as const), value: fc.nat(0xffff) }),
  fc.record({ kind: fc.constant("u32" as const), value: fc.nat(0xffff_ffff) }),
  fc.record({ kind: fc.constant("u64" as const), value: fc.bigInt(0n, 2n ** 64n - 1n) }),
  fc.record({ kind: fc.constant("f64" as const), value: fc.double() }),
  fc.record({ kind: fc.constant("raw" as const), value: fc.uint8Array({ maxLength: 50 }) }),
);

test("what a Writer wrote a Reader reads, whatever the buffer's first size", () => {
  fc.assert(
    fc.property(fc.array(field), fc.nat(64), fc.nat(5), (fields, capacity, headroom) => {
      const writer = new Writer(capacity);
      writer.raw(new Uint8Array(headroom));
      for (const { kind, value } of fields) {
        if (kind === "u64") writer.u64(value);
        else if (kind === "raw") writer.raw(value);
        else writer[kind](value);
      }
      const { length } = writer;
      const bytes = writer.take();
      expect(bytes).toHaveLength(length);
      expect(writer.length).toBe(0);
      // A view in the middle of a larger buffer must not be mistaken for the buffer.
      const around = new Uint8Array(bytes.length + 20).fill(0xaa);
      around.set(bytes, 10);
      const reader = new Reader(around.subarray(10, 10 + bytes.length), headroom);
      for (const { kind, value } of fields) {
        if (kind === "raw") expect(reader.view(value.length)).toEqual(value);
        else expect(reader[kind]()).toEqual(value);
      }
      expect(reader.offset).toBe(bytes.length);
      reader.end();
    }),
  );
});

describe("Reader", () => {
  const reads: readonly [string, number, (reader: Reader) => unknown][] = [
    ["u8", 1, (reader) => reader.u8()],
    ["u16", 2, (reader) => reader.u16()],
    ["u32", 4, (reader) => reader.u32()],
    ["i32", 4, (reader) => reader.i32()],
    ["u64", 8, (reader) => reader.u64()],
    ["f64", 8, (reader) => reader.f64()],
    ["view", 5, (reader) => reader.view(5)],
    ["text", 5, (reader) => reader.text(5)],
  ];

  test.each(reads)("%s ends at the end, and says where", (_, length, read) => {
    // The byte behind the view is there and must not be reached.
    const bytes = new Uint8Array(20).subarray(3, 3 + 2 + length - 1);
    const reader = new Reader(bytes, 2);
    expect(() => read(reader)).toThrow(expect.objectContaining({ code: "DECODE", offset: 2 }));
    // A failed read moves nothing.
    expect(reader.offset).toBe(2);
    expect(reader.remaining).toBe(length - 1);
    const enough = new Reader(new Uint8Array(length));
    read(enough);
    expect(enough.remaining).toBe(0);
  });

  test.each([-1, Number.NaN, 0x1_0000_0000])(
    "a length of %d does not move the cursor back or away",
    (length) => {
      const reader = new Reader(new Uint8Array(10), 5);
      expect(() => reader.view(length)).toThrow(expect.objectContaining({ code: "DECODE", offset: 5 }));
      expect(reader.offset).toBe(5);
    },
  );

  test("leftovers are an error", () => {
    const reader = new Reader(new Uint8Array(3), 1);
    expect(() => reader.end()).toThrow(expect.objectContaining({ code: "DECODE", offset: 1 }));
  });

  test("signed integers and text", () => {
    expect(new Reader(Uint8Array.of(0xff, 0xff, 0xff, 0xfe)).i32()).toBe(-2);
    expect(new Reader(Uint8Array.of(0xc3, 0xa4)).text(2)).toBe("ä");
    expect(() => new Reader(Uint8Array.of(0xc3)).text(1)).toThrow(
      expect.objectContaining({ code: "DECODE" }),
    );
  });
});

describe("Writer", () => {
  test("patches what was reserved, also after the buffer grew", () => {
    const writer = new Writer(4);
    const start = writer.reserve(5);
    writer.raw(new Uint8Array(100).fill(7));
    writer.patchU8(start, 1);
    writer.patchU32(start + 1, 0x02030405);
    expect([...writer.bytes().subarray(0, 6)]).toEqual([1, 2, 3, 4, 5, 7]);
  });

  test("truncate forgets, and never lengthens", () => {
    const writer = new Writer();
    writer.u32(0x01020304);
    writer.truncate(2);
    writer.truncate(9);
    expect([...writer.bytes()]).toEqual([1, 2]);
  });

  test("what was taken does not change any more", () => {
    const writer = new Writer(8);
    writer.u32(1);
    const taken = writer.take();
    writer.u32(0xffff_ffff);
    expect([...taken]).toEqual([0, 0, 0, 1]);
  });

  test("a capacity of nothing grows too", () => {
    const writer = new Writer(0);
    writer.u8(1);
    writer.u16(2);
    expect([...writer.take()]).toEqual([1, 0, 2]);
  });
});
