import { MeshError } from "../../base/errors.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicStream } from "../../io/quic/index.ts";
import type { Link } from "../../link/index.ts";
import type { Frame, Inbox } from "../../wire/index.ts";
import type { Reader, ReadTurns } from "./read-turns.ts";

/** What is read from a stream at a time. */
const readBytes = 262_144;

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
 * pulled: frames stay in the inbox, bytes in the engine, and QUIC's flow control stops the peer.
 */
export class Incoming implements Reader {
  /** Unique among all streams of this node, so that an order to pause cannot meet a later stream. */
  readonly number: number;
  readonly #stream: QuicStream;
  readonly #inbox: Inbox;
  readonly #link: Link;
  readonly #user: IncomingUser;
  readonly #turns: ReadTurns;
  readonly #clock: () => Instant;
  #paused = false;
  #reading = false;
  #ended = false;

  constructor(
    number: number,
    stream: QuicStream,
    link: Link,
    user: IncomingUser,
    turns: ReadTurns,
    clock: () => Instant,
  ) {
    this.number = number;
    this.#stream = stream;
    this.#link = link;
    this.#inbox = link.openInbox();
    this.#user = user;
    this.#turns = turns;
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
    } catch (error) {
      this.stop();
      this.#user.onDefect(error);
    }
    this.#reading = false;
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
        continue;
      }
      const chunk = this.#stream.read(readBytes);
      if (chunk === undefined) break;
      this.#link.heard(now);
      inbox.feed(chunk);
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
}
