/*
 * Inflating zlib streams (RFC 1950, DEFLATE of RFC 1951) from peers who may mean harm.
 *
 * fflate, which deflates for us, is not made for that: it inflates to the end whatever the output's size, takes a wrong
 * checksum, and builds tables of 2^15 entries for a block of twenty bytes, so that 16 MiB of such blocks would hold up
 * the event loop for 77 s (measured). Here the output's size is known and nothing is written beyond it, and a block costs
 * what its header is long.
 */
import { MeshError } from "./errors.ts";

/** The most that DEFLATE makes of one byte: a match of 258 bytes in two bits. */
const ratioMax = 1_032;

/**
 * What `stream`, a zlib stream without preset dictionary, inflates to: exactly `size` bytes.
 * The caller has tested `size` against his own limit; it is allocated only if a stream of that length can fill it.
 * @throws MeshError `DECODE` when it is anything else, also for bytes behind its end or a wrong checksum.
 */
export function inflateZlib(stream: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const [method = 0, flags = 0] = stream;
  // Header of 2 bytes, an empty block of 2, checksum of 4.
  if (stream.length < 8) throw invalid(`${stream.length} bytes are too few`);
  if ((method & 15) !== 8 || method >> 4 > 7 || ((method << 8) | flags) % 31 !== 0)
    throw invalid("no zlib header");
  if ((flags & 0x20) !== 0) throw invalid("a preset dictionary");
  // Threat: a few bytes that claim gigabytes.
  if (size > stream.length * ratioMax) throw invalid(`${stream.length} bytes cannot inflate to ${size}`);
  const inflater = new Inflater(stream.subarray(2, -4), size);
  const output = inflater.run();
  const { length } = stream;
  const checksum = new DataView(stream.buffer, stream.byteOffset, length).getUint32(length - 4);
  if (adler32(output) !== checksum) throw invalid("a wrong checksum");
  return output;
}

/** RFC 1950 §8.2. */
function adler32(bytes: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (let start = 0; start < bytes.length; start += 3_800) {
    const end = Math.min(start + 3_800, bytes.length);
    // So many additions stay below 2^32.
    for (let index = start; index < end; index++) {
      a += bytes[index] as number;
      b += a;
    }
    a %= 65_521;
    b %= 65_521;
  }
  return ((b << 16) | a) >>> 0;
}

/** Codes up to this long are looked up at once, longer ones bit by bit: they are rare where they are honest. */
const fastBits = 9;

/** A prefix code, RFC 1951 §3.2.2. Used again for block after block. */
class PrefixCode {
  /** By the next `fastBits` bits: symbol << 4 | length, or 0 for a longer code. */
  readonly fast = new Uint16Array(1 << fastBits);
  /** How many codes there are of each length. */
  readonly #counts = new Uint16Array(16);
  /** Symbols in the order of their codes. */
  readonly #symbols = new Uint16Array(288);
  readonly #next = new Uint16Array(16);
  readonly #codes = new Uint16Array(16);

  /** Takes the code in which symbol `i` has `lengths[start + i]` bits, or none when that is 0. */
  build(lengths: Uint8Array, start: number, end: number): void {
    const counts = this.#counts.fill(0);
    for (let index = start; index < end; index++) (counts[lengths[index] as number] as number)++;
    counts[0] = 0;
    let left = 1;
    for (let bits = 1, offset = 0, code = 0; bits < 16; bits++) {
      const count = counts[bits] as number;
      left = left * 2 - count;
      if (left < 0) throw invalid("more codes than there is room for");
      this.#next[bits] = offset;
      this.#codes[bits] = code;
      offset += count;
      code = (code + count) << 1;
    }
    this.fast.fill(0);
    for (let index = start; index < end; index++) {
      const bits = lengths[index] as number;
      if (bits > 0) this.#add(index - start, bits);
    }
    // zlib takes an incomplete code only if it is a single one of one bit, which is how no distances are written.
    const single = counts[1] === 1 && left === 1 << 14;
    if (left > 0 && !single && left !== 1 << 15) throw invalid("an incomplete code");
  }

