import type { NodeId } from "../../base/node-id.ts";
import type { QuicConnection, QuicStream } from "../../io/quic/index.ts";

/** How often the peer is asked for a sign of life while there are streams, milliseconds. */
const heartbeatMs = 2_000;
/** So many questions in a row without one: the peer is lost, 6 to 8 s after its last sign of life. */
const missesMax = 3;
/** A connection without streams is closed after this, milliseconds. */
const idleMs = 30_000;
const silentCode = 2;

/**
 * A QUIC connection that carries distribution streams. It finds out by itself, and sooner than QUIC's own idle time-out of
 * 30 s, that the peer is gone; when it carries nothing it ends.
 */
export class TunnelConnection {
  readonly transport: QuicConnection;
  readonly peer: NodeId;
  readonly #timer: NodeJS.Timeout;
  #streams = 0;
  #bytesReceived = 0;
  #misses = 0;
  #idleSince = performance.now();
  #lastBeat = performance.now();

  constructor(transport: QuicConnection, onClosed: () => void) {
    this.transport = transport;
    this.peer = transport.peerNodeId;
    this.#timer = setInterval(() => this.#beat(), heartbeatMs);
    void this.#whenClosed(onClosed);
  }

  /** `undefined` when the peer takes no more streams at the moment, or is gone. */
  openStream(): QuicStream | undefined {
    const stream = this.transport.openStream({ bidirectional: true });
    if (stream !== undefined) this.adopt(stream);
    return stream;
  }

  /** Counts a stream, which keeps the connection, until it has ended. */
  adopt(stream: QuicStream): void {
    this.#streams++;
    void this.#whenFinished(stream);
  }

  close(reason: string): void {
    this.transport.close(0, reason);
  }

  async #whenClosed(onClosed: () => void): Promise<void> {
    await this.transport.closed;
    clearInterval(this.#timer);
    onClosed();
  }

  async #whenFinished(stream: QuicStream): Promise<void> {
    await Promise.allSettled([stream.finished]);
    this.#streams--;
    this.#idleSince = performance.now();
  }

  #beat(): void {
    const now = performance.now();
    // A beat that comes this late means that our own process stood still: that nothing was heard proves nothing.
    const stalled = now - this.#lastBeat > 2 * heartbeatMs;
    this.#lastBeat = now;
    if (this.#streams === 0) {
      this.#misses = 0;
      if (now - this.#idleSince >= idleMs) this.transport.close(0, "nothing to carry");
      return;
    }
    const { bytesReceived } = this.transport.stats();
    this.#misses = stalled || bytesReceived !== this.#bytesReceived ? 0 : this.#misses + 1;
    this.#bytesReceived = bytesReceived;
    if (this.#misses >= missesMax) {
      this.transport.close(silentCode, "no sign of life");
      return;
    }
    // Its acknowledgement is the sign of life.
    this.transport.sendDatagram(beat);
  }
}

const beat = Uint8Array.of(0);
