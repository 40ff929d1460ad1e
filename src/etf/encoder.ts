import { utf8 } from "../base/text.ts";
import type { Writer } from "../base/writer.ts";
import { flatten, sortKeys } from "./compare.ts";
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

/** Results of `encode` share buffers of this size: allocating one per small message costs more than encoding it. */
const chunkBytes = 32_768;
/** Strings up to this length are written here; longer ones by the engine's encoder, which costs more to call. */
const shortText = 48;

const textEncoder = new TextEncoder();
const noBytes = new Uint8Array(0);
const shapes = new Shapes();

/** Ends an encoding; `explain` in `unencodable.ts` says which part of the term it was. */
export class Unencodable extends Error {}

/**
 * Writes terms, tag by tag as the External Term Format has them. One term at a time; the largest part of its work is
 * to keep the buffer large enough, which each method does once for all that it writes.
 */
export class Encoder {
  #buffer: Uint8Array<ArrayBuffer> = noBytes;
  #view: DataView<ArrayBuffer> | undefined;
  #position = 0;
  /** Where the present term began: what is before it belongs to others. */
  #start = 0;
  #writer: Writer | undefined;
  #marked = false;
  #nullName = "null";
  #latin1Atoms = false;
  #nodeName: ((name: string) => string) | undefined;

  /** The encoding of `term`, in a buffer shared with other results. */
  encode(term: Term, options: EncodeOptions | undefined, depth: number): Uint8Array<ArrayBuffer> {
    this.#writer = undefined;
    this.#start = this.#position;
    try {
      this.#configure(options);
      this.#room(16);
      this.#begin(term, options, depth);
      return this.#buffer.subarray(this.#start, this.#position);
    } catch (error) {
      this.#position = this.#start;
      throw error;
    }
  }

  /** Appends the encoding of `term` to what `writer` holds. */
  encodeInto(writer: Writer, term: Term, options: EncodeOptions | undefined, depth: number): void {
    const own = this.#buffer;
    const ownPosition = this.#position;
    const ownView = this.#view;
    this.#writer = writer;
    this.#start = writer.length;
    this.#position = writer.length;
    this.#buffer = writer.room(64);
    this.#view = undefined;
    try {
      this.#configure(options);
      this.#begin(term, options, depth);
      writer.advance(this.#position);
    } catch (error) {
      writer.truncate(this.#start);
      throw error;
    } finally {
      this.#writer = undefined;
      this.#buffer = own;
      this.#position = ownPosition;
      this.#view = ownView;
    }
  }

  #configure(options: EncodeOptions | undefined): void {
    this.#marked = options?.text === "marked";
    this.#nullName = options?.nullAtom ?? "null";
    this.#latin1Atoms = options?.minorVersion === 1;
    this.#nodeName = options?.nodeName;
  }

  #begin(term: Term, options: EncodeOptions | undefined, depth: number): void {
    if (options?.version !== false) this.#buffer[this.#position++] = 131;
    this.#term(term, depth);
  }

  /** Makes room for `length` bytes at the cursor. */
  #room(length: number): void {
    if (this.#position + length > this.#buffer.length) this.#grow(length);
  }

  #grow(length: number): void {
    this.#view = undefined;
    if (this.#writer !== undefined) {
      this.#writer.advance(this.#position);
      this.#buffer = this.#writer.room(length);
      return;
    }
    const written = this.#position - this.#start;
    const grown = new Uint8Array(Math.max(chunkBytes, written * 2, written + length));
    grown.set(this.#buffer.subarray(this.#start, this.#position));
    this.#buffer = grown;
    this.#start = 0;
    this.#position = written;
  }

  #term(term: Term, depth: number): void {
    switch (typeof term) {
      case "string":
        if (this.#marked) this.#markedText(term);
        else this.#text(term);
        return;
      case "number":
        this.#number(term);
        return;
      case "object":
        if (term === null) this.#atom(this.#nullName);
        else this.#object(term, depth);
        return;
      case "boolean":
        this.#atom(term ? "true" : "false");
        return;
      case "undefined":
        this.#atom("undefined");
        return;
      case "bigint":
        this.#bigint(term);
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
    else if (prototype === Atom.prototype) this.#atom((term as Atom).name);
    else if (prototype === Pid.prototype) this.#pid(term as Pid);
    else if (prototype === Reference.prototype) this.#reference(term as Reference);
    else this.#rare(term, depth - 1);
  }

  #rare(term: Term & object, depth: number): void {
    if (term instanceof Uint8Array) this.#binary(term);
    else if (term instanceof Map) this.#map(term as ReadonlyMap<Term, Term>, depth);
    else if (term instanceof Float) this.#float(term.value);
    else if (Array.isArray(term)) this.#list(term as readonly Term[], depth);
    else if (term instanceof Tuple) this.#tuple(term, depth);
    else if (term instanceof BitString) this.#bitString(term);
    else if (term instanceof ImproperList) this.#improperList(term, depth);
    else if (term instanceof Atom) this.#atom(term.name);
    else if (term instanceof Pid) this.#pid(term);
    else if (term instanceof Port) this.#port(term);
    else if (term instanceof Reference) this.#reference(term);
    else if (term instanceof ExportFun) this.#exportFun(term);
    else if (term instanceof OpaqueFun) this.#raw(term.encoded);
    else if (isPlain(term)) this.#record(term as Record<string, Term>, depth);
    else throw new Unencodable(`an object of class ${className(term)}`);
  }

