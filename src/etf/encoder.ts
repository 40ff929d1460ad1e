import type { Writer } from "../base/writer.ts";
import { flatten, sortKeys } from "./compare.ts";
import { LeafEncoder, Unencodable } from "./leaf-encoder.ts";
import type { EncodeOptions } from "./options.ts";
import { type Shape, Shapes, sortedKeysMax } from "./shapes.ts";
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

const shapes = new Shapes();

/**
 * Writes terms, tag by tag as the External Term Format has them: any term, and here what holds other terms. One term at
 * a time; the largest part of its work is to keep the buffer large enough, which each method does once for all that it writes.
 */
export class Encoder extends LeafEncoder {
  #marked = false;
  #nullName = "null";

  /** The encoding of `term`, in a buffer shared with other results. */
  encode(term: Term, options: EncodeOptions | undefined, depth: number): Uint8Array<ArrayBuffer> {
    this.writer = undefined;
    this.start = this.position;
    try {
      this.#configure(options);
      this.room(16);
      this.#begin(term, options, depth);
      return this.buffer.subarray(this.start, this.position);
    } catch (error) {
      this.position = this.start;
      throw error;
    }
  }

  /** Appends the encoding of `term` to what `writer` holds. */
  encodeInto(writer: Writer, term: Term, options: EncodeOptions | undefined, depth: number): void {
    const own = this.buffer;
    const ownPosition = this.position;
    const ownView = this.view;
    this.writer = writer;
    this.start = writer.length;
    this.position = writer.length;
    this.buffer = writer.room(64);
    this.view = undefined;
    try {
      this.#configure(options);
      this.#begin(term, options, depth);
      writer.advance(this.position);
    } catch (error) {
      writer.truncate(this.start);
      throw error;
    } finally {
      this.writer = undefined;
      this.buffer = own;
      this.position = ownPosition;
      this.view = ownView;
    }
  }

