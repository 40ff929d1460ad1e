import { MeshError } from "../base/errors.ts";
import { utf8 } from "../base/text.ts";
import { inflateZlib } from "../base/zlib.ts";
import { sortKeys } from "./compare.ts";
import { LeafDecoder, objectBytes } from "./leaf-decoder.ts";
import { Names } from "./names.ts";
import type { DecodeOptions } from "./options.ts";
import { sortedKeysMax } from "./shapes.ts";
import { Atom, ImproperList, OpaqueFun, type Term, Tuple } from "./terms.ts";

const noBytes = new Uint8Array(0);
/** What values take beyond their elements, estimated for 64-bit engines, bytes. */
const arrayBytes = 40;
const tupleBytes = 72;
const mapBytes = 200;
const elementBytes = 8;
const memoryFloorBytes = 64 * 1024 * 1024;
const inflatedBytesMax = 64 * 1024 * 1024;

const keyNames = new Names();

/**
 * Reads terms from bytes that anybody may have sent: all of them from their tags on, and here what holds other terms. An
 * arity is tested against what is left, since a term takes a byte at least, and elements are collected as they come, so
 * that a claimed arity allocates nothing. One term at a time.
 */
export class Decoder extends LeafDecoder {
  #objects = true;
  #inflatedBytesMax = 0;

  /** Reads one term from `start` on; `position` then tells where it ends. */
  decode(input: Uint8Array, start: number, options: DecodeOptions | undefined, depth: number): Term {
    // A Node Buffer is a Uint8Array whose `slice` does not copy: results are to be plain Uint8Arrays.
    this.input =
      Object.getPrototypeOf(input) === Uint8Array.prototype
        ? input
        : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    this.view = undefined;
    this.cursor = start;
    this.end = input.length;
    this.binariesAsText = options?.binaries !== "bytes";
    this.#objects = options?.maps !== "maps";
    this.nullName = options?.nullAtom ?? "null";
    this.copy = options?.copyBytes ?? false;
    this.nodeName = options?.nodeName;
    this.#inflatedBytesMax = options?.inflatedBytesMax ?? inflatedBytesMax;
    this.memoryBytes = options?.memoryBytesMax ?? Math.max(memoryFloorBytes, 16 * (input.length - start));
    try {
      if (options?.version !== false) this.#version();
      if (this.cursor < this.end && this.input[this.cursor] === 80) return this.#compressed(depth);
      return this.#term(depth);
    } catch (error) {
      // The caller may have used up most of the stack, and V8 has a limit of its own for big integers.
      if (error instanceof RangeError) throw this.error(`beyond what the engine can hold: ${error.message}`);
      throw error;
    } finally {
      // Not to keep the input alive.
      this.input = noBytes;
      this.view = undefined;
    }
  }

