import { describe, expect, test } from "vitest";
import { hex } from "../../src/base/text.ts";
import {
  atom,
  BitString,
  decode,
  ExportFun,
  encode,
  float,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  tuple,
} from "../../src/etf/index.ts";

/** Bytes of hexadecimal digits; text between quotes stands for itself. */
function bytes(notation: string): Uint8Array {
  const digits = notation.replace(/'([^']*)'/g, (_, text: string) => hex(new TextEncoder().encode(text)));
  return new Uint8Array(Buffer.from(digits.replace(/\s/g, ""), "hex"));
}

const node = "77 03 'a@b'";
const pid = new Pid("a@b", 5, 1, 2);

/** External Term Format, one section after the other: the tag, its bytes, the term. These are also what is written. */
const current: readonly (readonly [string, string, Term])[] = [
  ["SMALL_INTEGER_EXT", "61 ff", 255],
  ["INTEGER_EXT", "62 00000100", 256],
  ["INTEGER_EXT, negative", "62 ffffffff", -1],
  ["INTEGER_EXT, least", "62 80000000", -(2 ** 31)],
  ["SMALL_BIG_EXT, a number", "6e 04 00 00000080", 2 ** 31],
  ["SMALL_BIG_EXT, the greatest number", "6e 07 00 ffffffffffff1f", Number.MAX_SAFE_INTEGER],
  ["SMALL_BIG_EXT, the least number", "6e 07 01 ffffffffffff1f", Number.MIN_SAFE_INTEGER],
  ["SMALL_BIG_EXT, a bigint", "6e 07 00 00000000000020", 2n ** 53n],
  ["SMALL_BIG_EXT, negative", "6e 09 01 000000000000000001", -(2n ** 64n)],
  ["LARGE_BIG_EXT", `6f 00000100 00 ${"00".repeat(255)} 01`, 2n ** 2040n],
  ["NEW_FLOAT_EXT", "46 3ff8000000000000", 1.5],
  ["NEW_FLOAT_EXT, integral", "46 3ff0000000000000", float(1)],
  ["NEW_FLOAT_EXT, -0.0", "46 8000000000000000", float(-0)],
  ["NEW_FLOAT_EXT, beyond exact integers", "46 4340000000000000", 2 ** 53],
  ["SMALL_ATOM_UTF8_EXT", "77 02 'ok'", atom("ok")],
  ["SMALL_ATOM_UTF8_EXT, not ASCII", "77 02 'é'", atom("é")],
  ["ATOM_UTF8_EXT", `76 0100 ${hex(new TextEncoder().encode("é".repeat(128)))}`, atom("é".repeat(128))],
  ["atom true", "77 04 'true'", true],
  ["atom false", "77 05 'false'", false],
  ["atom null", "77 04 'null'", null],
  ["atom undefined", "77 09 'undefined'", undefined],
  ["SMALL_TUPLE_EXT", "68 02 61 01 77 01 'a'", tuple(1, atom("a"))],
  ["SMALL_TUPLE_EXT, empty", "68 00", tuple()],
  ["NIL_EXT", "6a", []],
  ["STRING_EXT", "6b 0003 01 02 ff", [1, 2, 255]],
  ["LIST_EXT", "6c 00000002 61 01 62 00000100 6a", [1, 256]],
  ["LIST_EXT, improper", "6c 00000001 61 01 61 02", new ImproperList([1], 2)],
  ["BINARY_EXT, text", "6d 00000003 'aé'", "aé"],
  ["BINARY_EXT, empty", "6d 00000000", ""],
  ["BINARY_EXT, a byte order mark", "6d 00000003 efbbbf", "\ufeff"],
  ["BINARY_EXT, no text", "6d 00000002 ff00", Uint8Array.of(255, 0)],
  ["BIT_BINARY_EXT", "4d 00000002 03 ff a0", new BitString(Uint8Array.of(0xff, 0xa0), 3)],
  ["MAP_EXT, an object", "74 00000002 6d 00000001 'a' 61 01 6d 00000001 'b' 61 02", { a: 1, b: 2 }],
  [
    "MAP_EXT, a Map",
    "74 00000002 61 01 6a 77 01 'a' 61 02",
    new Map<Term, Term>([
      [1, []],
      [atom("a"), 2],
    ]),
  ],
  ["MAP_EXT, empty", "74 00000000", {}],
  ["NEW_PID_EXT", `58 ${node} 00000005 00000001 00000002`, pid],
  ["NEW_PORT_EXT", `59 ${node} 00000005 00000002`, new Port("a@b", 5n, 2)],
  ["V4_PORT_EXT", `78 ${node} 0000000100000005 00000002`, new Port("a@b", 2n ** 32n + 5n, 2)],
  ["NEWER_REFERENCE_EXT", `5a 0002 ${node} 00000002 00000007 00000008`, new Reference("a@b", 2, [7, 8])],
  ["EXPORT_EXT", "71 77 01 'm' 77 01 'f' 61 02", new ExportFun("m", "f", 2)],
];

