/** A running hash of 64 bits, fast and in no way secret: two lanes of 32 with different multipliers, mixed at the end. */
export class RunningHash {
  #a: number;
  #b: number;

  constructor(seed = 0) {
    this.#a = (0x811c9dc5 ^ seed) >>> 0;
    this.#b = (0x9e3779b9 + seed) >>> 0;
  }

  u32(value: number): this {
    this.#a = Math.imul(this.#a ^ value, 0x01000193);
    this.#a ^= this.#a >>> 15;
    this.#b = Math.imul(this.#b ^ value, 0x85ebca6b);
    this.#b ^= this.#b >>> 13;
    return this;
  }

  /** All 53 bits and the fraction down to 2^-20 of a time in milliseconds. */
  time(ms: number): this {
    const whole = Math.floor(ms);
    return this.u32(whole | 0)
      .u32(Math.floor(whole / 0x1_0000_0000))
      .u32(Math.floor((ms - whole) * 0x10_0000));
  }

  text(text: string): this {
    for (let index = 0; index < text.length; index++) this.u32(text.charCodeAt(index));
    return this.u32(text.length);
  }

  bytes(bytes: Uint8Array): this {
    let index = 0;
    for (; index + 4 <= bytes.length; index += 4) {
      this.u32(
        (bytes[index] as number) |
          ((bytes[index + 1] as number) << 8) |
          ((bytes[index + 2] as number) << 16) |
          ((bytes[index + 3] as number) << 24),
      );
    }
    for (; index < bytes.length; index++) this.u32(bytes[index] as number);
    return this.u32(bytes.length);
  }

  /** The two halves, well mixed; more may follow. */
  words(): [number, number] {
    return [mix(this.#a ^ Math.imul(this.#b, 0xc2b2ae35)), mix(this.#b ^ Math.imul(this.#a, 0x27d4eb2f))];
  }

  /** 16 hexadecimal digits. */
  digest(): string {
    return this.words()
      .map((word) => word.toString(16).padStart(8, "0"))
      .join("");
  }
}

function mix(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
