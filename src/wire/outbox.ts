import { BufferPool } from "../base/buffer-pool.ts";
import { MeshError } from "../base/errors.ts";
import type { Writer } from "../base/writer.ts";
import { FrameBatch } from "./batch.ts";
import { SendBudget } from "./budgets.ts";
import { deflatePayload } from "./compression.ts";
import { checkPayloadLength, checkType, frameFlag, frameHeaderBytes, headerWord } from "./frame.ts";
import { payloadMaxBytes } from "./limits.ts";
import { LongMessages } from "./long-messages.ts";

export interface OutboxOptions {
  /**
   * The longest payload that travels in one frame while others wait, bytes, 1,024 … 2^24: what a long message delays
   * them by. Default 16,384: 13 ms at 10 Mbit/s, while its headers cost an eighth of a percent.
   */
  readonly fragmentBytes?: number;
  /**
   * Where the buffers of frames come from and go back to. With one, what `take` gives stands only until the next
   * `take`. Default: none are used again.
   */
  readonly buffers?: BufferPool;
  /** What the outboxes of one link may have begun together; give them all the same. Default: one of its own. */
  readonly budget?: SendBudget;
  /**
   * Payloads above this are compressed when that saves an eighth or more, bytes. Default `Infinity`, never:
   * links carry hundreds of megabytes a second, and deflating does tens on the thread that serves everybody.
   */
  readonly compressAboveBytes?: number;
  /**
   * `take` may give something again that had to wait for the link's `budget`. Called while another outbox is at work,
   * so make a note and call `take` later.
   */
  readonly onReady?: () => void;
}

/**
 * One outgoing stream: messages in, bytes out, whole frames at a time.
 *
 * Short messages share buffers, first come, first served. A long one is split, and between any two fragments go all
 * short frames that are there (but for those of its own key, which must not overtake it). So a short frame waits for
 * one fragment at the most, and long messages get on however many short ones there are.
 */
export class Outbox {
  readonly #fragmentBytes: number;
  readonly #compressAboveBytes: number;
  /** The longest payload that needs no thought: neither compressed nor split. */
  readonly #plainBytes: number;
  readonly #buffers: BufferPool;
  readonly #short: FrameBatch;
  readonly #long: LongMessages;
  /** All of it was given out by the last `take`. */
  #spent: Uint8Array<ArrayBuffer> | undefined;
  /** Short frames that go before the next fragment, bytes. */
  #beforeFragment = 0;
  #fragmentWasLast = false;
  #closed = false;

  /** @throws RangeError when an option is out of its range. */
  constructor(options: OutboxOptions = {}) {
    const { fragmentBytes, compressAboveBytes, budget, buffers, onReady } = resolveOutboxOptions(options);
    this.#fragmentBytes = fragmentBytes;
    this.#compressAboveBytes = compressAboveBytes;
    this.#plainBytes = Math.min(fragmentBytes, compressAboveBytes);
    this.#buffers = buffers;
    this.#short = new FrameBatch(buffers);
    this.#long = new LongMessages(fragmentBytes, budget, onReady, buffers);
  }

  /** Bytes that `take` will give for what is queued now, all headers included; a little less when it is in long pieces. */
  get queuedBytes(): number {
    return this.#short.bytes + this.#long.bytes;
  }

