import { utf8Text } from "../base/text.ts";
import { flatten } from "./compare.ts";
import {
  Atom,
  BitString,
  ExportFun,
  Float,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
} from "./terms.ts";

export interface FormatOptions {
  /** Cut the text off, with `…`, after about as many characters, > 0. Default 10,000. */
  readonly charactersMax?: number;
}

/** `term` in Erlang's syntax, for people: in the shell, in logs. */
export function format(term: Term, options: FormatOptions = {}): string {
  const printer = new Printer(options.charactersMax ?? 10_000);
  printer.print(term, 0);
  return printer.text;
}

/** Deeper parts are shown as `…`; also ends values that contain themselves. */
const depthMax = 100;

class Printer {
  text = "";
  readonly #charactersMax: number;

  constructor(charactersMax: number) {
    this.#charactersMax = charactersMax;
  }

  print(term: Term, depth: number): void {
    if (depth > depthMax || this.#isFull()) this.#add("…");
    else if (typeof term === "string") this.#binary(term);
    else if (typeof term === "number") this.#add(formatNumber(term));
    else if (typeof term !== "object" || term === null) this.#add(String(term));
    else this.#object(term, depth + 1);
  }

  #add(text: string): void {
    this.text += text;
  }

  #isFull(): boolean {
    return this.text.length > this.#charactersMax;
  }

  #object(term: Term & object, depth: number): void {
    if (term instanceof Tuple) this.#sequence("{", term.elements, "}", depth);
    else if (Array.isArray(term)) this.#list(term, depth);
    else if (term instanceof Uint8Array) this.#bytes(term);
    else if (term instanceof Map) this.#map(term.entries(), depth);
    else if (term instanceof Float) this.#add(formatFloat(term.value));
    else if (term instanceof BitString) this.#bits(term);
    else if (term instanceof ImproperList) this.#improperList(term, depth);
    else if (term instanceof ExportFun) this.#exportFun(term);
    else if (isNamed(term)) this.#add(term.toString());
    else this.#map(Object.entries(term), depth);
  }

  #sequence(open: string, terms: readonly Term[], close: string, depth: number): void {
    this.#add(open);
    for (let index = 0; index < terms.length; index++) {
      if (index > 0) this.#add(",");
      if (this.#isFull()) {
        this.#add("…");
        break;
      }
      this.print(terms[index], depth);
    }
    this.#add(close);
  }

  #list(elements: readonly Term[], depth: number): void {
    if (elements.length > 0 && elements.every(isPrintable)) {
      const shown = elements.slice(0, this.#charactersMax) as number[];
      const more = shown.length < elements.length ? "…" : "";
      this.#add(quoted(shown.map((point) => String.fromCodePoint(point)).join("") + more));
    } else this.#sequence("[", elements, "]", depth);
  }

  #improperList(list: ImproperList, depth: number): void {
    const { elements, tail } = flatten(list);
    if (Array.isArray(tail)) {
      this.#list(elements, depth);
      return;
    }
    this.#sequence("[", elements, "|", depth);
    this.print(tail, depth);
    this.#add("]");
  }

  #map(entries: Iterable<readonly [Term, Term]>, depth: number): void {
    this.#add("#{");
    let first = true;
    for (const [key, value] of entries) {
      if (!first) this.#add(",");
      first = false;
      if (this.#isFull()) {
        this.#add("…");
        break;
      }
      this.print(key, depth);
      this.#add(" => ");
      this.print(value, depth);
    }
    this.#add("}");
  }

  #binary(text: string): void {
    const shown = text.slice(0, this.#charactersMax);
    const more = shown.length < text.length ? "…" : "";
    this.#add(text === "" ? "<<>>" : `<<${quoted(shown)}${more}${isAscii(shown) ? "" : "/utf8"}>>`);
  }

  #bytes(bytes: Uint8Array): void {
    const text = printableText(bytes);
    if (text === undefined) this.#add(`<<${this.#numbers(bytes)}>>`);
    else this.#binary(text);
  }

  #bits({ bytes, bits }: BitString): void {
    const last = (bytes.at(-1) ?? 0) >> (8 - bits);
    const before = bytes.length > 1 ? `${this.#numbers(bytes.subarray(0, -1))},` : "";
    this.#add(`<<${before}${last}:${bits}>>`);
  }

  #numbers(bytes: Uint8Array): string {
    const shown = bytes.subarray(0, this.#charactersMax).join(",");
    return bytes.length > this.#charactersMax ? `${shown},…` : shown;
  }

  #exportFun({ module, name, arity }: ExportFun): void {
    this.#add(`fun ${new Atom(module).toString()}:${new Atom(name).toString()}/${arity}`);
  }
}

function isNamed(term: object): term is Atom | Pid | Port | Reference | OpaqueFun {
  return [Atom, Pid, Port, Reference, OpaqueFun].some((kind) => term instanceof kind);
}

function formatNumber(value: number): string {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? String(value) : formatFloat(value);
}

/** As Erlang: shortest digits that are read back as the same float, always with a point. */
function formatFloat(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  const [digits, exponent] = text.split("e");
  const mantissa = digits?.includes(".") ? digits : `${digits}.0`;
  return exponent === undefined ? mantissa : `${mantissa}e${exponent.replace("+", "")}`;
}

/** Whether a code point belongs to text that people read. */
function isPrintable(term: Term): boolean {
  if (typeof term !== "number" || !Number.isInteger(term) || Object.is(term, -0)) return false;
  if (term < 32) return term === 9 || term === 10 || term === 13;
  return term < 127 || (term >= 160 && term < 0xd800) || (term >= 0xe000 && term <= 0xfffd);
}

/** The text of bytes that are printable ASCII or UTF-8. */
function printableText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return "";
  try {
    const text = utf8Text(bytes);
    return Array.from(text).every((character) => isPrintable(character.codePointAt(0))) ? text : undefined;
  } catch {
    return undefined;
  }
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 127) return false;
  return true;
}

const escapes: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  '"': '\\"',
  "\\": "\\\\",
};

function quoted(text: string): string {
  const body = text.replace(/["\\\p{Cc}\p{Surrogate}]/gu, (character) => {
    return escapes[character] ?? `\\x{${(character.codePointAt(0) as number).toString(16)}}`;
  });
  return `"${body}"`;
}
