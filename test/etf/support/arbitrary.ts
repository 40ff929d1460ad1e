import * as fc from "fast-check";
import {
  atom,
  BitString,
  ExportFun,
  equals,
  float,
  ImproperList,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
} from "../../../src/etf/index.ts";

const u32 = fc.nat(0xffff_ffff);
const node = fc.constantFrom("a@b", "node1@localhost:4433", "né@x");
/** Whole characters only: lone surrogates are written as U+FFFD. */
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.string({ minLength: 40, maxLength: 400, unit: "grapheme" }),
);

const edges = [7, 8, 15, 16, 31, 32, 52, 53, 54, 63, 64, 255 * 8].flatMap((bits) =>
  [-2n, -1n, 0n, 1n].flatMap((more) => [2n ** BigInt(bits) + more, -(2n ** BigInt(bits)) - more]),
);

/** An integer as the decoder gives it: a bigint only where a number would not be exact. */
function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Every kind of term that has nothing inside, in the form in which the decoder gives it. */
const leaf: fc.Arbitrary<Term> = fc.oneof(
  fc.integer(),
  fc.nat(300),
  fc.maxSafeInteger(),
  fc.constantFrom(...edges.map(integer)),
  fc.bigInt().map(integer),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => (Number.isSafeInteger(value) ? float(value) : value)),
  text,
  fc.constantFrom(true, false, null, undefined),
  fc.constantFrom("ok", "EXIT", "hello world", "é", "日本", "", "x".repeat(255), "é".repeat(200)).map(atom),
  fc.uint8Array({ maxLength: 50 }).map((bytes) => Uint8Array.of(0xff, ...bytes)),
  fc
    .record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 9 }), bits: fc.integer({ min: 1, max: 7 }) })
    .map(({ bytes, bits }) => {
      bytes[bytes.length - 1] = (bytes.at(-1) as number) & ~(0xff >> bits);
      return new BitString(bytes, bits);
    }),
  fc
    .record({ node, id: u32, serial: u32, creation: u32 })
    .map((pid) => new Pid(pid.node, pid.id, pid.serial, pid.creation)),
  fc
    .record({ node, id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), creation: u32 })
    .map((port) => new Port(port.node, port.id, port.creation)),
  fc
    // Three words, as Erlang makes them: OTP 25 does not find a key of two words again in a map of more than 32 keys.
    .record({ node, creation: u32, ids: fc.array(fc.nat(0x3ffff), { minLength: 3, maxLength: 3 }) })
    .map((reference) => new Reference(reference.node, reference.creation, reference.ids)),
  fc
    .record({
      module: fc.constantFrom("lists", "a b"),
      name: fc.constantFrom("map", "é"),
      arity: fc.nat(255),
    })
    .map((fun) => new ExportFun(fun.module, fun.name, fun.arity)),
  fc.array(fc.nat(255), { maxLength: 300 }),
);

/** A map, unless two keys are the same term. */
function mapOf(entries: readonly (readonly [Term, Term])[]): Term {
  const unique: (readonly [Term, Term])[] = [];
  for (const entry of entries) if (!unique.some(([key]) => equals(key, entry[0]))) unique.push(entry);
  // The decoder makes an object where it can.
  const record = unique.every(([key]) => typeof key === "string" && key !== "__proto__");
  return record ? Object.fromEntries(unique as [string, Term][]) : new Map(unique);
}

/**
 * Any term, in the form that `decode` gives by default: no bytes that are UTF-8, no `Map` that an object could be, no
 * `bigint` that a number could be.
 */
export const anyTerm: fc.Arbitrary<Term> = fc.letrec<{ term: Term }>((tie) => ({
  term: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { arbitrary: leaf, weight: 30 },
    { arbitrary: fc.array(tie("term"), { maxLength: 5 }), weight: 10 },
    { arbitrary: fc.array(tie("term"), { maxLength: 5 }).map((elements) => new Tuple(elements)), weight: 10 },
    {
      arbitrary: fc
        .dictionary(
          fc
            .oneof(fc.string(), fc.constantFrom("type", "from", "id", "text"))
            .filter((key) => key !== "__proto__"),
          tie("term"),
          { maxKeys: 6, noNullPrototype: true },
        )
        .map((object) => object as Term),
      weight: 10,
    },
    { arbitrary: fc.array(fc.tuple(tie("term"), tie("term")), { maxLength: 5 }).map(mapOf), weight: 10 },
    { arbitrary: fc.array(fc.tuple(leaf, leaf), { minLength: 30, maxLength: 36 }).map(mapOf), weight: 1 },
    {
      arbitrary: fc
        .tuple(
          fc.array(tie("term"), { minLength: 1, maxLength: 3 }),
          leaf.filter((tail) => !Array.isArray(tail)),
        )
        .map(([elements, tail]) => new ImproperList(elements, tail)),
      weight: 3,
    },
  ),
})).term;
