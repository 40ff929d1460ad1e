import type { Socket } from "node:net";
import type { QuicStream } from "../quic/index.ts";
import { rawSocket } from "./raw-socket.ts";

/** Bytes moved in one go. */
const chunkBytes = 128 * 1024;
/** Buffers that are kept for the next one who needs one. */
const sparesMax = 16;
/** The other side of a connection that ended on one side gets this long to end as well, milliseconds. */
const lingerMs = 5_000;
/** The stream's code when a BEAM node has gone, or broke its connection. */
const brokenCode = 1;

/** What sockets read into: the engine copies at once, so that one is enough for all of them. */
const readBuffer = new Uint8Array(chunkBytes);
/** What streams are read into. A buffer that a socket has not written out at once is out of use until it has. */
const spares: Uint8Array[] = [];

/**
 * Carries the bytes of a distribution connection between a BEAM node's socket and a stream, both ways, each way as fast
 * as its reader takes them, and passes on at once how it ends. `onClosed` is called once, when both are done with.
 *
 * In our process wait at most two chunks of a connection, besides what the stream's windows allow.
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
  /** Read from the stream and being written to the socket. */
  #inFlight: Uint8Array | undefined;
  #linger: NodeJS.Timeout | undefined;
  #socketEnded = false;
  #sentEnd = false;
  #closed = false;

  constructor(socket: Socket, stream: QuicStream, onClosed: () => void) {
    this.#socket = rawSocket(socket, { buffer: readBuffer, onBytes: (bytes) => this.#toStream(bytes) });
    this.#stream = stream;
    this.#onClosed = onClosed;
  }

  start(): void {
    const socket = this.#socket;
    const stream = this.#stream;
    socket.on("error", () => {});
    socket.on("end", () => this.#onSocketEnd());
    socket.on("close", () => this.#close());
    stream.onWritable = () => this.#onWritable();
    stream.onReadable = () => this.#toSocket();
    stream.onReset = () => this.#close();
    if (socket.destroyed) return this.#close();
    socket.resume();
    this.#toSocket();
  }

  /** Hot path. False when the socket is to be read no further for now. */
  #toStream(bytes: Uint8Array): boolean {
    if (this.#closed) return false;
    const taken = this.#stream.write(bytes);
    if (taken === bytes.length) return true;
    if (this.#stream.writeError !== undefined) this.#close();
    // The buffer is everybody's: what is left has to move out.
    else this.#kept = bytes.slice(taken);
    return false;
  }

  #onWritable(): void {
    if (this.#stream.writeError !== undefined) return this.#close();
    const kept = this.#kept;
    if (kept === undefined) return;
    const taken = this.#stream.write(kept);
    this.#kept = taken === kept.length ? undefined : kept.subarray(taken);
    if (this.#kept !== undefined) return;
    if (this.#socketEnded) this.#stream.finish();
    else this.#socket.resume();
  }

  /** Hot path. */
  readonly #toSocket = (): void => {
    const stream = this.#stream;
    const socket = this.#socket;
    while (this.#inFlight === undefined && !this.#closed) {
      const buffer = spares.pop() ?? new Uint8Array(chunkBytes);
      const length = stream.readInto(buffer);
      if (length === 0) {
        giveBack(buffer);
        break;
      }
      // Mostly the system takes all of it at once.
      socket.write(buffer.subarray(0, length), this.#onWritten);
      if (socket.writableLength === 0) giveBack(buffer);
      else this.#inFlight = buffer;
    }
    if (this.#closed || this.#inFlight !== undefined) return;
    if (stream.readError !== undefined) this.#close();
    else if (stream.readEnded && !this.#sentEnd) {
      this.#sentEnd = true;
      socket.end();
      this.#lingerOn();
    }
  };

  readonly #onWritten = (): void => {
    const buffer = this.#inFlight;
    if (buffer === undefined || this.#socket.writableLength > 0) return;
    this.#inFlight = undefined;
    giveBack(buffer);
    this.#toSocket();
  };

  #onSocketEnd(): void {
    this.#socketEnded = true;
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
    const stream = this.#stream;
    stream.onReadable = undefined;
    stream.onWritable = undefined;
    stream.onReset = undefined;
    if (stream.canRead) stream.stopReading(brokenCode);
    // What was written and ended in order still arrives; the rest is of no use to anybody.
    if (stream.canWrite) stream.reset(brokenCode);
    this.#socket.destroy();
    this.#onClosed();
  }
}

function giveBack(buffer: Uint8Array): void {
  if (spares.length < sparesMax) spares.push(buffer);
}

/** The same for two BEAM nodes of one Macula node. @returns what ends it. */
export function spliceSockets(one: Socket, other: Socket, onClosed: () => void): () => void {
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    clearTimeout(linger);
    left.destroy();
    right.destroy();
    onClosed();
  };
  let linger: NodeJS.Timeout | undefined;
  const left: Socket = rawSocket(
    one,
    oneWay(
      () => left,
      () => right,
      () => closed,
    ),
  );
  const right: Socket = rawSocket(
    other,
    oneWay(
      () => right,
      () => left,
      () => closed,
    ),
  );
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    from.on("error", () => {});
    from.on("close", close);
    from.on("end", () => {
      to.end();
      linger ??= setTimeout(close, lingerMs);
    });
  }
  if (left.destroyed || right.destroyed) close();
  left.resume();
  right.resume();
  return close;
}

/** What is read from one socket is written to the other before more is read: so the buffer is in use once at a time. */
function oneWay(from: () => Socket, to: () => Socket, isClosed: () => boolean) {
  const onWritten = (): void => {
    if (!isClosed() && to().writableLength === 0) from().resume();
  };
  return {
    buffer: new Uint8Array(chunkBytes),
    onBytes: (bytes: Uint8Array): boolean => {
      to().write(bytes, onWritten);
      return to().writableLength === 0;
    },
  };
}
