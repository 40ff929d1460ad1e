import type { BufferPool } from "../../base/buffer-pool.ts";
import { MeshError } from "../../base/errors.ts";
import type { Instant } from "../../base/time.ts";
import { unwrittenBuffer } from "../../io/memory.ts";
import type { QuicStream } from "../../io/quic/index.ts";
import type { Link } from "../../link/index.ts";
import type { Frame, Inbox } from "../../wire/index.ts";
import type { Reader, ReadTurns } from "./read-turns.ts";

/** What is read from a stream at a time: about as much as is handed on in a turn. */
const chunkBytes = 65_536;
/** A payload of so many bytes and more is worth a read of its own, into its own buffer. */
const longBytes = 16_384;
/** Behind a long payload another is likely: then only its headers are read into the chunk, from which it would be copied. */
const headerChunkBytes = 1_024;

export interface IncomingUser {
  /** A frame of the stream. Returning false ends the reading: the link was closed. */
  onFrame(incoming: Incoming, frame: Frame, now: Instant): boolean;
  /** A defect of what came, as a MeshError. */
  onDefect(error: unknown): void;
  /** The peer finished the stream, or the connection is gone, and all of it is read. */
  onEnd(incoming: Incoming): void;
}

/**
 * One incoming stream of a link: pulls chunks from the engine and frames from the inbox. While it is paused nothing is
 * pulled: frames stay in the inbox, bytes in the engine, and QUIC's flow control stops the peer. It holds a buffer only
 * while there are frames in it.
 */
export class Incoming implements Reader {
  /** Unique among all streams of this node, so that an order to pause cannot meet a later stream. */
  readonly number: number;
  readonly #stream: QuicStream;
  readonly #inbox: Inbox;
  readonly #link: Link;
  readonly #user: IncomingUser;
  readonly #turns: ReadTurns;
  readonly #buffers: BufferPool;
  readonly #clock: () => Instant;
  /** What the inbox was fed with. */
  #chunk: Uint8Array<ArrayBuffer> | undefined;
  #longBefore = false;
  #paused = false;
  #reading = false;
  #ended = false;

  constructor(
    number: number,
    stream: QuicStream,
    link: Link,
    user: IncomingUser,
    turns: ReadTurns,
    buffers: BufferPool,
    clock: () => Instant,
  ) {
    this.number = number;
    this.#stream = stream;
    this.#link = link;
    this.#inbox = link.openInbox(unwrittenBuffer);
    this.#user = user;
    this.#turns = turns;
    this.#buffers = buffers;
    this.#clock = clock;
    stream.onReadable = () => this.read();
    stream.onReset = () => this.read();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#inbox.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#inbox.resume(this.#clock());
    this.#turns.wait(this);
  }

  /** Hands on what is there, up to the link's budget for this turn; the rest in the next. */
  read(): void {
    // A frame's receiver may call `resume`, or send and be answered, while we are at it.
    if (this.#reading || this.#ended) return;
    this.#reading = true;
    const now = this.#clock();
    try {
      this.#readFrames(now);
      this.#giveChunkBack();
    } catch (error) {
      this.stop();
      this.#user.onDefect(error);
    }
    this.#reading = false;
  }

  /** No more is read or handed on. */
  stop(): void {
    this.#ended = true;
    this.#inbox.close();
  }

  #readFrames(now: Instant): void {
    const inbox = this.#inbox;
    const turns = this.#turns;
    while (!this.#paused) {
      if (turns.over) {
        turns.wait(this);
        return;
      }
      const frame = inbox.next(now) ?? this.#readLong(now);
      if (frame !== undefined) {
        if (!this.#user.onFrame(this, frame, now) || this.#ended) return;
        turns.spend(frame.payload.length);
        this.#longBefore = frame.payload.length >= longBytes;
        continue;
      }
      if (!this.#readChunk(now)) break;
    }
    const { readEnded, readError } = this.#stream;
    if (this.#paused || !(readEnded || readError !== undefined)) return;
    // The end of the connection ends its streams anywhere; in a link that lives, it would be a hole in the order of signals.
    if (!this.#stream.connection.isClosed) {
      if (readError !== undefined)
        throw new MeshError("PROTOCOL", `the peer gave up a lane: ${readError.message}`);
      inbox.end();
    }
    this.#ended = true;
    this.#link.closeInbox(inbox);
    this.#user.onEnd(this);
  }

  /** What belongs to a long message goes where that is put together; the message, when that completes it. */
  #readLong(now: Instant): Frame | undefined {
    for (let room = this.#inbox.room(); room !== undefined; room = this.#inbox.room()) {
      const bytes = this.#stream.readInto(room);
      if (bytes === 0) return undefined;
      this.#link.heard(now);
      const frame = this.#inbox.filled(bytes, now);
      if (frame !== undefined) return frame;
    }
    return undefined;
  }

  /** Only when the inbox has nothing left of the last chunk. False when the engine has nothing now. */
  #readChunk(now: Instant): boolean {
    this.#chunk ??= this.#buffers.take(chunkBytes);
    const room = this.#longBefore ? this.#chunk.subarray(0, headerChunkBytes) : this.#chunk;
    const bytes = this.#stream.readInto(room);
    if (bytes === 0) return false;
    this.#link.heard(now);
    this.#inbox.feed(room.subarray(0, bytes));
    return true;
  }

  #giveChunkBack(): void {
    if (this.#chunk === undefined || this.#inbox.bufferedBytes > 0) return;
    this.#buffers.give(this.#chunk);
    this.#chunk = undefined;
  }
}