  /** Symbol and length of a code of more than `fastBits`, as in `fast`. */
  slow(bits: number): number {
    let code = 0;
    let first = 0;
    let offset = 0;
    for (let length = 1; length < 16; length++) {
      code |= (bits >> (length - 1)) & 1;
      const count = this.#counts[length] as number;
      if (code - first < count) return ((this.#symbols[offset + code - first] as number) << 4) | length;
      offset += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw invalid("bits that are no code");
  }

  #add(symbol: number, length: number): void {
    const place = this.#next[length] as number;
    this.#next[length] = place + 1;
    this.#symbols[place] = symbol;
    const code = this.#codes[length] as number;
    this.#codes[length] = code + 1;
    if (length > fastBits) return;
    const entry = (symbol << 4) | length;
    for (let index = reversed(code, length); index < 1 << fastBits; index += 1 << length)
      this.fast[index] = entry;
  }
}

/** The last `length` bits of `code`, the other way round: codes come with their first bit first. */
function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit++) result |= ((code >> bit) & 1) << (length - 1 - bit);
  return result;
}

// Kept from one stream to the next: inflating is synchronous, and links inflate many short messages.
const dynamicLiterals = new PrefixCode();
const dynamicDistances = new PrefixCode();
const lengthCode = new PrefixCode();
const codeLengths = new Uint8Array(320);
// RFC 1951 §3.2.6. Built once: a block of this kind can be ten bits long.
const fixedLiterals = new PrefixCode();
const fixedDistances = new PrefixCode();
codeLengths.fill(8, 0, 144).fill(9, 144, 256).fill(7, 256, 280).fill(8, 280, 288).fill(5, 288, 320);
fixedLiterals.build(codeLengths, 0, 288);
fixedDistances.build(codeLengths, 288, 320);

// RFC 1951 §3.2.5 and §3.2.7.
const lengthBases = Uint16Array.of(
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  10,
  11,
  13,
  15,
  17,
  19,
  23,
  27,
  31,
  35,
  43,
  51,
  59,
  67,
  83,
  99,
  115,
  131,
  163,
  195,
  227,
  258,
);
const lengthExtra = Uint8Array.of(
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  1,
  1,
  1,
  2,
  2,
  2,
  2,
  3,
  3,
  3,
  3,
  4,
  4,
  4,
  4,
  5,
  5,
  5,
  5,
  0,
);
const distanceBases = Uint16Array.of(
  1,
  2,
  3,
  4,
  5,
  7,
  9,
  13,
  17,
  25,
  33,
  49,
  65,
  97,
  129,
  193,
  257,
  385,
  513,
  769,
  1_025,
  1_537,
  2_049,
  3_073,
  4_097,
  6_145,
  8_193,
  12_289,
  16_385,
  24_577,
);
const distanceExtra = Uint8Array.of(
  0,
  0,
  0,
  0,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  5,
  6,
  6,
  7,
  7,
  8,
  8,
  9,
  9,
  10,
  10,
  11,
  11,
  12,
  12,
  13,
  13,
);
const lengthCodeOrder = Uint8Array.of(16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15);

class Inflater {
  readonly #input: Uint8Array;
  readonly #output: Uint8Array<ArrayBuffer>;
  #length = 0;
  /** Next byte of the input; beyond its end there are zeros, which `#used` finds out about. */
  #at = 0;
  /** Bits read and not used, the next one lowest. */
  #hold = 0;
  #bits = 0;

  constructor(input: Uint8Array, size: number) {
    this.#input = input;
    this.#output = new Uint8Array(size);
  }

