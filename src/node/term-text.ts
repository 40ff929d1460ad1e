import { MeshError } from "../base/errors.ts";
import { atom, Float, ImproperList, type Term, Tuple } from "../etf/terms.ts";

/** Deep enough for what people type; far from the end of the stack. */
const depthMax = 200;

/**
 * A term as people write it: JSON or Erlang, in one grammar.
 *
 * ```
 * 42  -1.5  1.0  "text"  true  null  [1, 2]  {"name": "Ada"}          JSON
 * hello  'Hello World'  {hello, 1}  [a | b]  #{key => 1}  <<1, 2>>  <<"text">>   Erlang
 * ```
 *
 * `"text"` is a binary, not a list of characters, as everywhere in Macula. `1.0` stays a float. `{}` is the empty tuple,
 * `#{}` the empty map.
 * @throws MeshError `DECODE` with the place.
 */
export function parseTerm(text: string): Term {
  const parser = new TermParser(text);
  const term = parser.term(depthMax);
  parser.end();
  return term;
}

class TermParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  term(depth: number): Term {
    if (depth === 0) throw this.#error("terms nested too deeply");
    this.#space();
    const number = this.#match(/-?\d+(?:(\.\d+)?([eE][+-]?\d+)|(\.\d+))?/y);
    if (number !== undefined) return parseNumber(number);
    const word = this.#match(/[a-z][A-Za-z0-9_@]*/y);
    if (word !== undefined) return wordTerm(word);
    if (this.#text[this.#at] === '"') return this.#string();
    if (this.#text[this.#at] === "'") return this.#quotedAtom();
    if (this.#take("<<")) return this.#binary();
    if (this.#take("#{")) return this.#map(depth);
    if (this.#take("[")) return this.#list(depth);
    if (this.#take("{")) return this.#tupleOrObject(depth);
    throw this.#error("a term expected");
  }

  end(): void {
    this.#space();
    if (this.#at < this.#text.length) throw this.#error("one term expected, and more follows");
  }

  #string(): string {
    const literal = this.#match(/"(?:[^"\\]|\\.)*"/sy);
    if (literal === undefined) throw this.#error("this text has no closing quote");
    try {
      return JSON.parse(literal) as string;
    } catch {
      throw this.#error(`${literal} is not a JSON string`);
    }
  }

  #quotedAtom(): Term {
    const literal = this.#match(/'(?:[^'\\]|\\.)*'/sy);
    if (literal === undefined) throw this.#error("this atom has no closing quote");
    return wordTerm(literal.slice(1, -1).replace(/\\(.)/gs, "$1"));
  }

  #binary(): Term {
    this.#space();
    if (this.#text[this.#at] === '"') {
      const text = this.#string();
      this.#match(/\s*\/utf8/y);
      this.#expect(">>");
      return text;
    }
    const bytes = this.#sequence(">>", () => {
      this.#space();
      const number = this.#match(/\d{1,3}/y);
      if (number === undefined || Number(number) > 255) throw this.#error("a byte (0–255) expected");
      return Number(number);
    });
    return Uint8Array.from(bytes);
  }

  #list(depth: number): Term {
    const elements: Term[] = [];
    if (this.#take("]")) return elements;
    for (;;) {
      elements.push(this.term(depth - 1));
      if (this.#take("]")) return elements;
      if (this.#take("|")) {
        const tail = this.term(depth - 1);
        this.#expect("]");
        return Array.isArray(tail) ? [...elements, ...(tail as Term[])] : new ImproperList(elements, tail);
      }
      this.#expect(",");
    }
  }

  #tupleOrObject(depth: number): Term {
    this.#space();
    const isObject = this.#peek(/"(?:[^"\\]|\\.)*"\s*:/sy);
    if (!isObject) return new Tuple(this.#sequence("}", () => this.term(depth - 1)));
    const entries = this.#sequence("}", (): [string, Term] => {
      this.#space();
      const key = this.#string();
      this.#expect(":");
      return [key, this.term(depth - 1)];
    });
    return Object.fromEntries(entries);
  }

  #map(depth: number): Term {
    const entries = this.#sequence("}", (): [Term, Term] => {
      const key = this.term(depth - 1);
      this.#expect("=>");
      return [key, this.term(depth - 1)];
    });
    const named = entries.filter((entry): entry is [string, Term] => typeof entry[0] === "string");
    return named.length === entries.length ? Object.fromEntries(named) : new Map(entries);
  }

  /** `element, element …` up to `end`. */
  #sequence<Element>(end: string, element: () => Element): Element[] {
    const elements: Element[] = [];
    if (this.#take(end)) return elements;
    for (;;) {
      elements.push(element());
      if (this.#take(end)) return elements;
      this.#expect(",");
    }
  }

  #take(token: string): boolean {
    this.#space();
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw this.#error(`${token} expected`);
  }

  #space(): void {
    this.#match(/\s+/y);
  }

  #peek(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #error(problem: string): MeshError {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    const place = rest === "" ? "at the end" : `at ${JSON.stringify(rest)}`;
    return new MeshError("DECODE", `${problem} ${place}`, { offset: this.#at });
  }
}

function parseNumber(text: string): Term {
  const number = Number(text);
  if (/^-?\d+$/.test(text)) return Number.isSafeInteger(number) ? number : BigInt(text);
  if (!Number.isFinite(number)) throw new MeshError("DECODE", `${text} is beyond the range of floats`);
  return Number.isInteger(number) ? new Float(number) : number;
}

const constants: Readonly<Record<string, Term>> = { true: true, false: false, null: null, undefined };

function wordTerm(word: string): Term {
  if (Object.hasOwn(constants, word)) return constants[word];
  try {
    return atom(word);
  } catch (cause) {
    throw new MeshError("DECODE", "an atom has at most 255 characters", { cause });
  }
}
