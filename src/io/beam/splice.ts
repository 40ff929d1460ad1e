import type { Socket } from "node:net";
import type { QuicStream } from "../quic/index.ts";

/** Bytes moved in one go. */
const chunkBytes = 128 * 1024;
/** What may wait in our process for a BEAM node that does not read, beyond the window of its stream. */
const socketQueueBytesMax = 256 * 1024;
/** The other side of a connection that ended on one side gets this long to end as well, milliseconds. */
const lingerMs = 5_000;
/** The stream's code when a BEAM node has gone, or broke its connection. */
const brokenCode = 1;

/**
 * Carries the bytes of a distribution connection between a BEAM node's socket and a stream, both ways, each way as fast
 * as its reader takes them, and passes on at once how it ends. `onClosed` is called once, when both are done with.
 */
export function splice(socket: Socket, stream: QuicStream, onClosed: () => void): void {
  new Splice(socket, stream, onClosed).start();
}

class Splice {
  readonly #socket: Socket;
  readonly #stream: QuicStream;
  readonly #onClosed: () => void;
  /** Read from the socket and not yet taken by the stream. */
  #kept: Uint8Array | undefined;
  #linger: NodeJS.Timeout | undefined;
  #sentEnd = false;
  #closed = false;

  constructor(socket: Socket, stream: QuicStream, onClosed: () => void) {
    this.#socket = socket;
    this.#stream = stream;
    this.#onClosed = onClosed;
  }

  start(): void {
    const socket = this.#socket;
    const stream = this.#stream;
    socket.on("data", (chunk: Uint8Array) => this.#toStream(chunk));
    socket.on("drain", () => this.#toSocket());
    socket.on("end", () => this.#onSocketEnd());
    socket.on("close", () => this.#close());
    stream.onWritable = () => this.#onWritable();
    stream.onReadable = () => this.#toSocket();
    stream.onReset = () => this.#close();
    if (socket.destroyed) return this.#close();
    socket.resume();
    this.#toSocket();
  }

  /** Hot path. */
  #toStream(chunk: Uint8Array): void {
    const taken = this.#stream.write(chunk);
    if (taken === chunk.length) return;
    if (this.#stream.writeError !== undefined) return this.#close();
    this.#kept = chunk.subarray(taken);
    this.#socket.pause();
  }

  #onWritable(): void {
    if (this.#stream.writeError !== undefined) return this.#close();
    const kept = this.#kept;
    if (kept === undefined) return;
    this.#kept = undefined;
    this.#toStream(kept);
    if (this.#kept !== undefined) return;
    if (this.#socket.readableEnded) this.#stream.finish();
    else this.#socket.resume();
  }

  /** Hot path. */
  #toSocket(): void {
    const stream = this.#stream;
    const socket = this.#socket;
    while (!this.#closed && socket.writableLength < socketQueueBytesMax) {
      const bytes = stream.read(chunkBytes);
      if (bytes === undefined) break;
      socket.write(bytes);
    }
    if (this.#closed) return;
    if (stream.readError !== undefined) this.#close();
    else if (stream.readEnded && !this.#sentEnd) {
      this.#sentEnd = true;
      socket.end();
      this.#lingerOn();
    }
  }

  #onSocketEnd(): void {
    if (this.#kept === undefined) this.#stream.finish();
    this.#lingerOn();
  }

  /** One side has ended: so will the other, unless whoever is there has gone or hangs. */
  #lingerOn(): void {
    this.#linger ??= setTimeout(() => this.#close(), lingerMs);
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#linger);
    const { canRead } = this.#stream;
    this.#stream.onReadable = undefined;
    this.#stream.onWritable = undefined;
    this.#stream.onReset = undefined;
    if (canRead) this.#stream.stopReading(brokenCode);
    // What was written and ended in order still arrives; the rest is of no use to anybody.
    if (this.#stream.canWrite) this.#stream.reset(brokenCode);
    this.#socket.destroy();
    this.#onClosed();
  }
}

/** The same for two BEAM nodes of one Macula node. */
export function spliceSockets(one: Socket, other: Socket, onClosed: () => void): void {
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    one.destroy();
    other.destroy();
    onClosed();
  };
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("close", close);
    from.pipe(to);
  }
  if (one.destroyed || other.destroyed) close();
}
