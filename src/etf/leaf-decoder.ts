import { DecoderInput } from "./decoder-input.ts";
import { Names } from "./names.ts";
import { atom, BitString, ExportFun, Float, Pid, Port, Reference, type Term } from "./terms.ts";
import { textOf } from "./utf8.ts";

/** What values take beyond their elements, estimated for 64-bit engines, bytes. */
export const objectBytes = 64;
const viewBytes = 120;

const atomNames = new Names();

/** Reads the terms that hold no other terms: numbers, binaries, atoms, identifiers. Each method begins behind the tag. */
export abstract class LeafDecoder extends DecoderInput {
  protected binariesAsText = true;
  protected nullName = "null";
  protected copy = false;
  protected nodeName: ((name: string) => string) | undefined;

  #number64(): number {
    this.need(8);
    this.view ??= new DataView(this.input.buffer, this.input.byteOffset, this.input.byteLength);
    const value = this.view.getFloat64(this.cursor);
    this.cursor += 8;
    return value;
  }

  protected float(): Term {
    return this.#floatTerm(this.#number64());
  }

  #floatTerm(value: number): Term {
    if (!Number.isFinite(value)) throw this.error("a float that is no finite number", this.cursor - 8);
    // Where a number would be encoded as an integer; and −0, which a `Map` does not tell from 0.
    return Number.isSafeInteger(value) ? new Float(value) : value;
  }

  /** 31 bytes as of `sprintf("%.20e")`, filled up with zeros. */
  protected floatText(): Term {
    this.need(31);
    const start = this.cursor;
    this.cursor = start + 31;
    const text = textOf(this.input, start, this.cursor)?.replace(/\0+$/, "") ?? "";
    if (!/^ *[+-]?\d+\.\d+(e[+-]?\d+)?$/i.test(text)) throw this.error("FLOAT_EXT without a float", start);
    return this.#floatTerm(Number(text));
  }

  /** Bytes of a magnitude, sign u8, magnitude with the least significant byte first. */
  protected big(length: number): number | bigint {
    const negative = this.u8() !== 0;
    this.need(length);
    const input = this.input;
    const start = this.cursor;
    this.cursor = start + length;
    if (length <= 6) {
      let value = 0;
      for (let index = start + length - 1; index >= start; index--)
        value = value * 256 + (input[index] as number);
      return negative && value !== 0 ? -value : value;
    }
    // Via hexadecimal, because that takes linear time where shifting takes quadratic.
    this.charge(length * 8);
    const digits: string[] = [];
    for (let index = start + length - 1; index >= start; index--) {
      digits.push(hexadecimal[input[index] as number] as string);
    }
    const magnitude = BigInt(`0x${digits.join("")}`);
    if (magnitude <= Number.MAX_SAFE_INTEGER) return negative ? -Number(magnitude) : Number(magnitude);
    return negative ? -magnitude : magnitude;
  }

  protected binary(): string | Uint8Array {
    const length = this.u32();
    this.need(length);
    const start = this.cursor;
    this.cursor = start + length;
    if (this.binariesAsText) {
      const text = textOf(this.input, start, start + length);
      if (text !== undefined) return text;
    }
    return this.bytes(start, start + length);
  }

  protected bytes(start: number, end: number): Uint8Array {
    this.charge(viewBytes);
    return this.copy ? this.input.slice(start, end) : this.input.subarray(start, end);
  }

  /** Length u32, bits used of the last byte u8, bytes. 8 bits mark text, see `EncodeOptions.text`. */
  protected bitBinary(): string | Uint8Array | BitString {
    const length = this.u32();
    const bits = this.u8();
    this.need(length);
    const start = this.cursor;
    if (bits > 8 || (bits === 0) !== (length === 0)) {
      throw this.error(`bit string of ${length} bytes with ${bits} bits in the last one`);
    }
    const end = start + length;
    this.cursor = end;
    if (length === 0) return "";
    if (bits === 8) return textOf(this.input, start, end) ?? this.bytes(start, end);
    const unused = 0xff >> bits;
    if (((this.input[end - 1] as number) & unused) === 0) return new BitString(this.bytes(start, end), bits);
    // Unused bits are not part of the value; equal bit strings have equal bytes.
    this.charge(viewBytes);
    const bytes = this.input.slice(start, end);
    bytes[length - 1] = (bytes[length - 1] as number) & ~unused;
    return new BitString(bytes, bits);
  }

  protected atomName(tag: number): string {
    const length = tag === 115 || tag === 119 ? this.u8() : this.u16();
    this.need(length);
    const start = this.cursor;
    this.cursor = start + length;
    const name =
      tag === 118 || tag === 119
        ? atomNames.text(this.input, start, this.cursor)
        : latin1(this.input, start, this.cursor);
    if (name === undefined) throw this.error("an atom that is not UTF-8", start);
    if (name.length > 255 && Array.from(name).length > 255) {
      throw this.error("an atom of more than 255 characters", start);
    }
    return name;
  }

  protected atomTerm(name: string): Term {
    switch (name) {
      case "true":
        return true;
      case "false":
        return false;
      case "undefined":
        return undefined;
      case this.nullName:
        return null;
      default:
        return atom(name);
    }
  }

  /** A name where the format has an atom: in pids and funs. */
  protected name(): string {
    const tag = this.u8();
    if (tag === 100 || tag === 115 || tag === 118 || tag === 119) return this.atomName(tag);
    throw this.error(`tag ${tag} instead of an atom`, this.cursor - 1);
  }

  #node(): string {
    const name = this.name();
    return this.nodeName === undefined ? name : this.nodeName(name);
  }

  /** Node, id u32, serial u32, creation u32 (in the old form u8). */
  protected pid(old: boolean): Pid {
    this.charge(objectBytes);
    const node = this.#node();
    return new Pid(node, this.u32(), this.u32(), old ? this.u8() : this.u32());
  }

  /** PORT_EXT: node, id u32, creation u8. NEW_PORT_EXT: creation u32. V4_PORT_EXT: id u64. */
  protected port(tag: number): Port {
    this.charge(objectBytes);
    const node = this.#node();
    const high = tag === 120 ? BigInt(this.u32()) << 32n : 0n;
    const id = high | BigInt(this.u32());
    return new Port(node, id, tag === 102 ? this.u8() : this.u32());
  }

  /** REFERENCE_EXT: node, id u32 of which 18 bits count, creation u8. */
  protected oldReference(): Reference {
    this.charge(objectBytes);
    const node = this.#node();
    const id = this.u32() & 0x3ffff;
    return new Reference(node, this.u8(), [id]);
  }

  /** Words u16, node, creation u32 (in the old form u8), the words. */
  protected reference(tag: number): Reference {
    const words = this.u16();
    if (words > 5) throw this.error(`a reference of ${words} words`, this.cursor - 2);
    this.charge(2 * objectBytes);
    const node = this.#node();
    const creation = tag === 114 ? this.u8() : this.u32();
    const ids: number[] = [];
    for (let index = 0; index < words; index++) ids.push(this.u32());
    return new Reference(node, creation, ids);
  }

  /** Module, function, arity as SMALL_INTEGER_EXT. */
  protected exportFun(): ExportFun {
    this.charge(objectBytes);
    const module = this.name();
    const name = this.name();
    const tag = this.u8();
    if (tag !== 97) throw this.error(`tag ${tag} instead of an arity`, this.cursor - 1);
    return new ExportFun(module, name, this.u8());
  }

  protected integer(): number {
    const tag = this.u8();
    if (tag === 97) return this.u8();
    if (tag === 98) return this.i32();
    throw this.error(`tag ${tag} instead of an integer`, this.cursor - 1);
  }

  protected anyPid(): void {
    const tag = this.u8();
    if (tag !== 88 && tag !== 103) throw this.error(`tag ${tag} instead of a pid`, this.cursor - 1);
    this.pid(tag === 103);
  }
}

const hexadecimal = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function latin1(input: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let index = start; index < end; index++) text += String.fromCharCode(input[index] as number);
  return text;
}