  /**
   * Queues a message. Order is kept among those of equal `key` (the sending process). A long payload is not copied: it
   * belongs to the outbox until it is sent.
   * @throws MeshError `LIMIT` `payload_too_large` above 16 MiB, `ENCODE` for an impossible type, `CLOSED`; nothing is
   *   queued then.
   */
  push(key: number, type: number, payload: Uint8Array): void {
    this.#checkOpen();
    checkType(type);
    checkPayloadLength(payload.length);
    if (payload.length <= this.#plainBytes) this.#addShort(key, type, 0, payload);
    else this.#addThoughtfully(key, type, payload, undefined);
  }

  /**
   * Like `push`, with a payload that `write` appends to the writer it is given: encoded in place, without a copy.
   * `write` may neither change what the writer holds already nor use this outbox. When it throws, nothing is queued.
   */
  frame(key: number, type: number, write: (writer: Writer) => void): void {
    this.#checkOpen();
    checkType(type);
    const batch = this.#batchOf(key);
    const writer = batch.writer();
    const start = writer.reserve(frameHeaderBytes);
    try {
      write(writer);
    } catch (error) {
      this.#buffers.give(batch.withdraw(start));
      throw error;
    }
    const bytes = writer.length - start;
    const length = bytes - frameHeaderBytes;
    if (length > this.#plainBytes) {
      const buffer = batch.withdraw(start);
      checkPayloadLength(length);
      this.#addThoughtfully(key, type, buffer.subarray(frameHeaderBytes), buffer);
      return;
    }
    writer.patchU32(start, headerWord(type, 0));
    writer.patchU32(start + 4, length);
    this.#added(batch, bytes);
  }

  /**
   * The next bytes for the stream: whole frames, `maxBytes` or fewer, but one frame at the least however small
   * `maxBytes` is (a fragment and its headers at the most); or the headers of a long piece, which the next call
   * returns: so it need not be copied. `undefined` when nothing is queued, or what is must wait for the budget (see
   * `onReady`). The bytes do not change any more; with `buffers`, until the next call.
   */
  take(maxBytes: number): Uint8Array | undefined {
    if (this.#spent !== undefined) this.#buffers.give(this.#spent);
    const bytes = this.#next(maxBytes);
    this.#spent ??= this.#long.takeSpent();
    return bytes;
  }

  #next(maxBytes: number): Uint8Array | undefined {
    this.#spent = undefined;
    const body = this.#long.takeBody();
    if (body !== undefined) return body;
    if (this.#fragmentWasLast && this.#beforeFragment === 0) this.#beforeFragment = this.#short.bytes;
    this.#fragmentWasLast = false;
    if (this.#beforeFragment > 0 || !this.#long.ready()) return this.#takeShort(maxBytes);
    this.#fragmentWasLast = true;
    // One fragment if short frames wait, which are next; as many as fit if none do.
    return this.#long.take(this.#short.bytes > 0 ? 0 : maxBytes);
  }

  /**
   * The stream takes no more for now. What waits for the link's `budget` leaves its line, in which it would hold up the
   * outboxes behind it; the next `take` queues it again, at the end.
   */
  stalled(): void {
    this.#long.leaveLine();
  }

  /** The stream is gone: drops what is queued and gives the budget back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#long.close();
    this.#short.clear();
  }

  #takeShort(maxBytes: number): Uint8Array | undefined {
    const before = this.#beforeFragment;
    const taken = this.#short.take(before > 0 ? Math.min(maxBytes, before) : maxBytes);
    if (taken === undefined) return undefined;
    if (this.#short.headTaken) this.#spent = taken;
    this.#beforeFragment = Math.max(0, before - taken.length);
    return taken;
  }

  #checkOpen(): void {
    if (this.#closed) throw new MeshError("CLOSED", "the stream is closed");
  }

  /** Where short frames of `key` go: behind its long message, or among the others. */
  #batchOf(key: number): FrameBatch {
    return this.#long.empty ? this.#short : (this.#long.batchOf(key) ?? this.#short);
  }

  #addShort(key: number, type: number, flags: number, payload: Uint8Array): void {
    const batch = this.#batchOf(key);
    const writer = batch.writer();
    writer.u32(headerWord(type, flags));
    writer.u32(payload.length);
    writer.raw(payload);
    this.#added(batch, frameHeaderBytes + payload.length);
  }

  #added(batch: FrameBatch, bytes: number): void {
    batch.added(bytes);
    if (batch !== this.#short) this.#long.added(bytes);
  }

  /** Queues what may have to be compressed or split. */
  #addThoughtfully(
    key: number,
    type: number,
    payload: Uint8Array,
    buffer: Uint8Array<ArrayBuffer> | undefined,
  ): void {
    const deflated = payload.length > this.#compressAboveBytes ? deflatePayload(payload) : undefined;
    const flags = deflated === undefined ? 0 : frameFlag.compressed;
    const bytes = deflated ?? payload;
    if (bytes.length <= this.#fragmentBytes) this.#addShort(key, type, flags, bytes);
    else {
      // What is queued goes before the first fragment. Later lines need no such care: two fragments at the least, and
      // all short frames between them, keep the end of a long message behind the earlier frames of its key.
      if (this.#long.empty) this.#beforeFragment = this.#short.bytes;
      this.#long.add(key, {
        type,
        flags,
        payload: bytes,
        buffer: deflated === undefined ? buffer : undefined,
      });
      if (deflated === undefined) return;
    }
    // Copied or compressed: what it was made from is free again.
    if (buffer !== undefined) this.#buffers.give(buffer);
  }
}

function resolveOutboxOptions(given: OutboxOptions): Required<OutboxOptions> {
  const options = {
    fragmentBytes: 16_384,
    compressAboveBytes: Number.POSITIVE_INFINITY,
    // A function of its own, since the budget tells outboxes apart by it.
    onReady: () => undefined,
    ...given,
    budget: given.budget ?? new SendBudget(),
    buffers: given.buffers ?? new BufferPool(0),
  };
  if (!(options.fragmentBytes >= 1_024 && options.fragmentBytes <= payloadMaxBytes)) {
    throw new RangeError(`fragmentBytes must be 1,024 to ${payloadMaxBytes}`);
  }
  if (!(options.compressAboveBytes >= 0)) throw new RangeError("compressAboveBytes must be 0 or more");
  return options;
}
