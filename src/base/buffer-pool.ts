/** The smallest buffer that is kept; a smaller one costs less than keeping it. */
const leastBytes = 256;

/** Idle buffers of one size. */
interface Shelf {
  readonly size: number;
  readonly buffers: Uint8Array<ArrayBuffer>[];
  /** When it was last taken from or given to, counted in such events. */
  used: number;
}

/**
 * Buffers that are used again: a new one for each of many long messages costs more than the message, since its pages
 * have to be zeroed, and the garbage collector runs for each few dozen megabytes of them.
 *
 * What is taken may hold anything, so its user may show others only what it has written itself.
 */
export class BufferPool {
  readonly #limitBytes: number;
  readonly #shelves = new Map<number, Shelf>();
  #idleBytes = 0;
  #uses = 0;

  /** @param limitBytes what is kept for later, at most, bytes; then buffers of sizes that were not wanted lately make room. */
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
    const shelf = this.#shelves.get(size);
    if (shelf === undefined) return new Uint8Array(size);
    shelf.used = ++this.#uses;
    const buffer = shelf.buffers.pop();
    if (buffer === undefined) return new Uint8Array(size);
    this.#idleBytes -= size;
    return buffer;
  }

  /** Gives back the buffer of which `bytes` is a view. Nobody may look at it any more. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    const size = buffer.byteLength;
    if (size !== sizeFor(size) || size > this.#limitBytes) return;
    let shelf = this.#shelves.get(size);
    if (shelf === undefined) {
      shelf = { size, buffers: [], used: 0 };
      this.#shelves.set(size, shelf);
    }
    shelf.used = ++this.#uses;
    shelf.buffers.push(new Uint8Array(buffer));
    this.#idleBytes += size;
    while (this.#idleBytes > this.#limitBytes) this.#discard();
  }

  /** Leaves a buffer of the size not wanted for longest to the collector. */
  #discard(): void {
    let oldest: Shelf | undefined;
    for (const shelf of this.#shelves.values()) {
      if (shelf.buffers.length > 0 && (oldest === undefined || shelf.used < oldest.used)) oldest = shelf;
    }
    oldest?.buffers.pop();
    this.#idleBytes -= oldest?.size ?? 0;
  }
}

/** The next quarter of a power of two. */
function sizeFor(bytes: number): number {
  if (bytes <= leastBytes) return leastBytes;
  const step = 1 << (29 - Math.clz32(bytes - 1));
  return (bytes + step - 1) & -step;
}