/** Forms that others write, or wrote once. */
const accepted: readonly (readonly [string, string, Term])[] = [
  ["FLOAT_EXT", `63 '1.50000000000000000000e+00' 0000000000`, 1.5],
  ["ATOM_EXT", "64 0002 'ok'", atom("ok")],
  ["ATOM_EXT, Latin-1", "64 0001 e9", atom("é")],
  ["SMALL_ATOM_EXT", "73 02 'ok'", atom("ok")],
  ["ATOM_UTF8_EXT, short", "76 0002 'ok'", atom("ok")],
  ["LARGE_TUPLE_EXT, short", "69 00000001 61 01", tuple(1)],
  ["SMALL_BIG_EXT, short", "6e 01 01 05", -5],
  ["SMALL_BIG_EXT, zeros in front", "6e 09 00 050000000000000000", 5],
  ["SMALL_BIG_EXT, no bytes", "6e 00 01", 0],
  ["LARGE_BIG_EXT, short", "6f 00000001 00 05", 5],
  ["LIST_EXT, a list as tail", "6c 00000001 61 01 6c 00000001 61 02 6b 0001 03", [1, 2, 3]],
  ["LIST_EXT, without elements", "6c 00000000 61 01", 1],
  ["BIT_BINARY_EXT, whole bytes: marked text", "4d 00000001 08 'a'", "a"],
  ["BIT_BINARY_EXT, empty", "4d 00000000 00", ""],
  ["BIT_BINARY_EXT, unused bits set", "4d 00000001 03 bf", new BitString(Uint8Array.of(0xa0), 3)],
  ["PID_EXT", `67 ${node} 00000005 00000001 02`, pid],
  ["PORT_EXT", `66 ${node} 00000005 02`, new Port("a@b", 5n, 2)],
  ["REFERENCE_EXT", `65 ${node} 00000005 02`, new Reference("a@b", 2, [5])],
  ["NEW_REFERENCE_EXT", `72 0001 ${node} 02 00000005`, new Reference("a@b", 2, [5])],
  ["MAP_EXT, keys in no order", "74 00000002 6d 00000001 'b' 61 02 6d 00000001 'a' 61 01", { a: 1, b: 2 }],
];

describe("External Term Format", () => {
  test.each(current)("%s", (_, notation, term) => {
    const encoded = bytes(`83 ${notation}`);
    expect(decode(encoded)).toStrictEqual(term);
    expect(hex(encode(term))).toBe(hex(encoded));
  });

  test.each(accepted)("%s", (_, notation, term) => {
    expect(decode(bytes(`83 ${notation}`))).toStrictEqual(term);
  });

  test("LARGE_TUPLE_EXT from 256 elements on", () => {
    const elements = Array.from({ length: 256 }, (_, index) => index);
    const encoded = encode(tuple(...elements));
    expect(hex(encoded.subarray(0, 8))).toBe("8369000001006100");
    expect(decode(encoded)).toStrictEqual(tuple(...elements));
  });

  test("STRING_EXT up to 65535 bytes, LIST_EXT beyond", () => {
    const list = Array.from<number>({ length: 65_535 }).fill(7);
    expect(encode(list)[1]).toBe(107);
    expect(decode(encode(list))).toStrictEqual(list);
    list.push(7);
    expect(encode(list)[1]).toBe(108);
    expect(decode(encode(list))).toStrictEqual(list);
  });

  test("NEW_FUN_EXT and FUN_EXT are carried as they came", () => {
    const body = `02 ${"ab".repeat(16)} 00000007 00000001 77 01 'm' 61 07 62 00abcdef 58 ${node} 00000005 00000001 00000002 61 2a`;
    const size = (bytes(body).length + 4).toString(16).padStart(8, "0");
    const newFun = bytes(`83 70 ${size} ${body}`);
    const oldFun = bytes(`83 75 00000001 67 ${node} 00000005 00000001 02 77 01 'm' 61 07 62 00abcdef 61 2a`);
    for (const encoded of [newFun, oldFun]) {
      const fun = decode(encoded) as OpaqueFun;
      expect(fun).toBeInstanceOf(OpaqueFun);
      expect(fun).toMatchObject({ module: "m", index: 7, unique: 0xabcdef, free: [42] });
      expect(hex(encode(tuple(fun)))).toBe(`836801${hex(encoded.subarray(1))}`);
    }
  });

  test.each([
    ["ATOM_CACHE_REF", "52 00", /ATOM_CACHE_REF/],
    ["LOCAL_EXT", "79 00", /LOCAL_EXT/],
    ["distribution header", "44 00", /distribution header/],
    ["fragmented distribution header", "45 00", /distribution header/],
  ])("%s is refused by name", (_, notation, message) => {
    expect(() => decode(bytes(`83 ${notation}`))).toThrow(message);
  });

  test.each([
    ["nothing", "", 0],
    ["another version", "82 61 01", 0],
    ["version only", "83", 1],
    ["an unknown tag", "83 68 01 01", 3],
    ["a byte too many", "83 61 01 00", 3],
    ["a float that is infinite", "83 46 7ff0000000000000", 2],
    ["FLOAT_EXT without a number", `83 63 ${"20".repeat(31)}`, 2],
    ["an atom of 256 characters", `83 76 0100 ${"61".repeat(256)}`, 4],
    ["an atom that is not UTF-8", "83 77 01 ff", 3],
    ["9 bits in a byte", "83 4d 00000001 09 ff", 7],
    ["no bits in the last byte", "83 4d 00000001 00 ff", 7],
    ["a pid without a node", "83 58 61 01 00000005 00000001 00000002", 2],
    ["a reference of 6 words", `83 5a 0006 ${node} 00000002 ${"00".repeat(24)}`, 2],
    ["a map with a key twice", "83 74 00000002 61 01 61 01 61 01 61 02", 14],
    ["an object with a key twice", "83 74 00000002 6d 00000001 'a' 61 01 6d 00000001 'a' 61 02", 22],
    ["a map with equal tuples", "83 74 00000002 68 01 61 01 6a 68 01 61 01 6a", 16],
    ["a fun whose size is wrong", `83 75 00000001`, 6],
  ])("DECODE with the offset: %s", (_, notation, offset) => {
    expect(() => decode(bytes(notation))).toThrow(expect.objectContaining({ code: "DECODE", offset }));
  });
});
