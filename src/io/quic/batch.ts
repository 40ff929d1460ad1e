import type { QuicStream } from "./stream.ts";
import { blocked } from "./symbols.ts";

/** Bytes of a record's head: connection f64, stream f64, length u32, flags u32 (`WRITE_HEADER` in the engine). */
const headBytes = 24;
const finishFlag = 1;
const blockedFlag = 2;

/**
 * The small writes of one turn of the event loop, so that they reach the engine in one call. Writes to one stream that
 * follow each other share a record.
 */
export class WriteBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #owners: QuicStream[] = [];
  readonly #heads: number[] = [];
  #used = 0;
  #last: QuicStream | undefined;
  #lastHead = 0;

  constructor(capacityBytes: number) {
    this.bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  get used(): number {
    return this.#used;
  }

  /** `false`: there is no room; hand the batch over first. */
  add(stream: QuicStream, connection: number, bytes: Uint8Array): boolean {
    if (!this.#open(stream, connection, bytes.length)) return false;
    this.bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    return true;
  }

  /** The end of the stream, after what was written. `false` as for `add`. */
  finish(stream: QuicStream, connection: number): boolean {
    if (!this.#open(stream, connection, 0)) return false;
    this.#view.setUint32(this.#lastHead + 20, finishFlag, true);
    return true;
  }

  #open(stream: QuicStream, connection: number, length: number): boolean {
    if (this.#last === stream) return this.#used + length <= this.bytes.length;
    if (this.#used + headBytes + length > this.bytes.length) return false;
    this.#seal();
    const head = this.#used;
    this.#view.setFloat64(head, connection, true);
    this.#view.setFloat64(head + 8, stream.id, true);
    this.#view.setUint32(head + 20, 0, true);
    this.#used += headBytes;
    this.#owners.push(stream);
    this.#heads.push(head);
    this.#last = stream;
    this.#lastHead = head;
    return true;
  }

  #seal(): void {
    if (this.#last === undefined) return;
    this.#view.setUint32(this.#lastHead + 16, this.#used - this.#lastHead - headBytes, true);
    this.#last = undefined;
  }

  /** Bytes to hand over; after that, call `clear`. */
  close(): number {
    this.#seal();
    return this.#used;
  }

  /** The engine has taken the batch: tell the streams that are full now, and begin anew. */
  clear(): void {
    for (let index = 0; index < this.#owners.length; index++) {
      const flags = this.#view.getUint32((this.#heads[index] as number) + 20, true);
      if ((flags & blockedFlag) !== 0) this.#owners[index]?.[blocked]();
    }
    this.#owners.length = 0;
    this.#heads.length = 0;
    this.#used = 0;
  }
}