  #version(): void {
    const version = this.u8();
    if (version !== 131) throw this.error(`version ${version} instead of 131`, this.cursor - 1);
    const tag = this.cursor < this.end ? this.input[this.cursor] : 0;
    if (tag === 68 || tag === 69) throw this.error("a distribution header, which is no term");
  }

  /** 80, length after inflation u32, zlib up to the end of the input. */
  #compressed(depth: number): Term {
    const offset = this.cursor++;
    const length = this.u32();
    if (length > this.#inflatedBytesMax) {
      throw this.error(
        `compressed term of ${length} bytes, at most ${this.#inflatedBytesMax} allowed`,
        offset,
      );
    }
    try {
      const inflated = inflateZlib(this.input.subarray(this.cursor, this.end), length);
      const inner = new Decoder();
      // A term is compressed once: within it, tag 80 is unknown.
      const term = inner.#inflated(inflated, this, depth);
      this.cursor = this.end;
      return term;
    } catch (cause) {
      if (!(cause instanceof MeshError)) throw cause;
      throw new MeshError("DECODE", `compressed term at byte ${offset}: ${cause.message}`, { offset, cause });
    }
  }

  #inflated(input: Uint8Array, outer: Decoder, depth: number): Term {
    this.input = input;
    this.end = input.length;
    this.binariesAsText = outer.binariesAsText;
    this.#objects = outer.#objects;
    this.nullName = outer.nullName;
    this.nodeName = outer.nodeName;
    // The inflated bytes belong to nobody else, so views will do.
    // Threat: what inflates a thousandfold, of terms that need forty times their bytes.
    this.memoryBytes = outer.memoryBytes;
    const term = this.#term(depth);
    if (this.cursor < this.end) throw this.error(`${this.end - this.cursor} bytes left over`);
    return term;
  }

  /** One term. `depth` is the nesting still allowed. The tags are numbers here so that the engine makes a jump table. */
  #term(depth: number): Term {
    const at = this.cursor;
    if (at >= this.end) throw this.error("1 bytes expected, 0 left");
    this.cursor = at + 1;
    const tag = this.input[at];
    switch (tag) {
      case 70: // NEW_FLOAT_EXT
        return this.float();
      case 77: // BIT_BINARY_EXT
        return this.bitBinary();
      case 88: // NEW_PID_EXT
        return this.pid(false);
      case 89: // NEW_PORT_EXT
        return this.port(tag);
      case 90: // NEWER_REFERENCE_EXT
        return this.reference(tag);
      case 97: // SMALL_INTEGER_EXT
        return this.u8();
      case 98: // INTEGER_EXT
        return this.i32();
      case 99: // FLOAT_EXT
        return this.floatText();
      case 101: // REFERENCE_EXT
        return this.oldReference();
      case 102: // PORT_EXT
        return this.port(tag);
      case 103: // PID_EXT
        return this.pid(true);
      case 104: // SMALL_TUPLE_EXT
        return this.#tuple(this.u8(), depth);
      case 105: // LARGE_TUPLE_EXT
        return this.#tuple(this.u32(), depth);
      case 106: // NIL_EXT
        this.charge(arrayBytes);
        return [];
      case 107: // STRING_EXT
      case 108: // LIST_EXT
        this.cursor--;
        return this.#list(depth);
      case 109: // BINARY_EXT
        return this.binary();
      case 110: // SMALL_BIG_EXT
        return this.big(this.u8());
      case 111: // LARGE_BIG_EXT
        return this.big(this.u32());
      case 112: // NEW_FUN_EXT
        return this.#newFun(depth);
      case 113: // EXPORT_EXT
        return this.exportFun();
      case 114: // NEW_REFERENCE_EXT
        return this.reference(tag);
      case 116: // MAP_EXT
        return this.#map(depth);
      case 117: // FUN_EXT
        return this.#oldFun(depth);
      case 120: // V4_PORT_EXT
        return this.port(tag);
      case 100: // ATOM_EXT
      case 115: // SMALL_ATOM_EXT
      case 118: // ATOM_UTF8_EXT
      case 119: // SMALL_ATOM_UTF8_EXT
        return this.atomTerm(this.atomName(tag));
      case 82: // ATOM_CACHE_REF
        throw this.error(
          "ATOM_CACHE_REF, which has a meaning between connected Erlang nodes only",
          this.cursor - 1,
        );
      case 121: // LOCAL_EXT
        throw this.error("LOCAL_EXT, which has a meaning to the node that wrote it only", this.cursor - 1);
      default:
        throw this.error(`unknown tag ${tag}`, this.cursor - 1);
    }
  }

  #nested(depth: number): void {
    if (depth === 0) throw this.error("terms nested too deeply", this.cursor - 1);
  }

  /** Refuses an arity that what is left cannot hold. */
  #arity(arity: number, bytesEach = 1): void {
    if (arity > (this.end - this.cursor) / bytesEach) {
      throw this.error(`${arity} elements in ${this.end - this.cursor} bytes`);
    }
  }

  #tuple(arity: number, depth: number): Tuple {
    this.#nested(depth);
    this.charge(tupleBytes);
    return new Tuple(this.#terms(arity, depth - 1));
  }

  #terms(count: number, depth: number): Term[] {
    this.#arity(count);
    this.charge(count * elementBytes);
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
    const input = this.input;
    let index = 0;
    if (input[this.cursor] !== 70) return index;
    const view = (this.view ??= new DataView(input.buffer, input.byteOffset, input.byteLength));
    let position = this.cursor;
    for (
      ;
      index < terms.length && input[position] === 70 && position + 9 <= this.end;
      index++, position += 9
    ) {
      const value = view.getFloat64(position + 1);
      // What needs more thought is left to `#float`.
      if (!Number.isFinite(value) || Number.isSafeInteger(value)) break;
      terms[index] = value;
    }
    this.cursor = position;
    return index;
  }

  /**
   * STRING_EXT: length u16, bytes. LIST_EXT: length u32, terms, tail. A tail that is a list goes on with the same list,
   * in this loop: a chain of a million lists of one element each is one flat list.
   */
  #list(depth: number): Term {
    this.#nested(depth);
    this.charge(arrayBytes);
    let elements: Term[] = [];
    for (;;) {
      const tag = this.u8();
      if (tag === 106) return elements;
      if (tag === 107) {
        this.#byteList(elements);
        return elements;
      }
      if (tag !== 108) {
        this.cursor--;
        const tail = this.#term(depth - 1);
        return elements.length === 0 ? tail : new ImproperList(elements, tail);
      }
      const terms = this.#terms(this.u32(), depth - 1);
      if (elements.length === 0) elements = terms;
      else for (const term of terms) elements.push(term);
    }
  }

  #byteList(elements: Term[]): void {
    const length = this.u16();
    this.need(length);
    this.charge(length * elementBytes);
    const input = this.input;
    const end = this.cursor + length;
    for (let index = this.cursor; index < end; index++) elements.push(input[index]);
    this.cursor = end;
  }

  /** Pairs u32, then key and value in turn. An object while the keys allow it. */
  #map(depth: number): Term {
    this.#nested(depth);
    const arity = this.u32();
    this.#arity(arity, 2);
    if (!this.#objects) return this.#entries(new Map(), arity, depth - 1);
    this.charge(objectBytes + arity * 2 * elementBytes);
    if (arity > sortedKeysMax) return this.#largeMap(arity, depth - 1);
    const object: Record<string, Term> = {};
    let ascending = true;
    let last = "";
    for (let index = 0; index < arity; index++) {
      const key = this.#objectKey();
      if (key === undefined) {
        const keys = Object.keys(object);
        if (keys.length !== index) throw this.error("a map with the same key twice");
        return this.#entries(this.#asMap(object, keys), arity, depth - 1);
      }
      if (key <= last && index > 0) ascending = false;
      last = key;
      object[key] = this.#term(depth - 1);
    }
    // Keys that ascend, in whichever order, are all different; this is the cheapest way to know.
    if (!ascending && Object.keys(object).length !== arity) throw this.error("a map with the same key twice");
    return object;
  }

  /** A map whose order Erlang chose: an object only if that keeps the order, so that it encodes to the same bytes. */
  #largeMap(arity: number, depth: number): Term {
    this.charge(arity * 4 * elementBytes);
    const keys: string[] = [];
    const object: Record<string, Term> = {};
    for (let index = 0; index < arity; index++) {
      const key = this.#objectKey();
      if (key === undefined) return this.#entries(this.#asMap(object, keys), arity, depth);
      keys.push(key);
      object[key] = this.#term(depth);
    }
    const kept = Object.keys(object);
    if (kept.length !== arity) throw this.error("a map with the same key twice");
    // Objects enumerate keys like "7" first, in numeric order.
    return kept.every((key, index) => key === keys[index]) ? object : this.#asMap(object, keys);
  }

  /**
   * The next key, when an object can have it: an unmarked binary of UTF-8. `undefined`, and nothing read, when not.
   * Threat: assigning `__proto__` would change what the object inherits instead.
   */
  #objectKey(): string | undefined {
    const start = this.cursor;
    if (this.u8() === 109) {
      const length = this.u32();
      this.need(length);
      const end = start + 5 + length;
      const key = keyNames.text(this.input, start + 5, end);
      if (key !== undefined && key !== "__proto__") {
        this.cursor = end;
        return key;
      }
    }
    this.cursor = start;
    return undefined;
  }

  #asMap(object: Record<string, Term>, keys: readonly string[]): Map<Term, Term> {
    const text = this.binariesAsText;
    return new Map<Term, Term>(keys.map((key) => [text ? key : utf8(key), object[key]]));
  }

  /** Fills `map` up to `arity` pairs. */
  #entries(map: Map<Term, Term>, arity: number, depth: number): Map<Term, Term> {
    this.charge(mapBytes + arity * 6 * elementBytes);
    for (let index = map.size; index < arity; index++) {
      const key = this.#term(depth);
      map.set(key, this.#term(depth));
    }
    if (map.size !== arity || hasEqualKeys(map, this.nullName))
      throw this.error("a map with the same key twice");
    return map;
  }

  /**
   * Size u32 (from itself on), arity u8, unique 16 bytes, index u32, free variables u32, module, old index and old
   * unique as integers, pid, the free variables. Carried as it is, but read, so that nobody passes on what is no term.
   */
  #newFun(depth: number): OpaqueFun {
    this.#nested(depth);
    const start = this.cursor - 1;
    const size = this.u32();
    this.need(21);
    this.cursor += 21;
    const freeCount = this.u32();
    const module = this.name();
    const index = this.integer();
    const unique = this.integer();
    this.anyPid();
    const free = this.#terms(freeCount, depth - 1);
    if (this.cursor - start - 1 !== size)
      throw this.error(`a fun of ${size} bytes by its own account`, start);
    return new OpaqueFun(this.bytes(start, this.cursor), module, index, unique, free);
  }

  /** Free variables u32, pid, module, index and unique as integers, the free variables. */
  #oldFun(depth: number): OpaqueFun {
    this.#nested(depth);
    const start = this.cursor - 1;
    const freeCount = this.u32();
    this.anyPid();
    const module = this.name();
    const index = this.integer();
    const unique = this.integer();
    const free = this.#terms(freeCount, depth - 1);
    return new OpaqueFun(this.bytes(start, this.cursor), module, index, unique, free);
  }
}

/** Whether two keys are one term though JavaScript holds them apart, as it does with two tuples. */
function hasEqualKeys(map: ReadonlyMap<Term, Term>, nullName: string): boolean {
  let compound = 0;
  for (const key of map.keys())
    if (typeof key === "object" && key !== null && !(key instanceof Atom)) compound++;
  return compound > 0 && sortKeys([...map.keys()], nullName) === undefined;
}
