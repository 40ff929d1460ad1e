import { MeshError } from "../../base/errors.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicConnection, QuicStream } from "../../io/quic/index.ts";
import { handshakeBytesMax } from "../../link/index.ts";
import { encodeFrame, type Frame, Inbox, ReassemblyBudget } from "../../wire/index.ts";

/** The control stream goes before all others: heartbeats aside, it is what tells the peer that we leave. */
const priority = 1;

export interface ControlUser {
  /** Whether the next frame may come now; else `read` again when it may. */
  mayRead(): boolean;
  onFrame(frame: Frame, now: Instant): void;
  onEnd(): void;
  onBroken(error: unknown): void;
}

/** The first stream of a connection: the handshake, then the few things that concern the link as a whole. */
export class Control {
  readonly #user: ControlUser;
  readonly #clock: () => Instant;
  readonly #inbox = new Inbox({ budget: new ReassemblyBudget(), payloadMaxBytes: handshakeBytesMax });
  #stream: QuicStream | undefined;
  #closed = false;

  constructor(user: ControlUser, clock: () => Instant) {
    this.#user = user;
    this.#clock = clock;
  }

  /** There is a stream. */
  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** Opens the stream, or a new one in place of it. False when the peer allows none. */
  open(transport: QuicConnection): boolean {
    const stream = transport.openStream({ bidirectional: true, priority });
    if (stream !== undefined) this.take(stream);
    return stream !== undefined;
  }

  /** The peer's stream. */
  take(stream: QuicStream): void {
    this.#stream = stream;
    stream.setPriority(priority);
    stream.onReadable = () => this.read();
    stream.onReset = () =>
      this.#user.onBroken(new MeshError("PROTOCOL", "the peer reset the control stream"));
  }

  /** What is said here fits any window: false when it does not, and the engine is of no use. */
  write(type: number, payload: Uint8Array): boolean {
    const bytes = encodeFrame(type, payload);
    return this.#stream?.write(bytes) === bytes.length;
  }

  finish(): void {
    this.#stream?.finish();
  }

  read(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#closed) return;
    const now = this.#clock();
    try {
      this.#readFrames(now);
      for (
        let chunk = this.#readNext(stream);
        chunk !== undefined && !this.#closed;
        chunk = this.#readNext(stream)
      ) {
        this.#inbox.feed(chunk);
        this.#readFrames(now);
      }
    } catch (error) {
      this.#user.onBroken(error);
    }
    if (stream.readEnded && this.#inbox.bufferedBytes === 0 && !this.#closed) this.#user.onEnd();
  }

  close(): void {
    this.#closed = true;
    this.#inbox.close();
  }

  #readNext(stream: QuicStream): Uint8Array | undefined {
    return this.#user.mayRead() ? stream.read() : undefined;
  }

  #readFrames(now: Instant): void {
    while (!this.#closed && this.#user.mayRead()) {
      const frame = this.#inbox.next(now);
      if (frame === undefined) return;
      this.#user.onFrame(frame, now);
    }
  }
}
