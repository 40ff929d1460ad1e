import type { BufferPool } from "./buffer-pool.ts";

/** Room for what commonly follows a long piece, so that the end of a term does not move all of it. */
const tailBytes = 64;
/** Where numbers of eight bytes are taken apart. */
const eight = new DataView(new ArrayBuffer(8));
const eightBytes = new Uint8Array(eight.buffer);

/**
 * A growing byte buffer. Integers are big-endian. `take` hands the bytes over and starts afresh; `bytes` is a view
 * that the next write may leave behind.
 */
export class Writer {
  #buffer: Uint8Array<ArrayBuffer>;
  #length = 0;
  readonly #initialCapacity: number;
  readonly #pool: BufferPool | undefined;

  /** @param pool where its buffers come from, and those that it has outgrown go to. */
  constructor(initialCapacity = 256, pool?: BufferPool) {
    this.#initialCapacity = initialCapacity;
    this.#pool = pool;
    this.#buffer = this.#fresh(initialCapacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    const start = this.reserve(1);
    this.#buffer[start] = value;
  }

  u16(value: number): void {
    const start = this.reserve(2);
    this.#buffer[start] = value >>> 8;
    this.#buffer[start + 1] = value;
  }

  u32(value: number): void {
    this.patchU32(this.reserve(4), value);
  }

  u64(value: bigint): void {
    eight.setBigUint64(0, value);
    this.raw(eightBytes);
  }

  f64(value: number): void {
    eight.setFloat64(0, value);
    this.raw(eightBytes);
  }

  raw(bytes: Uint8Array): void {
    const start = this.reserve(bytes.length);
    this.#buffer.set(bytes, start);
  }

  /** Makes room for `length` bytes, to be filled with `patch…`; returns where they begin. */
  reserve(length: number): number {
    const start = this.#length;
    const needed = start + length;
    if (needed > this.#buffer.length) this.#grow(needed);
    this.#length = needed;
    return start;
  }

  /**
   * The whole buffer, with room for `length` more bytes from `this.length` on, for a codec with an inner loop of its
   * own; `advance` says how far it came. Any other write makes the buffer stale.
   */
  room(length: number): Uint8Array<ArrayBuffer> {
    if (this.#length + length > this.#buffer.length) this.#grow(this.#length + length);
    return this.#buffer;
  }

  /** The buffer that `room` returned is now filled up to `length`. */
  advance(length: number): void {
    this.#length = length;
  }

  patchU8(offset: number, value: number): void {
    this.#buffer[offset] = value;
  }

  patchU32(offset: number, value: number): void {
    const buffer = this.#buffer;
    buffer[offset] = value >>> 24;
    buffer[offset + 1] = value >>> 16;
    buffer[offset + 2] = value >>> 8;
    buffer[offset + 3] = value;
  }

  /** Forgets what was written from `length` on. */
  truncate(length: number): void {
    this.#length = Math.min(length, this.#length);
  }

  /** What was written, as a view that the next write may leave behind. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written, for good: the writer goes on with a new buffer. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.bytes();
    this.#buffer = this.#fresh(this.#initialCapacity);
    this.#length = 0;
    return taken;
  }

  #fresh(bytes: number): Uint8Array<ArrayBuffer> {
    return this.#pool === undefined ? new Uint8Array(bytes) : this.#pool.take(bytes);
  }

  #grow(needed: number): void {
    // Twice what is in it, not twice its size: one long piece in a small buffer needs no more than itself and a tail.
    const grown = this.#fresh(Math.max(needed + tailBytes, this.#length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#pool?.give(this.#buffer);
    this.#buffer = grown;
  }
}
