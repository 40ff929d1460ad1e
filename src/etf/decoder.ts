import { MeshError } from "../base/errors.ts";
import { utf8 } from "../base/text.ts";
import { inflateZlib } from "../base/zlib.ts";
import { sortKeys } from "./compare.ts";
import { Names } from "./names.ts";
import type { DecodeOptions } from "./options.ts";
import { sortedKeysMax } from "./shapes.ts";
import {
  Atom,
  atom,
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
import { textOf } from "./utf8.ts";

const noBytes = new Uint8Array(0);
/** What values take beyond their elements, estimated for 64-bit engines, bytes. */
const arrayBytes = 40;
const tupleBytes = 72;
const objectBytes = 64;
const mapBytes = 200;
const viewBytes = 120;
const elementBytes = 8;
const memoryFloorBytes = 64 * 1024 * 1024;
const inflatedBytesMax = 64 * 1024 * 1024;

const keyNames = new Names();
const atomNames = new Names();

/**
 * Reads terms from bytes that anybody may have sent. Every bound is checked here and nothing else indexes the input:
 * `#need` before each read; an arity against what is left, since a term takes a byte at least; and elements are
 * collected as they come, so that a claimed arity allocates nothing. One term at a time.
 */
export class Decoder {
  #input: Uint8Array = noBytes;
  #view: DataView | undefined;
  #position = 0;
  #end = 0;
  /** What the values may still take, estimated, bytes. */
  #memoryBytes = 0;
  #binariesAsText = true;
  #objects = true;
  #nullName = "null";
  #copy = false;
  #nodeName: ((name: string) => string) | undefined;
  #inflatedBytesMax = 0;

  /** Bytes from the start of the input to the cursor. */
  get position(): number {
    return this.#position;
  }

  /** Reads one term from `start` on; `position` then tells where it ends. */
  decode(input: Uint8Array, start: number, options: DecodeOptions | undefined, depth: number): Term {
    // A Node Buffer is a Uint8Array whose `slice` does not copy: results are to be plain Uint8Arrays.
    this.#input =
      Object.getPrototypeOf(input) === Uint8Array.prototype
        ? input
        : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    this.#view = undefined;
    this.#position = start;
    this.#end = input.length;
    this.#binariesAsText = options?.binaries !== "bytes";
    this.#objects = options?.maps !== "maps";
    this.#nullName = options?.nullAtom ?? "null";
    this.#copy = options?.copyBytes ?? false;
    this.#nodeName = options?.nodeName;
    this.#inflatedBytesMax = options?.inflatedBytesMax ?? inflatedBytesMax;
    this.#memoryBytes = options?.memoryBytesMax ?? Math.max(memoryFloorBytes, 16 * (input.length - start));
    try {
      if (options?.version !== false) this.#version();
      if (this.#position < this.#end && this.#input[this.#position] === 80) return this.#compressed(depth);
      return this.#term(depth);
    } catch (error) {
      // The caller may have used up most of the stack, and V8 has a limit of its own for big integers.
      if (error instanceof RangeError) throw this.#error(`beyond what the engine can hold: ${error.message}`);
      throw error;
    } finally {
      // Not to keep the input alive.
      this.#input = noBytes;
      this.#view = undefined;
    }
  }

  #error(message: string, offset = this.#position): MeshError {
    return new MeshError("DECODE", `${message} (at byte ${offset})`, { offset });
  }

  /** Checks that `length` more bytes are there. */
  #need(length: number): void {
    if (length > this.#end - this.#position) {
      throw this.#error(`${length} bytes expected, ${this.#end - this.#position} left`);
    }
  }

  #u8(): number {
    this.#need(1);
    return this.#input[this.#position++] as number;
  }

  #u16(): number {
    this.#need(2);
    const at = this.#position;
    this.#position = at + 2;
    return ((this.#input[at] as number) << 8) | (this.#input[at + 1] as number);
  }

  #i32(): number {
    this.#need(4);
    const input = this.#input;
    const at = this.#position;
    this.#position = at + 4;
    return (
      ((input[at] as number) << 24) |
      ((input[at + 1] as number) << 16) |
      ((input[at + 2] as number) << 8) |
      (input[at + 3] as number)
    );
  }

  #u32(): number {
    return this.#i32() >>> 0;
  }

  /** Counts what a value will take. Threat: a small input that needs more memory than there is. */
  #charge(bytes: number): void {
    this.#memoryBytes -= bytes;
    if (this.#memoryBytes < 0) throw this.#error("the term takes more memory than allowed");
  }

  #version(): void {
    const version = this.#u8();
    if (version !== 131) throw this.#error(`version ${version} instead of 131`, this.#position - 1);
    const tag = this.#position < this.#end ? this.#input[this.#position] : 0;
    if (tag === 68 || tag === 69) throw this.#error("a distribution header, which is no term");
  }

  /** 80, length after inflation u32, zlib up to the end of the input. */
  #compressed(depth: number): Term {
    const offset = this.#position++;
    const length = this.#u32();
    if (length > this.#inflatedBytesMax) {
      throw this.#error(
        `compressed term of ${length} bytes, at most ${this.#inflatedBytesMax} allowed`,
        offset,
      );
    }
    try {
      const inflated = inflateZlib(this.#input.subarray(this.#position, this.#end), length);
      const inner = new Decoder();
      // A term is compressed once: within it, tag 80 is unknown.
      const term = inner.#inflated(inflated, this, depth);
      this.#position = this.#end;
      return term;
    } catch (cause) {
      if (!(cause instanceof MeshError)) throw cause;
      throw new MeshError("DECODE", `compressed term at byte ${offset}: ${cause.message}`, { offset, cause });
    }
  }

  #inflated(input: Uint8Array, outer: Decoder, depth: number): Term {
    this.#input = input;
    this.#end = input.length;
    this.#binariesAsText = outer.#binariesAsText;
    this.#objects = outer.#objects;
    this.#nullName = outer.#nullName;
    // The inflated bytes belong to nobody else, so views will do.
    // Threat: what inflates a thousandfold, of terms that need forty times their bytes.
    this.#memoryBytes = outer.#memoryBytes;
    const term = this.#term(depth);
    if (this.#position < this.#end) throw this.#error(`${this.#end - this.#position} bytes left over`);
    return term;
  }

  /** One term. `depth` is the nesting still allowed. The tags are numbers here so that the engine makes a jump table. */
  #term(depth: number): Term {
    const at = this.#position;
    if (at >= this.#end) throw this.#error("1 bytes expected, 0 left");
    this.#position = at + 1;
    const tag = this.#input[at];
    switch (tag) {
      case 70: // NEW_FLOAT_EXT
        return this.#float();
      case 77: // BIT_BINARY_EXT
        return this.#bitBinary();
      case 88: // NEW_PID_EXT
        return this.#pid(false);
      case 89: // NEW_PORT_EXT
        return this.#port(tag);
      case 90: // NEWER_REFERENCE_EXT
        return this.#reference(tag);
      case 97: // SMALL_INTEGER_EXT
        return this.#u8();
      case 98: // INTEGER_EXT
        return this.#i32();
      case 99: // FLOAT_EXT
        return this.#floatText();
      case 101: // REFERENCE_EXT
        return this.#oldReference();
      case 102: // PORT_EXT
        return this.#port(tag);
      case 103: // PID_EXT
        return this.#pid(true);
      case 104: // SMALL_TUPLE_EXT
        return this.#tuple(this.#u8(), depth);
      case 105: // LARGE_TUPLE_EXT
        return this.#tuple(this.#u32(), depth);
      case 106: // NIL_EXT
        this.#charge(arrayBytes);
        return [];
      case 107: // STRING_EXT
      case 108: // LIST_EXT
        this.#position--;
        return this.#list(depth);
      case 109: // BINARY_EXT
        return this.#binary();
      case 110: // SMALL_BIG_EXT
        return this.#big(this.#u8());
      case 111: // LARGE_BIG_EXT
        return this.#big(this.#u32());
      case 112: // NEW_FUN_EXT
        return this.#newFun(depth);
      case 113: // EXPORT_EXT
        return this.#exportFun();
      case 114: // NEW_REFERENCE_EXT
        return this.#reference(tag);
      case 116: // MAP_EXT
        return this.#map(depth);
      case 117: // FUN_EXT
        return this.#oldFun(depth);
      case 120: // V4_PORT_EXT
        return this.#port(tag);
      case 100: // ATOM_EXT
      case 115: // SMALL_ATOM_EXT
      case 118: // ATOM_UTF8_EXT
      case 119: // SMALL_ATOM_UTF8_EXT
        return this.#atomTerm(this.#atomName(tag));
      case 82: // ATOM_CACHE_REF
        throw this.#error(
          "ATOM_CACHE_REF, which has a meaning between connected Erlang nodes only",
          this.#position - 1,
        );
      case 121: // LOCAL_EXT
        throw this.#error(
          "LOCAL_EXT, which has a meaning to the node that wrote it only",
          this.#position - 1,
        );
      default:
        throw this.#error(`unknown tag ${tag}`, this.#position - 1);
    }
  }

  #number64(): number {
    this.#need(8);
    this.#view ??= new DataView(this.#input.buffer, this.#input.byteOffset, this.#input.byteLength);
    const value = this.#view.getFloat64(this.#position);
    this.#position += 8;
    return value;
  }

  #float(): Term {
    return this.#floatTerm(this.#number64());
  }

  #floatTerm(value: number): Term {
    if (!Number.isFinite(value)) throw this.#error("a float that is no finite number", this.#position - 8);
    // Where a number would be encoded as an integer; and −0, which a `Map` does not tell from 0.
    return Number.isSafeInteger(value) ? new Float(value) : value;
  }

  /** 31 bytes as of `sprintf("%.20e")`, filled up with zeros. */
  #floatText(): Term {
    this.#need(31);
    const start = this.#position;
    this.#position = start + 31;
    const text = textOf(this.#input, start, this.#position)?.replace(/\0+$/, "") ?? "";
    if (!/^ *[+-]?\d+\.\d+(e[+-]?\d+)?$/i.test(text)) throw this.#error("FLOAT_EXT without a float", start);
    return this.#floatTerm(Number(text));
  }

  /** Bytes of a magnitude, sign u8, magnitude with the least significant byte first. */
  #big(length: number): number | bigint {
    const negative = this.#u8() !== 0;
    this.#need(length);
    const input = this.#input;
    const start = this.#position;
    this.#position = start + length;
    if (length <= 6) {
      let value = 0;
      for (let index = start + length - 1; index >= start; index--)
        value = value * 256 + (input[index] as number);
      return negative && value !== 0 ? -value : value;
    }
    // Via hexadecimal, because that takes linear time where shifting takes quadratic.
    this.#charge(length * 8);
    const digits: string[] = [];
    for (let index = start + length - 1; index >= start; index--) {
      digits.push(hexadecimal[input[index] as number] as string);
    }
    const magnitude = BigInt(`0x${digits.join("")}`);
    if (magnitude <= Number.MAX_SAFE_INTEGER) return negative ? -Number(magnitude) : Number(magnitude);
    return negative ? -magnitude : magnitude;
  }

  #binary(): string | Uint8Array {
    const length = this.#u32();
    this.#need(length);
    const start = this.#position;
    this.#position = start + length;
    if (this.#binariesAsText) {
      const text = textOf(this.#input, start, start + length);
      if (text !== undefined) return text;
    }
    return this.#bytes(start, start + length);
  }

  #bytes(start: number, end: number): Uint8Array {
    this.#charge(viewBytes);
    return this.#copy ? this.#input.slice(start, end) : this.#input.subarray(start, end);
  }

  /** Length u32, bits used of the last byte u8, bytes. 8 bits mark text, see `EncodeOptions.text`. */
  #bitBinary(): string | Uint8Array | BitString {
    const length = this.#u32();
    const bits = this.#u8();
    this.#need(length);
    const start = this.#position;
    if (bits > 8 || (bits === 0) !== (length === 0)) {
      throw this.#error(`bit string of ${length} bytes with ${bits} bits in the last one`);
    }
    const end = start + length;
    this.#position = end;
    if (length === 0) return "";
    if (bits === 8) return textOf(this.#input, start, end) ?? this.#bytes(start, end);
    const unused = 0xff >> bits;
    if (((this.#input[end - 1] as number) & unused) === 0)
      return new BitString(this.#bytes(start, end), bits);
    // Unused bits are not part of the value; equal bit strings have equal bytes.
    this.#charge(viewBytes);
    const bytes = this.#input.slice(start, end);
    bytes[length - 1] = (bytes[length - 1] as number) & ~unused;
    return new BitString(bytes, bits);
  }

  #nested(depth: number): void {
    if (depth === 0) throw this.#error("terms nested too deeply", this.#position - 1);
  }

  /** Refuses an arity that what is left cannot hold. */
  #arity(arity: number, bytesEach = 1): void {
    if (arity > (this.#end - this.#position) / bytesEach) {
      throw this.#error(`${arity} elements in ${this.#end - this.#position} bytes`);
    }
  }

  #tuple(arity: number, depth: number): Tuple {
    this.#nested(depth);
    this.#charge(tupleBytes);
    return new Tuple(this.#terms(arity, depth - 1));
  }

  #terms(count: number, depth: number): Term[] {
    this.#arity(count);
    this.#charge(count * elementBytes);
    // Beyond this a claimed count allocates nothing. Threat: claims nested in claims.
    if (count > 256) {
      const collected: Term[] = [];
      for (let index = 0; index < count; index++) collected.push(this.#term(depth));
      return collected;
    }
    // oxlint-disable-next-line unicorn/no-new-array -- Array.from takes several times as long
    const terms = new Array<Term>(count);
    for (let index = this.#floats(terms); index < count; index++) terms[index] = this.#term(depth);
    return terms;
  }

  /** Floats at the beginning of `terms`; how many. Read in a loop of their own they cost half as much. */
  #floats(terms: Term[]): number {
    const input = this.#input;
    let index = 0;
    if (input[this.#position] !== 70) return index;
    const view = (this.#view ??= new DataView(input.buffer, input.byteOffset, input.byteLength));
    let position = this.#position;
    for (
      ;
      index < terms.length && input[position] === 70 && position + 9 <= this.#end;
      index++, position += 9
    ) {
      const value = view.getFloat64(position + 1);
      // What needs more thought is left to `#float`.
      if (!Number.isFinite(value) || Number.isSafeInteger(value)) break;
      terms[index] = value;
    }
    this.#position = position;
    return index;
  }

  /**
   * STRING_EXT: length u16, bytes. LIST_EXT: length u32, terms, tail. A tail that is a list goes on with the same list,
   * in this loop: a chain of a million lists of one element each is one flat list.
   */
  #list(depth: number): Term {
    this.#nested(depth);
    this.#charge(arrayBytes);
    let elements: Term[] = [];
    for (;;) {
      const tag = this.#u8();
      if (tag === 106) return elements;
      if (tag === 107) {
        this.#byteList(elements);
        return elements;
      }
      if (tag !== 108) {
        this.#position--;
        const tail = this.#term(depth - 1);
        return elements.length === 0 ? tail : new ImproperList(elements, tail);
      }
      const terms = this.#terms(this.#u32(), depth - 1);
      if (elements.length === 0) elements = terms;
      else for (const term of terms) elements.push(term);
    }
  }

  #byteList(elements: Term[]): void {
    const length = this.#u16();
    this.#need(length);
    this.#charge(length * elementBytes);
    const input = this.#input;
    const end = this.#position + length;
    for (let index = this.#position; index < end; index++) elements.push(input[index]);
    this.#position = end;
  }

  /** Pairs u32, then key and value in turn. An object while the keys allow it. */
  #map(depth: number): Term {
    this.#nested(depth);
    const arity = this.#u32();
    this.#arity(arity, 2);
    if (!this.#objects) return this.#entries(new Map(), arity, depth - 1);
    this.#charge(objectBytes + arity * 2 * elementBytes);
    if (arity > sortedKeysMax) return this.#largeMap(arity, depth - 1);
    const object: Record<string, Term> = {};
    let ascending = true;
    let last = "";
    for (let index = 0; index < arity; index++) {
      const key = this.#objectKey();
      if (key === undefined) {
        const keys = Object.keys(object);
        if (keys.length !== index) throw this.#error("a map with the same key twice");
        return this.#entries(this.#asMap(object, keys), arity, depth - 1);
      }
      if (key <= last && index > 0) ascending = false;
      last = key;
      object[key] = this.#term(depth - 1);
    }
    // Keys that ascend, in whichever order, are all different; this is the cheapest way to know.
    if (!ascending && Object.keys(object).length !== arity)
      throw this.#error("a map with the same key twice");
    return object;
  }

  /** A map whose order Erlang chose: an object only if that keeps the order, so that it encodes to the same bytes. */
  #largeMap(arity: number, depth: number): Term {
    this.#charge(arity * 4 * elementBytes);
    const keys: string[] = [];
    const object: Record<string, Term> = {};
    for (let index = 0; index < arity; index++) {
      const key = this.#objectKey();
      if (key === undefined) return this.#entries(this.#asMap(object, keys), arity, depth);
      keys.push(key);
      object[key] = this.#term(depth);
    }
    const kept = Object.keys(object);
    if (kept.length !== arity) throw this.#error("a map with the same key twice");
    // Objects enumerate keys like "7" first, in numeric order.
    return kept.every((key, index) => key === keys[index]) ? object : this.#asMap(object, keys);
  }

  /**
   * The next key, when an object can have it: an unmarked binary of UTF-8. `undefined`, and nothing read, when not.
   * Threat: assigning `__proto__` would change what the object inherits instead.
   */
  #objectKey(): string | undefined {
    const start = this.#position;
    if (this.#u8() === 109) {
      const length = this.#u32();
      this.#need(length);
      const end = start + 5 + length;
      const key = keyNames.text(this.#input, start + 5, end);
      if (key !== undefined && key !== "__proto__") {
        this.#position = end;
        return key;
      }
    }
    this.#position = start;
    return undefined;
  }

  #asMap(object: Record<string, Term>, keys: readonly string[]): Map<Term, Term> {
    const text = this.#binariesAsText;
    return new Map<Term, Term>(keys.map((key) => [text ? key : utf8(key), object[key]]));
  }

  /** Fills `map` up to `arity` pairs. */
  #entries(map: Map<Term, Term>, arity: number, depth: number): Map<Term, Term> {
    this.#charge(mapBytes + arity * 6 * elementBytes);
    for (let index = map.size; index < arity; index++) {
      const key = this.#term(depth);
      map.set(key, this.#term(depth));
    }
    if (map.size !== arity || hasEqualKeys(map, this.#nullName))
      throw this.#error("a map with the same key twice");
    return map;
  }

  #atomName(tag: number): string {
    const length = tag === 115 || tag === 119 ? this.#u8() : this.#u16();
    this.#need(length);
    const start = this.#position;
    this.#position = start + length;
    const name =
      tag === 118 || tag === 119
        ? atomNames.text(this.#input, start, this.#position)
        : latin1(this.#input, start, this.#position);
    if (name === undefined) throw this.#error("an atom that is not UTF-8", start);
    if (name.length > 255 && Array.from(name).length > 255) {
      throw this.#error("an atom of more than 255 characters", start);
    }
    return name;
  }

  #atomTerm(name: string): Term {
    switch (name) {
      case "true":
        return true;
      case "false":
        return false;
      case "undefined":
        return undefined;
      case this.#nullName:
        return null;
      default:
        return atom(name);
    }
  }

  /** A name where the format has an atom: in pids and funs. */
  #name(): string {
    const tag = this.#u8();
    if (tag === 100 || tag === 115 || tag === 118 || tag === 119) return this.#atomName(tag);
    throw this.#error(`tag ${tag} instead of an atom`, this.#position - 1);
  }

  #node(): string {
    const name = this.#name();
    return this.#nodeName === undefined ? name : this.#nodeName(name);
  }

  /** Node, id u32, serial u32, creation u32 (in the old form u8). */
  #pid(old: boolean): Pid {
    this.#charge(objectBytes);
    const node = this.#node();
    return new Pid(node, this.#u32(), this.#u32(), old ? this.#u8() : this.#u32());
  }

  /** PORT_EXT: node, id u32, creation u8. NEW_PORT_EXT: creation u32. V4_PORT_EXT: id u64. */
  #port(tag: number): Port {
    this.#charge(objectBytes);
    const node = this.#node();
    const high = tag === 120 ? BigInt(this.#u32()) << 32n : 0n;
    const id = high | BigInt(this.#u32());
    return new Port(node, id, tag === 102 ? this.#u8() : this.#u32());
  }

  /** REFERENCE_EXT: node, id u32 of which 18 bits count, creation u8. */
  #oldReference(): Reference {
    this.#charge(objectBytes);
    const node = this.#node();
    const id = this.#u32() & 0x3ffff;
    return new Reference(node, this.#u8(), [id]);
  }

  /** Words u16, node, creation u32 (in the old form u8), the words. */
  #reference(tag: number): Reference {
    const words = this.#u16();
    if (words > 5) throw this.#error(`a reference of ${words} words`, this.#position - 2);
    this.#charge(2 * objectBytes);
    const node = this.#node();
    const creation = tag === 114 ? this.#u8() : this.#u32();
    const ids: number[] = [];
    for (let index = 0; index < words; index++) ids.push(this.#u32());
    return new Reference(node, creation, ids);
  }

  /** Module, function, arity as SMALL_INTEGER_EXT. */
  #exportFun(): ExportFun {
    this.#charge(objectBytes);
    const module = this.#name();
    const name = this.#name();
    const tag = this.#u8();
    if (tag !== 97) throw this.#error(`tag ${tag} instead of an arity`, this.#position - 1);
    return new ExportFun(module, name, this.#u8());
  }

  /**
   * Size u32 (from itself on), arity u8, unique 16 bytes, index u32, free variables u32, module, old index and old
   * unique as integers, pid, the free variables. Carried as it is, but read, so that nobody passes on what is no term.
   */
  #newFun(depth: number): OpaqueFun {
    this.#nested(depth);
    const start = this.#position - 1;
    const size = this.#u32();
    this.#need(21);
    this.#position += 21;
    const freeCount = this.#u32();
    const module = this.#name();
    const index = this.#integer();
    const unique = this.#integer();
    this.#anyPid();
    const free = this.#terms(freeCount, depth - 1);
    if (this.#position - start - 1 !== size)
      throw this.#error(`a fun of ${size} bytes by its own account`, start);
    return new OpaqueFun(this.#bytes(start, this.#position), module, index, unique, free);
  }

  /** Free variables u32, pid, module, index and unique as integers, the free variables. */
  #oldFun(depth: number): OpaqueFun {
    this.#nested(depth);
    const start = this.#position - 1;
    const freeCount = this.#u32();
    this.#anyPid();
    const module = this.#name();
    const index = this.#integer();
    const unique = this.#integer();
    const free = this.#terms(freeCount, depth - 1);
    return new OpaqueFun(this.#bytes(start, this.#position), module, index, unique, free);
  }

  #integer(): number {
    const tag = this.#u8();
    if (tag === 97) return this.#u8();
    if (tag === 98) return this.#i32();
    throw this.#error(`tag ${tag} instead of an integer`, this.#position - 1);
  }

  #anyPid(): void {
    const tag = this.#u8();
    if (tag !== 88 && tag !== 103) throw this.#error(`tag ${tag} instead of a pid`, this.#position - 1);
    this.#pid(tag === 103);
  }
}

const hexadecimal = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function latin1(input: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let index = start; index < end; index++) text += String.fromCharCode(input[index] as number);
  return text;
}

/** Whether two keys are one term though JavaScript holds them apart, as it does with two tuples. */
function hasEqualKeys(map: ReadonlyMap<Term, Term>, nullName: string): boolean {
  let compound = 0;
  for (const key of map.keys())
    if (typeof key === "object" && key !== null && !(key instanceof Atom)) compound++;
  return compound > 0 && sortKeys([...map.keys()], nullName) === undefined;
}
