/** The smallest buffer that is kept; a smaller one costs less than keeping it. */
const leastBytes = 256;

/**
 * Buffers that are used again: a new one for each of many long messages costs more than the message, since its pages
 * have to be zeroed, and the garbage collector runs for each few dozen megabytes of them.
 *
 * What is taken may hold anything, so its user may show others only what it has written itself.
 */
export class BufferPool {
  readonly #limitBytes: number;
  readonly #idle = new Map<number, Uint8Array<ArrayBuffer>[]>();
  #idleBytes = 0;

  /** @param limitBytes what is kept for later, at most, bytes; what comes back beyond it is left to the collector. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Bytes kept for later. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** A buffer of `bytes` or, so that few sizes serve all, up to a quarter more; small ones up to `leastBytes`. */
  take(bytes: number): Uint8Array<ArrayBuffer> {
    const size = sizeFor(bytes);
    const buffer = this.#idle.get(size)?.pop();
    if (buffer === undefined) return new Uint8Array(size);
    this.#idleBytes -= size;
    return buffer;
  }

  /** Gives back the buffer of which `bytes` is a view. Nobody may look at it any more. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    const size = buffer.byteLength;
    if (size !== sizeFor(size) || this.#idleBytes + size > this.#limitBytes) return;
    const idle = this.#idle.get(size);
    const whole = new Uint8Array(buffer);
    if (idle === undefined) this.#idle.set(size, [whole]);
    else idle.push(whole);
    this.#idleBytes += size;
  }
}

/** The next quarter of a power of two. */
function sizeFor(bytes: number): number {
  if (bytes <= leastBytes) return leastBytes;
  const step = 1 << (29 - Math.clz32(bytes - 1));
  return (bytes + step - 1) & -step;
}
