import { describe, expect, test } from "vitest";
import { termToJson } from "../../src/cli/term-json.ts";
import { atom, charlist, Float, ImproperList, Pid, type Term, tuple } from "../../src/etf/index.ts";
import { parseTerm } from "../../src/node/term-text.ts";

describe("terms as people write them", () => {
  test.each<[string, Term]>([
    ["42", 42],
    ["-7", -7],
    ["123456789012345678901234567890", 123456789012345678901234567890n],
    ["1.5", 1.5],
    ["-2.5e3", new Float(-2500)],
    ["1.0", new Float(1)],
    ['"text"', "text"],
    ['"a\\n\\u00e4\\""', 'a\nä"'],
    ["true", true],
    ["false", false],
    ["null", null],
    ["undefined", undefined],
    ["hello", atom("hello")],
    ["node1@localhost", atom("node1@localhost")],
    ["'Hello World'", atom("Hello World")],
    ["'it\\'s'", atom("it's")],
    ["[]", []],
    ["[1, [2,3] ,x]", [1, [2, 3], atom("x")]],
    ["[1 | x]", new ImproperList([1], atom("x"))],
    ["[1 | [2]]", [1, 2]],
    ["{}", tuple()],
    ["{hello, {1, 2}}", tuple(atom("hello"), tuple(1, 2))],
    ['{"text", 1}', tuple("text", 1)],
    ['{"name": "Ada", "age": 36}', { name: "Ada", age: 36 }],
    ["#{}", {}],
    ['#{"a" => 1}', { a: 1 }],
    [
      "#{a => 1, 2 => b}",
      new Map<Term, Term>([
        [atom("a"), 1],
        [2, atom("b")],
      ]),
    ],
    ["<<>>", new Uint8Array()],
    ["<<1, 255>>", Uint8Array.of(1, 255)],
    ['<<"text">>', "text"],
    ['<<"ä"/utf8>>', "ä"],
    ["  { a ,\n b }  ", tuple(atom("a"), atom("b"))],
  ])("%s", (text, term) => expect(parseTerm(text)).toEqual(term));

  test.each([
    ["", "a term expected at the end"],
    ["Ada", 'a term expected at "Ada"'],
    ["1 2", 'one term expected, and more follows at "2"'],
    ['"open', 'this text has no closing quote at "\\"open"'],
    ["'open", "this atom has no closing quote"],
    ["[1, 2", ", expected at the end"],
    ["{a b}", ', expected at "b}"'],
    ['{"a": 1, b}', "this text has no closing quote"],
    ["#{a 1}", "=> expected"],
    ["<<256>>", "a byte (0–255) expected"],
    ["1e999", "1e999 is beyond the range of floats"],
    [`'${"x".repeat(256)}'`, "an atom has at most 255 characters"],
    ["[".repeat(100_000), "terms nested too deeply"],
  ])("%s is refused with the place", (text, message) => {
    expect(() => parseTerm(text)).toThrow(
      expect.objectContaining({ code: "DECODE", message: expect.stringContaining(message) }),
    );
  });

  test("__proto__ is a key like any other", () => {
    const parsed = parseTerm('{"__proto__": 1}') as object;
    expect(Object.keys(parsed)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
  });
});

describe("terms as JSON", () => {
  test.each<[Term, unknown]>([
    [undefined, null],
    [atom("ok"), "ok"],
    [tuple(atom("ok"), [1, new Float(2)]), ["ok", [1, 2]]],
    [2n ** 70n, "1180591620717411303424"],
    [Uint8Array.of(1, 2, 3), "AQID"],
    [charlist("hi"), [104, 105]],
    [{ a: { b: atom("c") } }, { a: { b: "c" } }],
    [
      new Map<Term, Term>([
        [atom("k"), 1],
        [tuple(1), 2],
      ]),
      { k: 1, "[1]": 2 },
    ],
    [new ImproperList([1], 2), { elements: [1], tail: 2 }],
    [new Pid("n@h", 1, 2, 3), "#Pid<n@h.1.2>"],
  ])("%#", (term, json) => expect(termToJson(term)).toEqual(json));
});
