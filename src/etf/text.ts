import { concat } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import { utf8 } from "../base/text.ts";
import { Atom, ImproperList, type Term } from "./terms.ts";
import { textOf } from "./utf8.ts";

/**
 * The text that `term` stands for in Erlang, where text has four forms: a binary of UTF-8, a list of code points, an
 * atom, and lists of those, nested.
 * @throws MeshError `DECODE` when it is none of them.
 */
export function text(term: Term): string {
  if (term instanceof Atom) return term.name;
  const parts: string[] = [];
  collect(term, (part) => {
    if (typeof part === "number") parts.push(codePoint(part));
    else parts.push(typeof part === "string" ? part : decoded(part));
  });
  return parts.join("");
}

/**
 * The bytes that `term` stands for: a binary, text (as UTF-8), a list of bytes, and lists of those, nested (Erlang's
 * iodata).
 * @throws MeshError `DECODE` when it is none of them.
 */
export function bytes(term: Term): Uint8Array {
  if (term instanceof Uint8Array) return term;
  if (typeof term === "string") return utf8(term);
  const parts: Uint8Array[] = [];
  collect(term, (part) => {
    if (typeof part === "number") parts.push(Uint8Array.of(byte(part)));
    else parts.push(typeof part === "string" ? utf8(part) : part);
  });
  return concat(parts);
}

/** Visits the leaves of nested lists in order, without recursion: lists from outside may nest deeply. */
function collect(term: Term, visit: (leaf: string | number | Uint8Array) => void): void {
  const waiting: Term[] = [term];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next === "string" || typeof next === "number" || next instanceof Uint8Array) visit(next);
    else if (Array.isArray(next))
      for (let index = next.length - 1; index >= 0; index--) waiting.push(next[index]);
    else if (next instanceof ImproperList) waiting.push(next.tail, next.elements);
    else throw new MeshError("DECODE", "a term that is no text and no bytes");
  }
}

function codePoint(value: number): string {
  const valid =
    Number.isInteger(value) && value >= 0 && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
  if (valid) return String.fromCodePoint(value);
  throw new MeshError("DECODE", `${value} is not a character`);
}

function byte(value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= 255) return value;
  throw new MeshError("DECODE", `${value} is not a byte`);
}

function decoded(part: Uint8Array): string {
  const found = textOf(part, 0, part.length);
  if (found !== undefined) return found;
  throw new MeshError("DECODE", "a binary that is no UTF-8");
}
