import type { BufferPool } from "../base/buffer-pool.ts";
import { assert } from "../base/errors.ts";
import { Queue } from "../base/queue.ts";
import { Writer } from "../base/writer.ts";
import { u32 } from "./fragment.ts";
import { frameHeaderBytes } from "./frame.ts";

/** A buffer is handed on rather than grown beyond this. */
const bufferBytes = 65_536;
/** Beyond so many bytes the next frame begins a new buffer, so that few need to grow for the last one. */
const fullBytes = bufferBytes - 4_096;
const firstBytes = 256;

/** Encoded frames in their order, many to a buffer. Empty, it holds no buffer: links are many and mostly idle. */
export class FrameBatch {
  readonly #pool: BufferPool;
  /** What is left of a buffer that did not fit. */
  #head: Uint8Array<ArrayBuffer> | undefined;
  readonly #sealed = new Queue<Uint8Array<ArrayBuffer>>();
  #open: Writer | undefined;
  #capacity = firstBytes;
  #bytes = 0;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Bytes of the frames in it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Length of the first frame, 0 when there is none. */
  get firstFrameBytes(): number {
    const first = this.#first();
    return first === undefined ? 0 : frameHeaderBytes + u32(first, 4);
  }

  /** Where to write the next frame; then say `added` or `withdraw`. */
  writer(): Writer {
    if (this.#open !== undefined && this.#open.length >= fullBytes) this.#seal();
    this.#open ??= new Writer(this.#capacity, this.#pool);
    return this.#open;
  }

  /** A whole frame of `bytes` was written. */
  added(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Takes back what was written from `start` on: in place, in a buffer of the pool that is now the caller's. */
  withdraw(start: number): Uint8Array<ArrayBuffer> {
    assert(this.#open !== undefined, "what was written can be withdrawn");
    const written = this.#open.bytes();
    this.#open = undefined;
    if (start > 0) {
      const before = this.#pool.take(start).subarray(0, start);
      before.set(written.subarray(0, start));
      this.#sealed.push(before);
    }
    return written.subarray(start);
  }

  /**
   * Whole frames, as many as fit `maxBytes` and lie in one buffer, but one at the least; a view of that buffer, which
   * is the caller's to give back to the pool when `headTaken`.
   */
  take(maxBytes: number): Uint8Array<ArrayBuffer> | undefined {
    const first = this.#first();
    if (first === undefined) return undefined;
    const end = first.length <= maxBytes ? first.length : lastBoundary(first, maxBytes);
    this.#head = end < first.length ? first.subarray(end) : undefined;
    this.#bytes -= end;
    return end < first.length ? first.subarray(0, end) : first;
  }

  /** Nothing is left of the buffer of which `take` gave the last view. */
  get headTaken(): boolean {
    return this.#head === undefined;
  }

  /** Ends the open buffer, so that what comes later begins another. */
  #seal(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    // The next buffer is as large as this one had to be: a busy stream need not grow each anew.
    const needed = 2 ** Math.ceil(Math.log2(open.length));
    this.#capacity = Math.min(Math.max(firstBytes, needed), bufferBytes);
    this.#sealed.push(open.bytes());
  }

  clear(): void {
    this.#head = undefined;
    this.#sealed.clear();
    this.#open = undefined;
    this.#bytes = 0;
  }

  #first(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#head !== undefined) return this.#head;
    if (this.#sealed.length === 0) this.#seal();
    this.#head = this.#sealed.shift();
    return this.#head;
  }
}

/** Where the last frame that ends within `maxBytes` ends, or the first frame if none does. */
function lastBoundary(frames: Uint8Array, maxBytes: number): number {
  let end = frameHeaderBytes + u32(frames, 4);
  while (end < frames.length) {
    const next = end + frameHeaderBytes + u32(frames, end + 4);
    if (next > maxBytes) break;
    end = next;
  }
  assert(end <= frames.length, "the frames of a batch are whole");
  return end;
}
