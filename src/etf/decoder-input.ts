import { MeshError } from "../base/errors.ts";

const noBytes = new Uint8Array(0);

/**
 * What a decoder reads from: bytes that anybody may have sent, and a cursor in them. `need` comes before each read, and
 * `charge` before each value that takes memory of its own.
 *
 * A base class and not an object of its own: every byte is read through it, and a step to another object for each would
 * cost more than the reading.
 */
export abstract class DecoderInput {
  protected input: Uint8Array = noBytes;
  protected view: DataView | undefined;
  protected cursor = 0;
  protected end = 0;
  /** What the values may still take, estimated, bytes. */
  protected memoryBytes = 0;

  /** Bytes from the start of the input to the cursor. */
  get position(): number {
    return this.cursor;
  }

  protected error(message: string, offset = this.cursor): MeshError {
    return new MeshError("DECODE", `${message} (at byte ${offset})`, { offset });
  }

  /** Checks that `length` more bytes are there. */
  protected need(length: number): void {
    if (length > this.end - this.cursor) {
      throw this.error(`${length} bytes expected, ${this.end - this.cursor} left`);
    }
  }

  protected u8(): number {
    this.need(1);
    return this.input[this.cursor++] as number;
  }

  protected u16(): number {
    this.need(2);
    const at = this.cursor;
    this.cursor = at + 2;
    return ((this.input[at] as number) << 8) | (this.input[at + 1] as number);
  }

  protected i32(): number {
    this.need(4);
    const input = this.input;
    const at = this.cursor;
    this.cursor = at + 4;
    return (
      ((input[at] as number) << 24) |
      ((input[at + 1] as number) << 16) |
      ((input[at + 2] as number) << 8) |
      (input[at + 3] as number)
    );
  }

  protected u32(): number {
    return this.i32() >>> 0;
  }

  /** Counts what a value will take. Threat: a small input that needs more memory than there is. */
  protected charge(bytes: number): void {
    this.memoryBytes -= bytes;
    if (this.memoryBytes < 0) throw this.error("the term takes more memory than allowed");
  }
}
