import type { Writer } from "../base/writer.ts";

/** Results of `encode` share buffers of this size: allocating one per small message costs more than encoding it. */
export const chunkBytes = 32_768;

const noBytes = new Uint8Array(0);

/**
 * What an encoder writes to: a buffer of its own, or that of a `Writer`, and a cursor in it. Whoever writes makes room
 * first, once for all that it writes.
 *
 * A base class and not an object of its own for the same reason as `DecoderInput`.
 */
export abstract class EncoderOutput {
  protected buffer: Uint8Array<ArrayBuffer> = noBytes;
  protected view: DataView<ArrayBuffer> | undefined;
  protected position = 0;
  /** Where the present term began: what is before it belongs to others. */
  protected start = 0;
  protected writer: Writer | undefined;

  /** Makes room for `length` bytes at the cursor. */
  protected room(length: number): void {
    if (this.position + length > this.buffer.length) this.#grow(length);
  }

  #grow(length: number): void {
    this.view = undefined;
    if (this.writer !== undefined) {
      this.writer.advance(this.position);
      this.buffer = this.writer.room(length);
      return;
    }
    const written = this.position - this.start;
    const grown = new Uint8Array(Math.max(chunkBytes, written * 2, written + length));
    grown.set(this.buffer.subarray(this.start, this.position));
    this.buffer = grown;
    this.start = 0;
    this.position = written;
  }

  protected u32(value: number): void {
    const buffer = this.buffer;
    const at = this.position;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
    this.position = at + 4;
  }

  protected header(tag: number, value: number): void {
    this.buffer[this.position++] = tag;
    this.u32(value);
  }

  protected raw(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.buffer.set(bytes, this.position);
    this.position += bytes.length;
  }
}
