import { MeshError } from "./errors.ts";
import { utf8Text } from "./text.ts";

/**
 * A cursor over bytes from outside. It checks every bound; nothing else indexes input. Integers are big-endian.
 * Reading past the end throws MeshError `DECODE` with the offset.
 */
export class Reader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset: number;

  constructor(bytes: Uint8Array, offset = 0) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#offset = offset;
  }

  /** Bytes from the start of the input to the cursor. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes from the cursor to the end. */
  get remaining(): number {
    return this.bytes.length - this.#offset;
  }

  u8(): number {
    return this.bytes[this.#advance(1)] as number;
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  i32(): number {
    return this.#view.getInt32(this.#advance(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8));
  }

  f64(): number {
    return this.#view.getFloat64(this.#advance(8));
  }

  /** The next `length` bytes as a view of the input: it changes when the input does. */
  view(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.bytes.subarray(start, start + length);
  }

  /** Moves the cursor on by `length` bytes. */
  skip(length: number): void {
    this.#advance(length);
  }

  /** The next `length` bytes as UTF-8 text. */
  text(length: number): string {
    return utf8Text(this.view(length));
  }

  /** Ends the reading: what is left over is an error. */
  end(): void {
    if (this.remaining > 0) throw this.error(`${this.remaining} bytes left over`);
  }

  /** A `DECODE` error at the cursor. */
  error(message: string): MeshError {
    return new MeshError("DECODE", `${message} (at byte ${this.#offset})`, { offset: this.#offset });
  }

  #advance(length: number): number {
    const start = this.#offset;
    // Said this way round, a length that a caller computed wrongly (negative, NaN) fails as well.
    if (!(length >= 0 && length <= this.bytes.length - start)) {
      throw this.error(`${length} bytes expected, ${this.bytes.length - start} left`);
    }
    this.#offset = start + length;
    return start;
  }
}
