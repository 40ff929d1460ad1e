import { utf8 } from "../base/text.ts";
import { chunkBytes, EncoderOutput } from "./encoder-output.ts";
import type { BitString, ExportFun, Pid, Port, Reference } from "./terms.ts";

/** Strings up to this length are written here; longer ones by the engine's encoder, which costs more to call. */
const shortText = 48;

const textEncoder = new TextEncoder();

/** Ends an encoding; `explain` in `unencodable.ts` says which part of the term it was. */
export class Unencodable extends Error {}

/** Writes the terms that hold no other terms, from their tags on: numbers, binaries, atoms, identifiers. */
export abstract class LeafEncoder extends EncoderOutput {
  protected latin1Atoms = false;
  protected nodeName: ((name: string) => string) | undefined;

  /** SMALL_INTEGER_EXT: 97, u8. INTEGER_EXT: 98, i32. Larger ones as SMALL_BIG_EXT, inexact ones as floats. */
  protected number(value: number): void {
    this.room(12);
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
      const buffer = this.buffer;
      const at = this.position;
      if (value >= 0 && value <= 255) {
        buffer[at] = 97;
        buffer[at + 1] = value;
        this.position = at + 2;
      } else {
        buffer[at] = 98;
        buffer[at + 1] = value >>> 24;
        buffer[at + 2] = value >>> 16;
        buffer[at + 3] = value >>> 8;
        buffer[at + 4] = value;
        this.position = at + 5;
      }
    } else if (Number.isSafeInteger(value) && value !== 0) this.#largeInteger(value);
    else this.float(value);
  }

  /** SMALL_BIG_EXT: 110, bytes u8, sign u8, magnitude, least significant byte first. */
  #largeInteger(value: number): void {
    const buffer = this.buffer;
    const lengthAt = this.position + 1;
    buffer[this.position] = 110;
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
    this.position = at;
  }

  /** NEW_FLOAT_EXT: 70, f64. */
  protected float(value: number): void {
    if (!Number.isFinite(value)) throw new Unencodable(`the number ${value}`);
    this.room(9);
    this.view ??= new DataView(this.buffer.buffer);
    this.buffer[this.position] = 70;
    this.view.setFloat64(this.position + 1, value);
    this.position += 9;
  }

  /** Integers of any size. LARGE_BIG_EXT: 111, bytes u32, sign u8, magnitude, least significant byte first. */
  protected bigint(value: bigint): void {
    if (BigInt.asIntN(32, value) === value) {
      this.number(Number(value));
      return;
    }
    const negative = value < 0n;
    // Via hexadecimal, because that takes linear time where shifting takes quadratic.
    const hexadecimal = (negative ? -value : value).toString(16);
    const length = (hexadecimal.length + 1) >> 1;
    this.room(length + 6);
    if (length <= 255) {
      this.buffer[this.position++] = 110;
      this.buffer[this.position++] = length;
    } else this.header(111, length);
    this.buffer[this.position++] = negative ? 1 : 0;
    for (let end = hexadecimal.length; end > 0; end -= 2) {
      this.buffer[this.position++] = Number.parseInt(hexadecimal.slice(Math.max(0, end - 2), end), 16);
    }
  }

  /** BINARY_EXT: 109, length u32, bytes. */
  protected text(text: string): void {
    this.room(Math.min(text.length, chunkBytes) * 3 + 5);
    const at = this.position;
    this.position = at + 5;
    this.#utf8(text);
    const end = this.position;
    this.position = at;
    this.header(109, end - at - 5);
    this.position = end;
  }

  /** BIT_BINARY_EXT: 77, length u32, bits in the last byte u8, bytes. Bits is 8, or 0 when there is no byte. */
  protected markedText(text: string): void {
    this.room(Math.min(text.length, chunkBytes) * 3 + 6);
    const at = this.position;
    this.position = at + 6;
    this.#utf8(text);
    const end = this.position;
    this.position = at;
    this.header(77, end - at - 6);
    this.buffer[at + 5] = text.length > 0 ? 8 : 0;
    this.position = end;
  }

  /** UTF-8 of `text`. The caller made room for texts up to `chunkBytes`. */
  #utf8(text: string): void {
    const length = text.length;
    if (length > chunkBytes) {
      // Reserving three times the length in place would waste more than the copy costs.
      this.raw(utf8(text));
      return;
    }
    if (length <= shortText) {
      const buffer = this.buffer;
      const at = this.position;
      let index = 0;
      for (; index < length; index++) {
        const unit = text.charCodeAt(index);
        if (unit > 127) break;
        buffer[at + index] = unit;
      }
      if (index === length) {
        this.position = at + length;
        return;
      }
    }
    this.position += textEncoder.encodeInto(text, this.buffer.subarray(this.position)).written;
  }

  protected binary(bytes: Uint8Array): void {
    this.room(5 + bytes.length);
    this.header(109, bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }

  protected bitString({ bytes, bits }: BitString): void {
    if (bits < 1 || bits > 7 || bytes.length === 0) {
      throw new Unencodable(`a bit string of ${bytes.length} bytes with ${bits} bits in the last one`);
    }
    this.room(6 + bytes.length);
    this.header(77, bytes.length);
    this.buffer[this.position++] = bits;
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
    // Erlang's unused bits are zero; ours may be anything.
    const last = this.position - 1;
    this.buffer[last] = (this.buffer[last] as number) & ~(0xff >> bits);
  }

  /** SMALL_ATOM_UTF8_EXT: 119, length u8, UTF-8. ATOM_UTF8_EXT, when that is longer: 118, length u16. */
  protected atom(name: string): void {
    if (this.latin1Atoms && isLatin1(name)) {
      this.#latin1Atom(name);
      return;
    }
    const length = name.length;
    this.room(3 + length * 3);
    const buffer = this.buffer;
    const at = this.position;
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
    this.position = at + 2 + length;
  }

  /** ATOM_EXT: 100, length u16, Latin-1. */
  #latin1Atom(name: string): void {
    this.room(3 + name.length);
    this.buffer[this.position++] = 100;
    this.buffer[this.position++] = 0;
    this.buffer[this.position++] = name.length;
    for (let index = 0; index < name.length; index++) this.buffer[this.position++] = name.charCodeAt(index);
  }

  #unicodeAtom(name: string): void {
    const text = utf8(name);
    if (name.length > 255 && Array.from(name).length > 255) {
      throw new Unencodable("an atom of more than 255 characters");
    }
    const small = text.length <= 255;
    this.buffer[this.position++] = small ? 119 : 118;
    if (!small) this.buffer[this.position++] = text.length >> 8;
    this.buffer[this.position++] = text.length;
    this.raw(text);
  }

  #node(name: string): void {
    this.atom(this.nodeName === undefined ? name : this.nodeName(name));
  }

  /** NEW_PID_EXT: 88, node, id u32, serial u32, creation u32. */
  protected pid(pid: Pid): void {
    this.room(13);
    this.buffer[this.position++] = 88;
    this.#node(pid.node);
    this.room(12);
    this.u32(pid.id);
    this.u32(pid.serial);
    this.u32(pid.creation);
  }

  /** NEWER_REFERENCE_EXT: 90, words u16, node, creation u32, the words. */
  protected reference({ node, creation, ids }: Reference): void {
    if (ids.length > 5) throw new Unencodable(`a reference of ${ids.length} words`);
    this.room(3);
    this.buffer[this.position++] = 90;
    this.buffer[this.position++] = 0;
    this.buffer[this.position++] = ids.length;
    this.#node(node);
    this.room(4 + ids.length * 4);
    this.u32(creation);
    for (let index = 0; index < ids.length; index++) this.u32(ids[index] as number);
  }

  /** NEW_PORT_EXT: 89, node, id u32, creation u32; beyond 28 bits V4_PORT_EXT: 120, id u64. */
  protected port({ node, id, creation }: Port): void {
    this.room(1);
    const small = id <= 0x0fff_ffffn;
    this.buffer[this.position++] = small ? 89 : 120;
    this.#node(node);
    this.room(12);
    if (!small) this.u32(Number(BigInt.asUintN(32, id >> 32n)));
    this.u32(Number(BigInt.asUintN(32, id)));
    this.u32(creation);
  }

  /** EXPORT_EXT: 113, module, function, arity as SMALL_INTEGER_EXT. */
  protected exportFun({ module, name, arity }: ExportFun): void {
    if (!Number.isInteger(arity) || arity < 0 || arity > 255)
      throw new Unencodable(`a fun of arity ${arity}`);
    this.room(1);
    this.buffer[this.position++] = 113;
    this.atom(module);
    this.atom(name);
    this.number(arity);
  }
}

function isLatin1(name: string): boolean {
  if (name.length > 255) return false;
  for (let index = 0; index < name.length; index++) if (name.charCodeAt(index) > 255) return false;
  return true;
}