  run(): Uint8Array<ArrayBuffer> {
    let last = false;
    while (!last) {
      last = this.#take(1) === 1;
      const kind = this.#take(2);
      if (kind === 0) this.#stored();
      else if (kind === 3) throw invalid("a block of unknown kind");
      else if (kind === 1) this.#coded(fixedLiterals, fixedDistances);
      else {
        this.#readCodes();
        this.#coded(dynamicLiterals, dynamicDistances);
      }
      if (this.#at - (this.#bits >> 3) > this.#input.length) throw invalid("cut short");
    }
    this.#align();
    if (this.#at !== this.#input.length)
      throw invalid(`${this.#input.length - this.#at} bytes behind its end`);
    if (this.#length !== this.#output.length) {
      throw invalid(`inflates to ${this.#length} of the ${this.#output.length} bytes stated`);
    }
    return this.#output;
  }

  /** The next `count` bits, up to 16. */
  #take(count: number): number {
    while (this.#bits < count) this.#refill();
    const value = this.#hold & ((1 << count) - 1);
    this.#hold >>>= count;
    this.#bits -= count;
    return value;
  }

  #refill(): void {
    // Zeros forever would be an endless stream of short codes.
    if (this.#at > this.#input.length + 4) throw invalid("cut short");
    const byte = this.#at < this.#input.length ? (this.#input[this.#at] as number) : 0;
    this.#hold |= byte << this.#bits;
    this.#at++;
    this.#bits += 8;
  }

  /** Goes on at the next whole byte. */
  #align(): void {
    this.#at -= this.#bits >> 3;
    this.#hold = 0;
    this.#bits = 0;
  }

  #stored(): void {
    this.#align();
    const input = this.#input;
    const start = this.#at + 4;
    if (start > input.length) throw invalid("cut short");
    const length = (input[start - 4] as number) | ((input[start - 3] as number) << 8);
    const inverse = (input[start - 2] as number) | ((input[start - 1] as number) << 8);
    if ((length ^ inverse) !== 0xffff) throw invalid("a stored block of two lengths");
    if (length > input.length - start) throw invalid("cut short");
    if (length > this.#output.length - this.#length) throw this.#tooLong();
    this.#output.set(input.subarray(start, start + length), this.#length);
    this.#length += length;
    this.#at = start + length;
  }

  /** The codes of a dynamic block, RFC 1951 §3.2.7. */
  #readCodes(): void {
    const literalCount = this.#take(5) + 257;
    const total = literalCount + this.#take(5) + 1;
    const lengthCount = this.#take(4) + 4;
    if (literalCount > 286 || total - literalCount > 30) throw invalid("more codes than there are symbols");
    codeLengths.fill(0, 0, 19);
    for (let index = 0; index < lengthCount; index++) {
      codeLengths[lengthCodeOrder[index] as number] = this.#take(3);
    }
    lengthCode.build(codeLengths, 0, 19);
    for (let index = 0; index < total; ) {
      const symbol = this.#symbol(lengthCode);
      if (symbol < 16) {
        codeLengths[index++] = symbol;
        continue;
      }
      if (symbol === 16 && index === 0) throw invalid("nothing to repeat");
      const repeated = symbol === 16 ? (codeLengths[index - 1] as number) : 0;
      const count =
        symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7);
      if (count > total - index) throw invalid("more code lengths than stated");
      codeLengths.fill(repeated, index, index + count);
      index += count;
    }
    if (codeLengths[256] === 0) throw invalid("a block without an end");
    dynamicLiterals.build(codeLengths, 0, literalCount);
    dynamicDistances.build(codeLengths, literalCount, total);
  }

  #symbol(code: PrefixCode): number {
    // Codes have up to 15 bits.
    while (this.#bits < 15) this.#refill();
    const found = code.fast[this.#hold & ((1 << fastBits) - 1)] as number;
    const entry = found === 0 ? code.slow(this.#hold) : found;
    this.#hold >>>= entry & 15;
    this.#bits -= entry & 15;
    return entry >> 4;
  }

  #coded(literals: PrefixCode, distances: PrefixCode): void {
    const output = this.#output;
    for (;;) {
      const symbol = this.#symbol(literals);
      if (symbol < 256) {
        if (this.#length === output.length) throw this.#tooLong();
        output[this.#length++] = symbol;
      } else if (symbol === 256) return;
      else this.#match(symbol - 257, distances);
    }
  }

  #match(lengthSymbol: number, distances: PrefixCode): void {
    if (lengthSymbol > 28) throw invalid("an unknown length");
    const length = (lengthBases[lengthSymbol] as number) + this.#take(lengthExtra[lengthSymbol] as number);
    const symbol = this.#symbol(distances);
    if (symbol > 29) throw invalid("an unknown distance");
    const distance = (distanceBases[symbol] as number) + this.#take(distanceExtra[symbol] as number);
    if (distance > this.#length) throw invalid("a distance beyond the beginning");
    if (length > this.#output.length - this.#length) throw this.#tooLong();
    const output = this.#output;
    const end = this.#length + length;
    if (distance === 1) output.fill(output[this.#length - 1] as number, this.#length, end);
    else {
      // Byte by byte: a match may overlap what it makes.
      for (let to = this.#length, from = to - distance; to < end; to++, from++)
        output[to] = output[from] as number;
    }
    this.#length = end;
  }

  #tooLong(): MeshError {
    return invalid(`inflates to more than the ${this.#output.length} bytes stated`);
  }
}

function invalid(message: string): MeshError {
  return new MeshError("DECODE", `not a good zlib stream: ${message}`);
}
