import { describe, expect, test } from "vitest";
import {
  atom,
  BitString,
  ExportFun,
  float,
  format,
  ImproperList,
  Pid,
  Port,
  Reference,
  type Term,
  tuple,
} from "../../src/etf/index.ts";

describe("format: Erlang's syntax", () => {
  test.each<[string, Term]>([
    ["1", 1],
    ["-5", -5n],
    ["18446744073709551616", 2n ** 64n],
    ["1.0", float(1)],
    ["-0.0", float(-0)],
    ["1.0e22", 1e22],
    ["1.5e-7", 1.5e-7],
    ["0.1", 0.1],
    ["ok", atom("ok")],
    ["'after'", atom("after")],
    ["'Hello world'", atom("Hello world")],
    ["'don\\'t'", atom("don't")],
    ["'a\\n'", atom("a\n")],
    ["''", atom("")],
    ["true", true],
    ["undefined", undefined],
    ["null", null],
    ['<<"text">>', "text"],
    ['<<"a\\"b\\n">>', 'a"b\n'],
    ['<<"é"/utf8>>', "é"],
    ["<<>>", ""],
    ["<<255,0>>", new Uint8Array([255, 0])],
    ["<<255,5:3>>", new BitString(Uint8Array.of(255, 0xa0), 3)],
    ["[]", []],
    ['"abc"', [97, 98, 99]],
    ["[1,{a}]", [1, tuple(atom("a"))]],
    ["[1,2|3]", new ImproperList([1, 2], 3)],
    ['#{<<"a">> => 1,<<"b">> => []}', { a: 1, b: [] }],
    ["#{1 => {}}", new Map([[1, tuple()]])],
    ["fun lists:map/2", new ExportFun("lists", "map", 2)],
    ["#Pid<a@b.5.1>", new Pid("a@b", 5, 1, 2)],
    ["#Port<a@b.5>", new Port("a@b", 5n, 2)],
    ["#Ref<a@b.7.8>", new Reference("a@b", 2, [7, 8])],
  ])("%s", (text, term) => {
    expect(format(term)).toBe(text);
  });

  test("is cut off, whatever is in it", () => {
    const cyclic: Term[] = [];
    cyclic.push(cyclic);
    for (const term of [
      "x".repeat(100_000),
      Array.from<Term>({ length: 100_000 }).fill(300),
      new Uint8Array(100_000),
      cyclic,
    ]) {
      const text = format(term, { charactersMax: 100 });
      expect(text.length).toBeLessThan(1_000);
      expect(text).toContain("…");
    }
  });
});