  #u32(value: number): void {
    const buffer = this.#buffer;
    const at = this.#position;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
    this.#position = at + 4;
  }

  #header(tag: number, value: number): void {
    this.#buffer[this.#position++] = tag;
    this.#u32(value);
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#position);
    this.#position += bytes.length;
  }

  /** SMALL_INTEGER_EXT: 97, u8. INTEGER_EXT: 98, i32. Larger ones as SMALL_BIG_EXT, inexact ones as floats. */
  #number(value: number): void {
    this.#room(12);
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      const buffer = this.#buffer;
      const at = this.#position;
      if (value >= 0 && value <= 255) {
        buffer[at] = 97;
        buffer[at + 1] = value;
        this.#position = at + 2;
      } else {
        buffer[at] = 98;
        buffer[at + 1] = value >>> 24;
        buffer[at + 2] = value >>> 16;
        buffer[at + 3] = value >>> 8;
        buffer[at + 4] = value;
        this.#position = at + 5;
      }
    } else if (Number.isSafeInteger(value) && value !== 0) this.#largeInteger(value);
    else this.#float(value);
  }

  /** SMALL_BIG_EXT: 110, bytes u8, sign u8, magnitude, least significant byte first. */
  #largeInteger(value: number): void {
    const buffer = this.#buffer;
    const lengthAt = this.#position + 1;
    buffer[this.#position] = 110;
    buffer[lengthAt + 1] = value < 0 ? 1 : 0;
    let at = lengthAt + 2;
    let rest = Math.abs(value);
    let low = rest >>> 0;
    rest = (rest - low) / 0x1_0000_0000;
    if (rest > 0) {
      for (let count = 0; count < 4; count++, low >>>= 8) buffer[at++] = low;
      low = rest;
    }
    for (; low > 0; low >>>= 8) buffer[at++] = low;
    buffer[lengthAt] = at - lengthAt - 2;
    this.#position = at;
  }

  /** NEW_FLOAT_EXT: 70, f64. */
  #float(value: number): void {
    if (!Number.isFinite(value)) throw new Unencodable(`the number ${value}`);
    this.#room(9);
    this.#view ??= new DataView(this.#buffer.buffer);
    this.#buffer[this.#position] = 70;
    this.#view.setFloat64(this.#position + 1, value);
    this.#position += 9;
  }

  /** Integers of any size. LARGE_BIG_EXT: 111, bytes u32, sign u8, magnitude, least significant byte first. */
  #bigint(value: bigint): void {
    if (BigInt.asIntN(32, value) === value) {
      this.#number(Number(value));
      return;
    }
    const negative = value < 0n;
    // Via hexadecimal, because that takes linear time where shifting takes quadratic.
    const hexadecimal = (negative ? -value : value).toString(16);
    const length = (hexadecimal.length + 1) >> 1;
    this.#room(length + 6);
    if (length <= 255) {
      this.#buffer[this.#position++] = 110;
      this.#buffer[this.#position++] = length;
    } else this.#header(111, length);
    this.#buffer[this.#position++] = negative ? 1 : 0;
    for (let end = hexadecimal.length; end > 0; end -= 2) {
      this.#buffer[this.#position++] = Number.parseInt(hexadecimal.slice(Math.max(0, end - 2), end), 16);
    }
  }

  /** BINARY_EXT: 109, length u32, bytes. */
  #text(text: string): void {
    this.#room(Math.min(text.length, chunkBytes) * 3 + 5);
    const at = this.#position;
    this.#position = at + 5;
    this.#utf8(text);
    const end = this.#position;
    this.#position = at;
    this.#header(109, end - at - 5);
    this.#position = end;
  }

  /** BIT_BINARY_EXT: 77, length u32, bits in the last byte u8, bytes. Bits is 8, or 0 when there is no byte. */
  #markedText(text: string): void {
    this.#room(Math.min(text.length, chunkBytes) * 3 + 6);
    const at = this.#position;
    this.#position = at + 6;
    this.#utf8(text);
    const end = this.#position;
    this.#position = at;
    this.#header(77, end - at - 6);
    this.#buffer[at + 5] = text.length > 0 ? 8 : 0;
    this.#position = end;
  }

  /** UTF-8 of `text`. The caller made room for texts up to `chunkBytes`. */
  #utf8(text: string): void {
    const length = text.length;
    if (length > chunkBytes) {
      // Reserving three times the length in place would waste more than the copy costs.
      this.#raw(utf8(text));
      return;
    }
    if (length <= shortText) {
      const buffer = this.#buffer;
      const at = this.#position;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit > 127) break;
        buffer[at + index] = unit;
      }
      if (index === length) {
        this.#position = at + length;
        return;
      }
    }
    this.#position += textEncoder.encodeInto(text, this.#buffer.subarray(this.#position)).written;
  }

  #binary(bytes: Uint8Array): void {
    this.#room(5 + bytes.length);
    this.#header(109, bytes.length);
    this.#buffer.set(bytes, this.#position);
    this.#position += bytes.length;
  }

  #bitString({ bytes, bits }: BitString): void {
    if (bits < 1 || bits > 7 || bytes.length === 0) {
      throw new Unencodable(`a bit string of ${bytes.length} bytes with ${bits} bits in the last one`);
    }
    this.#room(6 + bytes.length);
    this.#header(77, bytes.length);
    this.#buffer[this.#position++] = bits;
    this.#buffer.set(bytes, this.#position);
    this.#position += bytes.length;
    // Erlang's unused bits are zero; ours may be anything.
    const last = this.#position - 1;
    this.#buffer[last] = (this.#buffer[last] as number) & ~(0xff >> bits);
  }

  /** SMALL_ATOM_UTF8_EXT: 119, length u8, UTF-8. ATOM_UTF8_EXT, when that is longer: 118, length u16. */
  #atom(name: string): void {
    if (this.#latin1Atoms && isLatin1(name)) {
      this.#latin1Atom(name);
      return;
    }
    const length = name.length;
    this.#room(3 + length * 3);
    const buffer = this.#buffer;
    const at = this.#position;
    let index = 0;
    for (; index < length; index++) {
      const unit = name.charCodeAt(index);
      if (unit > 127) break;
      buffer[at + 2 + index] = unit;
    }
    if (index < length || length > 255) {
      this.#unicodeAtom(name);
      return;
    }
    buffer[at] = 119;
    buffer[at + 1] = length;
    this.#position = at + 2 + length;
  }

  /** ATOM_EXT: 100, length u16, Latin-1. */
  #latin1Atom(name: string): void {
    this.#room(3 + name.length);
    this.#buffer[this.#position++] = 100;
    this.#buffer[this.#position++] = 0;
    this.#buffer[this.#position++] = name.length;
    for (let index = 0; index < name.length; index++) this.#buffer[this.#position++] = name.charCodeAt(index);
  }

  #unicodeAtom(name: string): void {
    const text = utf8(name);
    if (name.length > 255 && Array.from(name).length > 255) {
      throw new Unencodable("an atom of more than 255 characters");
    }
    const small = text.length <= 255;
    this.#buffer[this.#position++] = small ? 119 : 118;
    if (!small) this.#buffer[this.#position++] = text.length >> 8;
    this.#buffer[this.#position++] = text.length;
    this.#raw(text);
  }

  /** SMALL_TUPLE_EXT: 104, arity u8, terms. LARGE_TUPLE_EXT: 105, arity u32. */
  #tuple({ elements }: Tuple, depth: number): void {
    this.#room(5);
    if (elements.length <= 255) {
      this.#buffer[this.#position++] = 104;
      this.#buffer[this.#position++] = elements.length;
    } else this.#header(105, elements.length);
    this.#terms(elements, depth);
  }

  #terms(terms: readonly Term[], depth: number): void {
    for (let index = 0; index < terms.length; index++) {
      const term = terms[index];
      if (typeof term === "number") this.#number(term);
      else this.#term(term, depth);
    }
  }

  /**
   * NIL_EXT: 106. STRING_EXT, when all are bytes: 107, length u16, bytes. LIST_EXT: 108, length u32, terms, tail.
   */
  #list(elements: readonly Term[], depth: number): void {
    this.#room(8);
    if (elements.length === 0) {
      this.#buffer[this.#position++] = 106;
      return;
    }
    if (elements.length <= 0xffff && isByte(elements[0]) && elements.every(isByte)) {
      this.#byteList(elements as readonly (number | bigint)[]);
      return;
    }
    this.#header(108, elements.length);
    this.#terms(elements, depth);
    this.#room(1);
    this.#buffer[this.#position++] = 106;
  }

  #byteList(elements: readonly (number | bigint)[]): void {
    this.#room(3 + elements.length);
    const buffer = this.#buffer;
    let at = this.#position;
    buffer[at++] = 107;
    buffer[at++] = elements.length >> 8;
    buffer[at++] = elements.length;
    for (let index = 0; index < elements.length; index++) buffer[at++] = Number(elements[index]);
    this.#position = at;
  }

  #improperList(list: ImproperList, depth: number): void {
    const { elements, tail } = flatten(list);
    if (elements.length === 0) this.#term(tail, depth);
    else if (Array.isArray(tail)) this.#list(elements, depth);
    else {
      this.#room(5);
      this.#header(108, elements.length);
      this.#terms(elements, depth);
      this.#term(tail, depth);
    }
  }

  /** MAP_EXT: 116, pairs u32, then key and value in turn. The keys of an object are never marked, see `docs/etf.md`. */
  #record(object: Record<string, Term>, depth: number): void {
    const given = Object.keys(object);
    const shape: Shape = given.length === 0 ? emptyShape : shapes.of(given);
    const { keys, encodedKeys } = shape;
    this.#room(5);
    this.#header(116, keys.length);
    for (let index = 0; index < keys.length; index++) {
      const encoded = encodedKeys[index] as Uint8Array;
      const length = encoded.length;
      this.#room(length);
      if (length <= 32) {
        const buffer = this.#buffer;
        const at = this.#position;
        for (let offset = 0; offset < length; offset++) buffer[at + offset] = encoded[offset] as number;
      } else this.#buffer.set(encoded, this.#position);
      this.#position += length;
      this.#term(object[keys[index] as string], depth);
    }
  }

  #map(map: ReadonlyMap<Term, Term>, depth: number): void {
    const given = [...map.keys()];
    const sorted = sortKeys(given, this.#nullName);
    if (sorted === undefined) throw new Unencodable("a map with the same key twice");
    const keys = given.length <= sortedKeysMax ? sorted : given;
    this.#room(5);
    this.#header(116, keys.length);
    for (const key of keys) {
      this.#term(key, depth);
      this.#term(map.get(key), depth);
    }
  }

  #node(name: string): void {
    this.#atom(this.#nodeName === undefined ? name : this.#nodeName(name));
  }

  /** NEW_PID_EXT: 88, node, id u32, serial u32, creation u32. */
  #pid(pid: Pid): void {
    this.#room(13);
    this.#buffer[this.#position++] = 88;
    this.#node(pid.node);
    this.#room(12);
    this.#u32(pid.id);
    this.#u32(pid.serial);
    this.#u32(pid.creation);
  }

  /** NEWER_REFERENCE_EXT: 90, words u16, node, creation u32, the words. */
  #reference({ node, creation, ids }: Reference): void {
    if (ids.length > 5) throw new Unencodable(`a reference of ${ids.length} words`);
    this.#room(3);
    this.#buffer[this.#position++] = 90;
    this.#buffer[this.#position++] = 0;
    this.#buffer[this.#position++] = ids.length;
    this.#node(node);
    this.#room(4 + ids.length * 4);
    this.#u32(creation);
    for (let index = 0; index < ids.length; index++) this.#u32(ids[index] as number);
  }

  /** NEW_PORT_EXT: 89, node, id u32, creation u32; beyond 28 bits V4_PORT_EXT: 120, id u64. */
  #port({ node, id, creation }: Port): void {
    this.#room(1);
    const small = id <= 0x0fff_ffffn;
    this.#buffer[this.#position++] = small ? 89 : 120;
    this.#node(node);
    this.#room(12);
    if (!small) this.#u32(Number(BigInt.asUintN(32, id >> 32n)));
    this.#u32(Number(BigInt.asUintN(32, id)));
    this.#u32(creation);
  }

  /** EXPORT_EXT: 113, module, function, arity as SMALL_INTEGER_EXT. */
  #exportFun({ module, name, arity }: ExportFun): void {
    if (!Number.isInteger(arity) || arity < 0 || arity > 255)
      throw new Unencodable(`a fun of arity ${arity}`);
    this.#room(1);
    this.#buffer[this.#position++] = 113;
    this.#atom(module);
    this.#atom(name);
    this.#number(arity);
  }
}

const emptyShape: Shape = { keys: [], encodedKeys: [], keyBytes: 0 };

function isLatin1(name: string): boolean {
  if (name.length > 255) return false;
  for (let index = 0; index < name.length; index++) if (name.charCodeAt(index) > 255) return false;
  return true;
}

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
