import { Queue } from "../base/queue.ts";
import { Writer } from "../base/writer.ts";
import { FrameBatch } from "./batch.ts";
import type { SendBudget } from "./budgets.ts";
import { fragmentHeaderBytes } from "./fragment.ts";
import { frameFlag, frameHeaderBytes, headerWord } from "./frame.ts";
import { interleavedMax } from "./limits.ts";

/** A payload that travels as fragments. */
export interface LongMessage {
  readonly type: number;
  /** COMPRESSED or none. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** Its way through the outbox. */
interface Sending extends LongMessage {
  /** Its name on the stream, once begun. */
  message: number;
  sentBytes: number;
}

/** What waits in the order of one key, from its first long message on. */
interface Line {
  readonly key: number;
  readonly entries: Queue<Sending | FrameBatch>;
  /** The last of `entries`. */
  tail: Sending | FrameBatch;
}

const overhead = frameHeaderBytes + fragmentHeaderBytes;

/**
 * The long messages of an outbox, each key's in a line of its own together with the short frames that must not
 * overtake them. Lines take turns, a fragment each; no more messages are begun than the receiver must put up with.
 */
export class LongMessages {
  readonly #fragmentBytes: number;
  readonly #budget: SendBudget;
  readonly #onReady: () => void;
  readonly #lines = new Map<number, Line>();
  /** Lines that may send, in turn. */
  readonly #turns = new Queue<Line>();
  /** Lines whose first message may not begin yet. */
  readonly #waiting = new Queue<Line>();
  #begunCount = 0;
  #begunBytes = 0;
  #messages = 0;

  constructor(fragmentBytes: number, budget: SendBudget, onReady: () => void) {
    this.#fragmentBytes = fragmentBytes;
    this.#budget = budget;
    this.#onReady = onReady;
  }

  /** Nothing waits in any line. */
  get empty(): boolean {
    return this.#lines.size === 0;
  }

  /** Where short frames of `key` go when it has a line. */
  batchOf(key: number): FrameBatch | undefined {
    const line = this.#lines.get(key);
    if (line === undefined || line.tail instanceof FrameBatch) return line?.tail as FrameBatch | undefined;
    const batch = new FrameBatch();
    line.tail = batch;
    line.entries.push(batch);
    return batch;
  }

  /** Adds a message at the end of its key's line; returns how many bytes it will be on the wire. */
  add(key: number, { type, flags, payload }: LongMessage): number {
    const sending = { type, flags, payload, message: 0, sentBytes: 0 };
    const line = this.#lines.get(key);
    if (line !== undefined) {
      line.tail = sending;
      line.entries.push(sending);
    } else {
      const entries = new Queue<Sending | FrameBatch>();
      entries.push(sending);
      const started = { key, entries, tail: sending };
      this.#lines.set(key, started);
      this.#waiting.push(started);
    }
    return payload.length + Math.ceil(payload.length / this.#fragmentBytes) * overhead;
  }

  /** True when `take` has something to give. */
  ready(): boolean {
    for (let line = this.#waiting.peek(); line !== undefined; line = this.#waiting.peek()) {
      if (!this.#begin(line.entries.peek() as Sending)) break;
      this.#waiting.shift();
      this.#turns.push(line);
    }
    return this.#turns.length > 0;
  }

  /** The next turn, and those after it that fit `maxBytes`, copied into one buffer. Ask `ready` first. */
  take(maxBytes: number): Uint8Array {
    const writer = new Writer(this.#capacity(maxBytes));
    do {
      const line = this.#turns.peek() as Line;
      const room = maxBytes - writer.length;
      if (writer.length > 0 && nextFrameBytes(line, this.#fragmentBytes) > room) break;
      this.#turns.shift();
      this.#takeTurn(line, room, writer);
    } while (this.ready());
    return writer.bytes();
  }

  close(): void {
    this.#lines.clear();
    this.#turns.clear();
    this.#waiting.clear();
    this.#budget.leave(this.#onReady);
    this.#budget.give(this.#begunBytes);
    this.#begunBytes = 0;
  }

  /** True when the message has got a place on the stream and in the budget. */
  #begin(sending: Sending): boolean {
    const bytes = sending.payload.length;
    if (this.#begunCount >= interleavedMax || !this.#budget.take(bytes, this.#onReady)) return false;
    this.#begunCount += 1;
    this.#begunBytes += bytes;
    sending.message = this.#messages;
    this.#messages = (this.#messages + 1) >>> 0;
    return true;
  }

  #takeTurn(line: Line, room: number, writer: Writer): void {
    const head = line.entries.peek() as Sending | FrameBatch;
    const finished =
      head instanceof FrameBatch ? this.#takeShort(head, room, writer) : this.#takeFragment(head, writer);
    if (!finished) {
      this.#turns.push(line);
      return;
    }
    line.entries.shift();
    const next = line.entries.peek();
    if (next === undefined) this.#lines.delete(line.key);
    else if (next instanceof FrameBatch) this.#turns.push(line);
    else this.#waiting.push(line);
  }

  /** A turn's worth of short frames; true when there are no more. */
  #takeShort(batch: FrameBatch, room: number, writer: Writer): boolean {
    const frames = batch.take(Math.min(room, this.#fragmentBytes));
    if (frames !== undefined) writer.raw(frames);
    return batch.bytes === 0;
  }

  /** One fragment; true when it was the last of its message. */
  #takeFragment(sending: Sending, writer: Writer): boolean {
    const { type, flags, payload, message, sentBytes } = sending;
    const end = Math.min(sentBytes + this.#fragmentBytes, payload.length);
    writer.u32(headerWord(type, flags | frameFlag.fragmented));
    writer.u32(fragmentHeaderBytes + end - sentBytes);
    writer.u32(message);
    writer.u32(payload.length);
    writer.u32(sentBytes);
    writer.raw(payload.subarray(sentBytes, end));
    sending.sentBytes = end;
    if (end < payload.length) return false;
    this.#begunCount -= 1;
    this.#begunBytes -= payload.length;
    this.#budget.give(payload.length);
    return true;
  }

  /** What `take` will need, seldom exactly: growing is cheap where it is rare. */
  #capacity(maxBytes: number): number {
    const head = this.#turns.peek()?.entries.peek();
    const first = head === undefined || head instanceof FrameBatch ? 0 : head.payload.length - head.sentBytes;
    const fragments = Math.ceil(first / this.#fragmentBytes);
    return Math.max(1_024, Math.min(maxBytes, first + fragments * overhead));
  }
}

/** Length of the frame that begins the line's turn. */
function nextFrameBytes(line: Line, fragmentBytes: number): number {
  const head = line.entries.peek() as Sending | FrameBatch;
  if (head instanceof FrameBatch) return head.firstFrameBytes;
  return Math.min(fragmentBytes, head.payload.length - head.sentBytes) + overhead;
}
