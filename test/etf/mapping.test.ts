import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Reader } from "../../src/base/reader.ts";
import { hex } from "../../src/base/text.ts";
import { Writer } from "../../src/base/writer.ts";
import {
  atom,
  BitString,
  bytes,
  charlist,
  decode,
  decodeFrom,
  encode,
  encodeInto,
  equals,
  float,
  ImproperList,
  Pid,
  Port,
  Reference,
  type Term,
  text,
  tuple,
} from "../../src/etf/index.ts";
import { anyTerm } from "./support/arbitrary.ts";

describe("mapping of terms to JavaScript", () => {
  test("every term survives a round trip, and its bytes do", () => {
    fc.assert(
      fc.property(anyTerm, (term) => {
        const encoded = encode(term);
        const decoded = decode(encoded);
        expect(equals(decoded, term)).toBe(true);
        expect(hex(encode(decoded))).toBe(hex(encoded));
      }),
      { numRuns: 500 },
    );
  });

  test("text and bytes, objects and maps keep apart when marked", () => {
    const value = {
      text: "a",
      empty: "",
      bytes: new Uint8Array([97]),
      map: new Map<Term, Term>([["a", 1]]),
      object: { a: 1, "10": 2, "9": 3 },
      large: Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`${index * 7}`, index])),
    };
    const encoded = encode(value, { text: "marked" });
    expect(decode(encoded, { binaries: "bytes" })).toStrictEqual(value);
  });

  test("plain: bytes that are UTF-8 become text; `binaries: bytes` keeps them bytes", () => {
    const encoded = encode(["a", new Uint8Array([255])]);
    expect(decode(encoded)).toStrictEqual(["a", new Uint8Array([255])]);
    expect(decode(encoded, { binaries: "bytes" })).toStrictEqual([
      new Uint8Array([97]),
      new Uint8Array([255]),
    ]);
  });

  test("keys that an object would swallow or reorder make a Map", () => {
    const swallowed = new Map<Term, Term>([
      ["__proto__", 1],
      ["a", 2],
    ]);
    expect(decode(encode(swallowed))).toStrictEqual(swallowed);
    const object = JSON.parse('{"__proto__": 1}') as Term;
    expect(decode(encode(object))).toStrictEqual(new Map([["__proto__", 1]]));
    const reordered = new Map<Term, Term>(
      Array.from({ length: 40 }, (_, index) => [String(100 - index), index]),
    );
    expect([...(decode(encode(reordered)) as Map<Term, Term>)]).toStrictEqual([...reordered]);
    expect(decode(encode({ "2": "b", "1": "a" }))).toStrictEqual({ "1": "a", "2": "b" });
    expect(decode(encode({ a: 1 }), { maps: "maps" })).toStrictEqual(new Map([["a", 1]]));
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("the keys of up to 32 are written in Erlang's order", () => {
    const keys: Term[] = [
      "b",
      "a",
      atom("a"),
      1,
      float(1),
      [],
      [1],
      tuple(9),
      tuple(),
      undefined,
      true,
      2n ** 70n,
    ];
    const order = [1, 2n ** 70n, float(1), atom("a"), true, undefined, tuple(), tuple(9), [], [1], "a", "b"];
    const encoded = encode(new Map(keys.map((key) => [key, 0])));
    expect([...(decode(encoded) as Map<Term, Term>).keys()]).toStrictEqual(order);
  });

  test("a map that has one Erlang key twice is refused", () => {
    const map = new Map<Term, Term>([
      [tuple(1), 1],
      [tuple(1), 2],
    ]);
    expect(() => encode(map)).toThrow(expect.objectContaining({ code: "ENCODE" }));
  });

  test("null is the atom null, or nil", () => {
    expect(encode(null, { nullAtom: "nil" })).toStrictEqual(encode(atom("nil")));
    expect(decode(encode(atom("nil")), { nullAtom: "nil" })).toBe(null);
    expect(decode(encode(null), { nullAtom: "nil" })).toBe(atom("null"));
  });

  test("numbers: -0 is a float, integers beyond 2^53 are floats unless bigint", () => {
    expect(hex(encode(-0))).toBe("83468000000000000000");
    expect(hex(encode(2 ** 53))).toBe("83464340000000000000");
    expect(hex(encode(5n))).toBe("836105");
    expect(hex(encode([1n, 255]))).toBe("836b000201ff");
    expect(hex(encode([-0]))).toBe("836c000000014680000000000000006a");
  });

  test("lone surrogates become U+FFFD", () => {
    expect(decode(encode("a\ud800"))).toBe("a\ufffd");
  });

  test("an improper list that ends in a list is that list", () => {
    expect(encode(new ImproperList([1], [2, 3]))).toStrictEqual(encode([1, 2, 3]));
    expect(encode(new ImproperList([1], new ImproperList([2], 3)))).toStrictEqual(
      encode(new ImproperList([1, 2], 3)),
    );
    expect(encode(new ImproperList([], 1))).toStrictEqual(encode(1));
  });

  test.each([
    ["a function", { a: [1, { f: () => 1 }] }, "a function at a[1].f"],
    ["a symbol", [Symbol("x")], "a symbol at [0]"],
    ["NaN", { x: Number.NaN }, "the number NaN at x"],
    ["an infinite float", tuple(float(Number.POSITIVE_INFINITY)), "the number Infinity at [0]"],
    ["an object of a class", { when: { date: new Date(0) } }, "an object of class Date at when.date"],
    ["other typed arrays", { "a b": new Uint16Array(1) }, 'an object of class Uint16Array at ["a b"]'],
    ["a value in a map", new Map([["k", new Set()]]), "an object of class Set at k"],
    ["a bit string of 9 bits a byte", [new BitString(Uint8Array.of(1), 9)], "9 bits"],
    ["a long atom name", tuple({ name: 1 }, new ImproperList([1], () => 1)), "a function at [1].tail"],
  ])("ENCODE names the part: %s", (_, value, message) => {
    expect(() => encode(value as Term)).toThrow(expect.objectContaining({ code: "ENCODE" }));
    expect(() => encode(value as Term)).toThrow(message);
  });

  test("ENCODE: a value that contains itself", () => {
    const cyclic: { list: unknown[] } = { list: [] };
    cyclic.list.push({ again: cyclic });
    expect(() => encode(cyclic as Term)).toThrow("a value that contains itself at list[0].again");
    const key: unknown[] = [];
    key.push(key);
    expect(() => encode(new Map([[key as Term, 1]]))).toThrow(expect.objectContaining({ code: "ENCODE" }));
  });

  test("objects of other realms and without prototype are plain", () => {
    const object = Object.assign(Object.create(null) as object, { a: 1 }) as Term;
    expect(encode(object)).toStrictEqual(encode({ a: 1 }));
  });

  test("a getter may encode in turn", () => {
    const value = {
      a: 1,
      get b(): Term {
        return encode(["inner", 1]).length;
      },
      c: "x",
    };
    expect(decode(encode(value))).toStrictEqual({ a: 1, b: encode(["inner", 1]).length, c: "x" });
  });
});

