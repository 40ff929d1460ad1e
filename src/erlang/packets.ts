import { concat } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import { Queue } from "../base/queue.ts";

const nothing = new Uint8Array(0);
/** Chunks shorter than this are put together, in buffers of that size. */
const shortBytes = 1_024;
const joinedBytes = 16_384;

/**
 * Packets out of a byte stream: a length of two bytes (handshake) or four, big-endian, then as many bytes. Pull until
 * `next` gives nothing.
 *
 * A packet that lies whole within what was fed is a view of it, others are copied once. Threat: a length that lies. It is
 * checked against a bound first, and memory is taken only as bytes arrive. Threat: bytes that arrive one at a time; a chunk
 * that is kept costs some 200 bytes beside its own, so short ones are not kept as they are.
 */
export class PacketReader {
  #lengthBytes: 2 | 4;
  #max: number;
  readonly #chunks = new Queue<Uint8Array>();
  #chunk: Uint8Array = nothing;
  #offset = 0;
  /** Bytes in `#chunk` behind `#offset`, and in `#chunks`. */
  #available = 0;
  /** Short chunks: those between the marks are behind all of `#chunks`. */
  #joined: Uint8Array = nothing;
  #joinedFrom = 0;
  #joinedTo = 0;
  /** Length of the packet that is arriving. */
  #length: number | undefined;

  /** @param max the longest packet that is accepted, bytes. */
  constructor(lengthBytes: 2 | 4, max: number) {
    this.#lengthBytes = lengthBytes;
    this.#max = max;
  }

  /** What comes behind the last packet has lengths of this size. */
  expect(lengthBytes: 2 | 4, max: number): void {
    this.#lengthBytes = lengthBytes;
    this.#max = max;
  }

  /** Bytes fed and not given out: up to the longest packet and one chunk. */
  get bufferedBytes(): number {
    return this.#available;
  }

  /** Adds what came. It must stay as it is for as long as packets of it are in use. */
  feed(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#available += chunk.length;
    const joins = this.#joinedFrom < this.#joinedTo;
    if (!joins && this.#offset === this.#chunk.length && this.#chunks.length === 0) {
      this.#chunk = chunk;
      this.#offset = 0;
    } else if (chunk.length < shortBytes) this.#join(chunk);
    else {
      this.#endJoin();
      this.#chunks.push(chunk);
    }
  }

  /** @throws MeshError `LIMIT` for a packet beyond the bound: the stream is lost then. */
  next(): Uint8Array | undefined {
    if (this.#length === undefined) {
      if (this.#available < this.#lengthBytes) return undefined;
      const header = this.#take(this.#lengthBytes);
      // Not with shifts: they would make the highest bit a sign.
      const length = header.reduce((value, byte) => value * 256 + byte, 0);
      if (length > this.#max) {
        throw new MeshError("LIMIT", `a packet of ${length} bytes, where ${this.#max} are allowed`);
      }
      this.#length = length;
    }
    if (this.#available < this.#length) return undefined;
    const packet = this.#take(this.#length);
    this.#length = undefined;
    return packet;
  }

  #take(length: number): Uint8Array {
    this.#available -= length;
    if (length <= this.#chunk.length - this.#offset) return this.#fromChunk(length);
    const parts: Uint8Array[] = [];
    for (let missing = length; missing > 0; ) {
      if (this.#offset === this.#chunk.length) {
        this.#nextChunk();
      }
      const part = this.#fromChunk(Math.min(missing, this.#chunk.length - this.#offset));
      missing -= part.length;
      parts.push(part);
    }
    return concat(parts);
  }

  #fromChunk(length: number): Uint8Array {
    const part = this.#chunk.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    if (this.#offset === this.#chunk.length) this.#nextChunk();
    return part;
  }

  #nextChunk(): void {
    if (this.#chunks.length === 0) this.#endJoin();
    this.#chunk = this.#chunks.shift() ?? nothing;
    this.#offset = 0;
  }

  #join(chunk: Uint8Array): void {
    if (this.#joinedTo + chunk.length > this.#joined.length) {
      this.#endJoin();
      this.#joined = new Uint8Array(joinedBytes);
      this.#joinedFrom = 0;
      this.#joinedTo = 0;
    }
    this.#joined.set(chunk, this.#joinedTo);
    this.#joinedTo += chunk.length;
  }

  #endJoin(): void {
    if (this.#joinedFrom === this.#joinedTo) return;
    this.#chunks.push(this.#joined.subarray(this.#joinedFrom, this.#joinedTo));
    this.#joinedFrom = this.#joinedTo;
  }
}
