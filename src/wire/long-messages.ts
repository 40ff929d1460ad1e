import type { BufferPool } from "../base/buffer-pool.ts";
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
  /** The payload's, if it goes back to the pool when the message is sent. */
  readonly buffer: Uint8Array<ArrayBuffer> | undefined;
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
  readonly #pool: BufferPool;
  readonly #lines = new Map<number, Line>();
  /** Lines that may send, in turn. */
  readonly #turns = new Queue<Line>();
  /** Lines whose first message may not begin yet. */
  readonly #waiting = new Queue<Line>();
  /** What of a long piece comes after its headers. */
  #body: Uint8Array | undefined;
  /** The buffer of the message that ends with `#body`. */
  #bodyBuffer: Uint8Array<ArrayBuffer> | undefined;
  #spent: Uint8Array<ArrayBuffer> | undefined;
  #bytes = 0;
  #begunCount = 0;
  #begunBytes = 0;
  #messages = 0;

  constructor(fragmentBytes: number, budget: SendBudget, onReady: () => void, pool: BufferPool) {
    this.#fragmentBytes = fragmentBytes;
    this.#budget = budget;
    this.#onReady = onReady;
    this.#pool = pool;
  }

  /** Bytes that `take` will give for what waits; less when long pieces save headers. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing waits in any line. */
  get empty(): boolean {
    return this.#lines.size === 0;
  }

  /** Where short frames of `key` go when it has a line. */
  batchOf(key: number): FrameBatch | undefined {
    const line = this.#lines.get(key);
    if (line === undefined || line.tail instanceof FrameBatch) return line?.tail as FrameBatch | undefined;
    const batch = new FrameBatch(this.#pool);
    line.tail = batch;
    line.entries.push(batch);
    return batch;
  }

  /** Adds a message at the end of its key's line. */
  add(key: number, { type, flags, payload, buffer }: LongMessage): void {
    const sending = { type, flags, payload, buffer, message: 0, sentBytes: 0 };
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
    this.#bytes += this.#wireBytes(payload.length);
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

  /** The stream takes nothing at the moment: others need not wait for us to use the budget. `ready` queues again. */
  leaveLine(): void {
    this.#budget.leave(this.#onReady);
  }

  /** `bytes` of short frames were added to what `batchOf` returned. */
  added(bytes: number): void {
    this.#bytes += bytes;
  }

  /** The piece whose headers `take` gave; nothing may come between. */
  takeBody(): Uint8Array | undefined {
    const body = this.#body;
    if (body === undefined) return undefined;
    this.#body = undefined;
    this.#spent = this.#bodyBuffer;
    this.#bodyBuffer = undefined;
    this.#bytes -= body.length;
    return body;
  }

  /** The buffer of which `take` or `takeBody` just gave the last bytes: for the pool, once they have been used. */
  takeSpent(): Uint8Array<ArrayBuffer> | undefined {
    const spent = this.#spent;
    this.#spent = undefined;
    return spent;
  }

  /**
   * The next turn, and those after it that fit `maxBytes`, copied into one buffer; or, when a message is alone, the
   * headers of as long a piece as fits: the piece itself, which is not copied, is for `takeBody`. Ask `ready` first.
   */
  take(maxBytes: number): Uint8Array {
    const head = this.#turns.peek()?.entries.peek();
    const alone = this.#turns.length === 1 && this.#waiting.length === 0;
    if (alone && head !== undefined && !(head instanceof FrameBatch)) {
      const pieceBytes = Math.min(maxBytes - overhead, head.payload.length - head.sentBytes);
      if (pieceBytes > this.#fragmentBytes) return this.#takePiece(head, pieceBytes);
    }
    return this.#takeTurns(maxBytes);
  }

  /** The headers of a piece of the only message; `#body` is to follow them. */
  #takePiece(sending: Sending, pieceBytes: number): Uint8Array {
    const line = this.#turns.shift() as Line;
    const { payload, sentBytes } = sending;
    const writer = new Writer(overhead);
    const queued = this.#wireBytes(payload.length - sentBytes);
    if (pieceBytes === payload.length) {
      // All of it at once: an ordinary frame, which the other end need not put together.
      writer.u32(headerWord(sending.type, sending.flags));
      writer.u32(pieceBytes);
    } else writeFragmentHeaders(writer, sending, pieceBytes);
    this.#body = payload.subarray(sentBytes, sentBytes + pieceBytes);
    sending.sentBytes += pieceBytes;
    this.#bytes += this.#wireBytes(payload.length - sending.sentBytes) + pieceBytes - queued;
    const finished = this.#finish(sending);
    if (finished) this.#bodyBuffer = sending.buffer;
    this.#afterTurn(line, finished);
    return writer.bytes();
  }

  #takeTurns(maxBytes: number): Uint8Array {
    const writer = new Writer(this.#capacity(maxBytes), this.#pool);
    do {
      const line = this.#turns.peek() as Line;
      const room = maxBytes - writer.length;
      if (writer.length > 0 && nextFrameBytes(line, this.#fragmentBytes) > room) break;
      this.#turns.shift();
      this.#takeTurn(line, room, writer);
    } while (this.ready());
    this.#spent = writer.bytes();
    return this.#spent;
  }

  /** What so much of a payload takes in fragments of the shortest kind. */
  #wireBytes(payloadBytes: number): number {
    return payloadBytes + Math.ceil(payloadBytes / this.#fragmentBytes) * overhead;
  }

  close(): void {
    this.#lines.clear();
    this.#turns.clear();
    this.#waiting.clear();
    this.#body = undefined;
    this.#bodyBuffer = undefined;
    this.#bytes = 0;
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
    this.#afterTurn(line, finished);
  }

  /** @param finished there is no more of the line's first entry. */
  #afterTurn(line: Line, finished: boolean): void {
    if (!finished) {
      this.#turns.push(line);
      return;
    }
    line.entries.shift();
    let next = line.entries.peek();
    // A batch made for a frame that turned out to be long stays empty.
    while (next instanceof FrameBatch && next.bytes === 0) {
      line.entries.shift();
      next = line.entries.peek();
    }
    if (next === undefined) this.#lines.delete(line.key);
    else if (next instanceof FrameBatch) this.#turns.push(line);
    else this.#waiting.push(line);
  }

  /** A turn's worth of short frames; true when there are no more. */
  #takeShort(batch: FrameBatch, room: number, writer: Writer): boolean {
    const frames = batch.take(Math.min(room, this.#fragmentBytes));
    if (frames !== undefined) {
      writer.raw(frames);
      this.#bytes -= frames.length;
      if (batch.headTaken) this.#pool.give(frames);
    }
    return batch.bytes === 0;
  }

  /** One fragment; true when it was the last of its message. */
  #takeFragment(sending: Sending, writer: Writer): boolean {
    const { payload, sentBytes } = sending;
    const pieceBytes = Math.min(this.#fragmentBytes, payload.length - sentBytes);
    writeFragmentHeaders(writer, sending, pieceBytes);
    writer.raw(payload.subarray(sentBytes, sentBytes + pieceBytes));
    sending.sentBytes += pieceBytes;
    this.#bytes -= pieceBytes + overhead;
    const finished = this.#finish(sending);
    if (finished && sending.buffer !== undefined) this.#pool.give(sending.buffer);
    return finished;
  }

  /** Gives back what the message took, if all of it is sent: then true. */
  #finish({ payload, sentBytes }: Sending): boolean {
    if (sentBytes < payload.length) return false;
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

function writeFragmentHeaders(writer: Writer, sending: Sending, pieceBytes: number): void {
  writer.u32(headerWord(sending.type, sending.flags | frameFlag.fragmented));
  writer.u32(fragmentHeaderBytes + pieceBytes);
  writer.u32(sending.message);
  writer.u32(sending.payload.length);
  writer.u32(sending.sentBytes);
}

/** Length of the frame that begins the line's turn. */
function nextFrameBytes(line: Line, fragmentBytes: number): number {
  const head = line.entries.peek() as Sending | FrameBatch;
  if (head instanceof FrameBatch) return head.firstFrameBytes;
  return Math.min(fragmentBytes, head.payload.length - head.sentBytes) + overhead;
}
