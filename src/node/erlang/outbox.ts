import { MeshError } from "../../base/errors.ts";
import { Writer } from "../../base/writer.ts";

export interface OutboxBounds {
  /** Bytes from which senders are asked to wait. */
  readonly highWaterBytes: number;
  /** Bytes at which nothing more is taken. */
  readonly maxBytes: number;
  /** The longest packet. */
  readonly packetMax: number;
}

const batchBytes = 16_384;

/** What waits to be written to one Erlang node: packets, each with its length of four bytes before it. */
export class ErlangOutbox {
  readonly #bounds: OutboxBounds;
  readonly #writer = new Writer(batchBytes);
  /** Lanes whose senders were told to wait. */
  readonly #waiting = new Set<number>();

  constructor(bounds: OutboxBounds) {
    this.#bounds = bounds;
  }

  get bytes(): number {
    return this.#writer.length;
  }

  /**
   * Appends a packet that `write` writes.
   * @param elsewhere bytes that wait behind this queue, in the socket.
   * @returns false when the sender should wait for `drained`.
   * @throws MeshError `LIMIT`, or what `write` throws; nothing was appended then.
   */
  packet(lane: number, elsewhere: number, write: (writer: Writer) => void): boolean {
    const { highWaterBytes, maxBytes, packetMax } = this.#bounds;
    const writer = this.#writer;
    const start = writer.length;
    if (start + elsewhere >= maxBytes) {
      throw new MeshError("LIMIT", `${start + elsewhere} bytes wait for the node; the sender did not wait`);
    }
    writer.reserve(4);
    try {
      write(writer);
    } catch (error) {
      writer.truncate(start);
      throw error;
    }
    const length = writer.length - start - 4;
    if (length > packetMax) {
      writer.truncate(start);
      throw new MeshError("LIMIT", `payload_too_large: ${length} bytes, where ${packetMax} are allowed`);
    }
    writer.patchU32(start, length);
    if (writer.length + elsewhere <= highWaterBytes) return true;
    this.#waiting.add(lane);
    return false;
  }

  /** All that waits, for the socket, which owns it from now on. */
  take(): Uint8Array | undefined {
    return this.#writer.length === 0 ? undefined : this.#writer.take();
  }

  /** The lanes whose senders may go on: all of them, when less than half of the mark waits. */
  drained(elsewhere: number): number[] {
    if (this.#waiting.size === 0) return [];
    if ((this.#writer.length + elsewhere) * 2 > this.#bounds.highWaterBytes) return [];
    return this.release();
  }

  /** The lanes whose senders wait, who are let go. */
  release(): number[] {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    return waiting;
  }
}