describe("ways to call", () => {
  test("encodeInto appends, decodeFrom goes on behind the term", () => {
    const writer = new Writer(4);
    writer.u8(7);
    encodeInto(writer, { text: "x".repeat(100) });
    encodeInto(writer, tuple(1, 2.5), { version: false });
    encodeInto(writer, "last", { compressed: true });
    const reader = new Reader(writer.take());
    expect(reader.u8()).toBe(7);
    expect(decodeFrom(reader)).toStrictEqual({ text: "x".repeat(100) });
    expect(decodeFrom(reader, { version: false })).toStrictEqual(tuple(1, 2.5));
    expect(decodeFrom(reader)).toBe("last");
    expect(reader.remaining).toBe(0);
  });

  test("a failed encodeInto leaves the writer as it was, a failed decodeFrom the reader", () => {
    const writer = new Writer();
    writer.u8(1);
    expect(() => encodeInto(writer, ["x".repeat(1_000), Number.NaN])).toThrow("NaN at [1]");
    expect(hex(writer.bytes())).toBe("01");
    encodeInto(writer, 5);
    expect(hex(writer.bytes())).toBe("01836105");
    const reader = new Reader(Uint8Array.of(131, 104, 1, 97), 0);
    expect(() => decodeFrom(reader)).toThrow(expect.objectContaining({ code: "DECODE", offset: 4 }));
    expect(reader.offset).toBe(0);
  });

  test("results of encode stay as they are", () => {
    const results = Array.from({ length: 2_000 }, (_, index) =>
      encode({ index, text: "x".repeat(index % 300) }),
    );
    for (const [index, result] of results.entries()) expect(decode(result)).toMatchObject({ index });
  });

  test("binaries are views of the input, or copies when asked for, never Buffers", () => {
    const input = Buffer.from(encode(new Uint8Array([255, 1])));
    const view = decode(input) as Uint8Array;
    const copy = decode(input, { copyBytes: true });
    expect(Object.getPrototypeOf(view)).toBe(Uint8Array.prototype);
    input[input.length - 1] = 9;
    expect(view).toStrictEqual(new Uint8Array([255, 9]));
    expect(copy).toStrictEqual(new Uint8Array([255, 1]));
  });

  test("names that were decoded do not change with the input", () => {
    const input = Buffer.from(encode({ remembered: 1 }));
    decode(input);
    input.fill(0);
    expect(decode(encode({ remembered: 1 }))).toStrictEqual({ remembered: 1 });
  });

  test("compressed only when that is shorter", () => {
    expect(encode(atom("a"), { compressed: true })).toStrictEqual(encode(atom("a")));
    const term = Array.from<Term>({ length: 1_000 }).fill(atom("a"));
    const packed = encode(term, { compressed: 9 });
    expect(packed[1]).toBe(80);
    expect(packed.length).toBeLessThan(100);
    expect(decode(packed)).toStrictEqual(term);
  });

  test("nodeName renames the nodes of identifiers, both ways, in compressed terms too, and no other atom", () => {
    const pid = new Pid("here", 1, 2, 3);
    const term = [pid, new Reference("here", 4, [5]), new Port("here", 6n, 7), atom("here")];
    const there = (name: string): string => (name === "here" ? "there" : name);
    for (const compressed of [false, true]) {
      const list = Array.from<unknown, Term>({ length: 20 }, () => term);
      const bytes = encode(list, { nodeName: there, compressed });
      expect(bytes[1] === 80).toBe(compressed);
      const [first] = decode(bytes) as [Term];
      const renamed = [
        new Pid("there", 1, 2, 3),
        new Reference("there", 4, [5]),
        new Port("there", 6n, 7),
        atom("here"),
      ];
      expect(first).toStrictEqual(renamed);
      const back = (name: string): string => (name === "there" ? "here" : name);
      expect(decode(bytes, { nodeName: back })).toStrictEqual(list);
    }
  });

  test("text and bytes of Erlang's forms", () => {
    expect(text(["a", [charlist("é€"), new Uint8Array([98])], new ImproperList([99], "d")])).toBe("aé€bcd");
    expect(text(atom("name"))).toBe("name");
    expect(bytes([1, "é", [new Uint8Array([255])]])).toStrictEqual(new Uint8Array([1, 0xc3, 0xa9, 255]));
    expect(() => text([tuple()])).toThrow(expect.objectContaining({ code: "DECODE" }));
    expect(() => text([0xd800])).toThrow("55296 is not a character");
    expect(() => bytes([256])).toThrow("256 is not a byte");
  });
});
