import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { concat, equal } from "../../src/base/bytes.ts";
import { hex } from "../../src/base/text.ts";
import { compare, decode, encode, equals, Float, type Term } from "../../src/etf/index.ts";
import { anyTerm } from "../etf/support/arbitrary.ts";
import { describeWithErlang, ErlangPeer } from "./support/erlang.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const termsCount = 5_000;

describeWithErlang("External Term Format, against a real Erlang", () => {
  let erlang: ErlangPeer;
  beforeAll(() => {
    erlang = ErlangPeer.start("etf_peer");
  });
  afterAll(() => erlang.close());

  async function ask(letter: string, body: Uint8Array): Promise<Uint8Array> {
    return erlang.request(concat([Buffer.from(letter), body]));
  }

  async function erlangTerms(format: string, count = termsCount): Promise<Uint8Array[]> {
    console.log(`${count} random terms of Erlang, format ${format}: SEED=${seed}`);
    const numbers = Buffer.alloc(8);
    numbers.writeUInt32BE(seed);
    numbers.writeUInt32BE(count, 4);
    const terms = unpack(await ask("g", concat([numbers, Buffer.from(format)])));
    expect(terms).toHaveLength(count);
    return terms;
  }

  function ownTerms(): Term[] {
    console.log(`${termsCount} random terms of ours: SEED=${seed}`);
    return fc.sample(anyTerm, { numRuns: termsCount, seed });
  }

  test("terms of Erlang decode, and encode to the same bytes", async () => {
    for (const bytes of await erlangTerms("2")) {
      expectSame(encode(decode(bytes)), bytes, "text");
      expectSame(encode(decode(bytes, { binaries: "bytes", maps: "maps" })), bytes, "bytes");
      expectSame(encode(decode(bytes, { nullAtom: "nil" }), { nullAtom: "nil" }), bytes, "nil");
    }
  });

  test("terms of Erlang before OTP 26 (minor version 1) decode, and encode to the same bytes", async () => {
    for (const bytes of await erlangTerms("1")) {
      // A fun is carried with the atoms that it came with.
      expectSame(encode(decode(bytes), { minorVersion: 1 }), bytes, "minor version 1");
    }
  });

  test("compressed terms of Erlang decode, and ours inflate to the same bytes", async () => {
    const plain = await erlangTerms("2", 1_000);
    const compressed = unpack(await ask("c", pack(plain)));
    const ours: Uint8Array[] = [];
    for (const [index, bytes] of compressed.entries()) {
      const term = decode(bytes);
      if (!hasLargeMap(term)) expectSame(encode(term), plain[index] as Uint8Array, "inflated");
      ours.push(encode(term, { compressed: true }));
    }
    expect(compressed.some((bytes) => bytes[1] === 80)).toBe(true);
    expect(ours.some((bytes) => bytes[1] === 80)).toBe(true);
    const answers = unpack(await ask("r", pack(ours)));
    const same = await ask("e", pair(plain, answers));
    for (const [index, bytes] of plain.entries()) {
      // OTP 25 does not always find funs and short references again as keys of larger maps, in its own terms either.
      if (!hasLargeMap(decode(bytes)) && same[index] !== 1)
        expect.fail(`not the same to Erlang: ${hex(bytes)}`);
    }
  });

  test("terms of ours are read and written by Erlang", async () => {
    const terms = ownTerms();
    for (const text of ["plain", "marked"] as const) {
      const encoded = terms.map((term) => encode(term, { text }));
      const answers = unpack(await ask("r", pack(encoded)));
      expect(answers).toHaveLength(terms.length);
      const plain = terms.map((term) => encode(term));
      const same = await ask("e", pair(plain, answers));
      for (const [index, term] of terms.entries()) {
        const answer = answers[index] as Uint8Array;
        if (!hasLargeMap(term)) expectSame(plain[index] as Uint8Array, answer, text);
        if (!equals(decode(answer), term)) expect(decode(answer)).toEqual(term);
        if (same[index] !== 1) expect.fail(`not the same term to Erlang: ${hex(plain[index] as Uint8Array)}`);
      }
    }
  });

  test("compare and equals order terms as Erlang does", async () => {
    const terms = [
      ...fc.sample(anyTerm, { numRuns: 3_000, seed }),
      ...(await erlangTerms("2", 500)).map((t) => decode(t)),
    ];
    // Neighbours of one kind say more than those of two.
    const sorted = terms.sort(compare);
    const pairs = sorted.slice(1).flatMap((term, index) => [sorted[index], term]);
    pairs.push(...sorted.flatMap((term, index) => [term, sorted[(index * 7) % sorted.length]]));
    const orders = await ask("o", pack(pairs.map((term) => encode(term))));
    for (const [index, order] of orders.entries()) {
      const a = pairs[index * 2];
      const b = pairs[index * 2 + 1];
      if (hasMinusZero(a) || hasMinusZero(b)) continue;
      const ours = Math.sign(compare(a, b)) + 1 + (equals(a, b) ? 10 : 0);
      if (ours !== order)
        expect.fail(`${ours} instead of ${order} for ${hex(encode(a))} and ${hex(encode(b))}`);
    }
  });
});

function expectSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (!equal(actual, expected)) expect.fail(`${what}: ${hex(actual)} instead of ${hex(expected)}`);
}

/** Erlang chooses the order of the keys in larger maps. */
function hasLargeMap(term: Term): boolean {
  return some(term, (part) =>
    part instanceof Map ? part.size > 32 : isRecord(part) && Object.keys(part as object).length > 32,
  );
}

/** −0.0 and 0.0 are one term to Erlang/OTP 25, and two since OTP 27 and to us. */
function hasMinusZero(term: Term): boolean {
  return some(term, (part) => part instanceof Float && Object.is(part.value, -0));
}

function isRecord(term: Term): boolean {
  return typeof term === "object" && term !== null && Object.getPrototypeOf(term) === Object.prototype;
}

function some(term: Term, test: (part: Term) => boolean): boolean {
  if (test(term)) return true;
  if (typeof term !== "object" || term === null || term instanceof Uint8Array) return false;
  if (term instanceof Map)
    return [...(term as ReadonlyMap<Term, Term>)].some((entry) => entry.some((part) => some(part, test)));
  return Object.values(term).some((part) => some(part as Term, test));
}

function pack(terms: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    terms.flatMap((term) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(term.length);
      return [length, term];
    }),
  );
}

function pair(first: readonly Uint8Array[], second: readonly Uint8Array[]): Uint8Array {
  const packed = pack(first);
  return concat([pack([packed]), pack(second)]);
}

function unpack(packed: Uint8Array): Uint8Array[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const terms: Uint8Array[] = [];
  for (let offset = 0; offset < packed.length; ) {
    const end = offset + 4 + view.getUint32(offset);
    terms.push(packed.subarray(offset + 4, end));
    offset = end;
  }
  return terms;
}