  #configure(options: EncodeOptions | undefined): void {
    this.#marked = options?.text === "marked";
    this.#nullName = options?.nullAtom ?? "null";
    this.latin1Atoms = options?.minorVersion === 1;
    this.nodeName = options?.nodeName;
  }

  #begin(term: Term, options: EncodeOptions | undefined, depth: number): void {
    if (options?.version !== false) this.buffer[this.position++] = 131;
    this.#term(term, depth);
  }

  #term(term: Term, depth: number): void {
    switch (typeof term) {
      case "string":
        if (this.#marked) this.markedText(term);
        else this.text(term);
        return;
      case "number":
        this.number(term);
        return;
      case "object":
        if (term === null) this.atom(this.#nullName);
        else this.#object(term, depth);
        return;
      case "boolean":
        this.atom(term ? "true" : "false");
        return;
      case "undefined":
        this.atom("undefined");
        return;
      case "bigint":
        this.bigint(term);
        return;
      default:
        throw new Unencodable(`a ${typeof term}`);
    }
  }

  #object(term: Term & object, depth: number): void {
    if (depth === 0) throw new Unencodable("nested too deeply");
    const prototype: unknown = Object.getPrototypeOf(term);
    if (prototype === Object.prototype) this.#record(term as Record<string, Term>, depth - 1);
    else if (prototype === Array.prototype) this.#list(term as readonly Term[], depth - 1);
    else if (prototype === Tuple.prototype) this.#tuple(term as Tuple, depth - 1);
    else if (prototype === Atom.prototype) this.atom((term as Atom).name);
    else if (prototype === Pid.prototype) this.pid(term as Pid);
    else if (prototype === Reference.prototype) this.reference(term as Reference);
    else this.#rare(term, depth - 1);
  }

  #rare(term: Term & object, depth: number): void {
    if (term instanceof Uint8Array) this.binary(term);
    else if (term instanceof Map) this.#map(term as ReadonlyMap<Term, Term>, depth);
    else if (term instanceof Float) this.float(term.value);
    else if (Array.isArray(term)) this.#list(term as readonly Term[], depth);
    else if (term instanceof Tuple) this.#tuple(term, depth);
    else if (term instanceof BitString) this.bitString(term);
    else if (term instanceof ImproperList) this.#improperList(term, depth);
    else if (term instanceof Atom) this.atom(term.name);
    else if (term instanceof Pid) this.pid(term);
    else if (term instanceof Port) this.port(term);
    else if (term instanceof Reference) this.reference(term);
    else if (term instanceof ExportFun) this.exportFun(term);
    else if (term instanceof OpaqueFun) this.raw(term.encoded);
    else if (isPlain(term)) this.#record(term as Record<string, Term>, depth);
    else throw new Unencodable(`an object of class ${className(term)}`);
  }

  /** SMALL_TUPLE_EXT: 104, arity u8, terms. LARGE_TUPLE_EXT: 105, arity u32. */
  #tuple({ elements }: Tuple, depth: number): void {
    this.room(5);
    if (elements.length <= 255) {
      this.buffer[this.position++] = 104;
      this.buffer[this.position++] = elements.length;
    } else this.header(105, elements.length);
    this.#terms(elements, depth);
  }

  #terms(terms: readonly Term[], depth: number): void {
    for (let index = 0; index < terms.length; index++) {
      const term = terms[index];
      if (typeof term === "number") this.number(term);
      else this.#term(term, depth);
    }
  }

  /**
   * NIL_EXT: 106. STRING_EXT, when all are bytes: 107, length u16, bytes. LIST_EXT: 108, length u32, terms, tail.
   */
  #list(elements: readonly Term[], depth: number): void {
    this.room(8);
    if (elements.length === 0) {
      this.buffer[this.position++] = 106;
      return;
    }
    if (elements.length <= 0xffff && isByte(elements[0]) && elements.every(isByte)) {
      this.#byteList(elements as readonly (number | bigint)[]);
      return;
    }
    this.header(108, elements.length);
    this.#terms(elements, depth);
    this.room(1);
    this.buffer[this.position++] = 106;
  }

  #byteList(elements: readonly (number | bigint)[]): void {
    this.room(3 + elements.length);
    const buffer = this.buffer;
    let at = this.position;
    buffer[at++] = 107;
    buffer[at++] = elements.length >> 8;
    buffer[at++] = elements.length;
    for (let index = 0; index < elements.length; index++) buffer[at++] = Number(elements[index]);
    this.position = at;
  }

  #improperList(list: ImproperList, depth: number): void {
    const { elements, tail } = flatten(list);
    if (elements.length === 0) this.#term(tail, depth);
    else if (Array.isArray(tail)) this.#list(elements, depth);
    else {
      this.room(5);
      this.header(108, elements.length);
      this.#terms(elements, depth);
      this.#term(tail, depth);
    }
  }

  /** MAP_EXT: 116, pairs u32, then key and value in turn. The keys of an object are never marked, see `docs/etf.md`. */
  #record(object: Record<string, Term>, depth: number): void {
    const given = Object.keys(object);
    const shape: Shape = given.length === 0 ? emptyShape : shapes.of(given);
    const { keys, encodedKeys } = shape;
    this.room(5);
    this.header(116, keys.length);
    for (let index = 0; index < keys.length; index++) {
      const encoded = encodedKeys[index] as Uint8Array;
      const length = encoded.length;
      this.room(length);
      if (length <= 32) {
        const buffer = this.buffer;
        const at = this.position;
        for (let offset = 0; offset < length; offset++) buffer[at + offset] = encoded[offset] as number;
      } else this.buffer.set(encoded, this.position);
      this.position += length;
      this.#term(object[keys[index] as string], depth);
    }
  }

  #map(map: ReadonlyMap<Term, Term>, depth: number): void {
    const given = [...map.keys()];
    const sorted = sortKeys(given, this.#nullName);
    if (sorted === undefined) throw new Unencodable("a map with the same key twice");
    const keys = given.length <= sortedKeysMax ? sorted : given;
    this.room(5);
    this.header(116, keys.length);
    for (const key of keys) {
      this.#term(key, depth);
      this.#term(map.get(key), depth);
    }
  }
}

const emptyShape: Shape = { keys: [], encodedKeys: [], keyBytes: 0 };

function isByte(term: Term): boolean {
  if (typeof term === "number") return (term & 0xff) === term && !Object.is(term, -0);
  return typeof term === "bigint" && BigInt.asUintN(8, term) === term;
}

/** Whether it was written as `{…}`, here, with a null prototype, or in another realm of the engine. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return true;
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype as object, "isPrototypeOf");
}

function className(value: object): string {
  const constructor: unknown = (value as { constructor?: unknown }).constructor;
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "without a name";
}
