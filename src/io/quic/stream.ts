import type { Duplex } from "node:stream";
import { MeshError } from "../../base/errors.ts";
import { toNodeStream, toWebStreams } from "./adapters.ts";
import type { QuicConnection } from "./connection.ts";
import type { QuicCore } from "./core.ts";
import { eventKind, readEnded, readUnknown } from "./native.ts";
import { blocked } from "./symbols.ts";

/** Bytes that one `read` returns unless told otherwise. */
const readBytesDefault = 64 * 1024;
/** Larger writes go to the engine at once: copying them twice costs more than the call. */
const batchBelowBytes = 8 * 1024;

/**
 * A stream of a connection: bytes in order, both ways or one way. What is not read stays in the engine and holds the
 * sender back; what the peer does not take is not accepted by `write`.
 */
export class QuicStream implements AsyncIterable<Uint8Array> {
  readonly id: number;
  readonly bidirectional: boolean;
  /** Opened by the peer before the handshake was complete: its bytes may be a replay (RFC 8446 §8). */
  readonly early: boolean;
  /** There may be something to read. */
  onReadable: (() => void) | undefined;
  /** `write` takes bytes again after it took less than it was given. */
  onWritable: (() => void) | undefined;
  /** The peer aborted its side (`"read"`), or wants no more of ours (`"write"`), with an application code. */
  onReset: ((code: number, side: "read" | "write") => void) | undefined;
  /** Resolves when the peer has everything including the end; rejects when that will not happen. */
  readonly finished: Promise<void>;

  readonly #core: QuicCore;
  readonly #connection: QuicConnection;
  #readDone: boolean;
  #writeDone: boolean;
  #readEnded = false;
  #blocked = false;
  #finishing = false;
  /** All that had come was read; an event tells when there is more. */
  #drained = false;
  #readError: MeshError | undefined;
  #writeError: MeshError | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #resolveFinished!: () => void;
  #rejectFinished!: (error: MeshError) => void;

  /** @internal */
  constructor(core: QuicCore, connection: QuicConnection, id: number, local: boolean, early: boolean) {
    this.#core = core;
    this.#connection = connection;
    this.id = id;
    this.early = early;
    this.bidirectional = (id & 2) === 0;
    this.#readDone = local && !this.bidirectional;
    this.#writeDone = !local && !this.bidirectional;
    this.finished = new Promise((resolve, reject) => {
      this.#resolveFinished = resolve;
      this.#rejectFinished = reject;
    });
    // Nobody has to wait for it.
    this.finished.catch(() => undefined);
  }

  get connection(): QuicConnection {
    return this.#connection;
  }

  /** The peer ended its side and everything was read. */
  get readEnded(): boolean {
    return this.#readEnded;
  }

  /** Something may still be read. */
  get canRead(): boolean {
    return !this.#readDone;
  }

  /** Something may still be written. */
  get canWrite(): boolean {
    return !this.#writeDone && !this.#finishing;
  }

  /** Why nothing more can be read: the peer's reset, or the end of the connection. */
  get readError(): MeshError | undefined {
    return this.#readError;
  }

  /** Why nothing more can be written. */
  get writeError(): MeshError | undefined {
    return this.#writeError;
  }

  /** What has arrived, at most `maxBytes`; `undefined` when there is nothing now (see `readEnded`, `readError`). */
  read(maxBytes = readBytesDefault): Uint8Array<ArrayBuffer> | undefined {
    if (this.#readDone || this.#drained || maxBytes <= 0) return undefined;
    const { bytes, offset, length } = this.#core.slab(maxBytes);
    const count = this.#read(bytes, offset, length);
    return count > 0 ? this.#core.took(count) : undefined;
  }

  /** Like `read`, into a buffer of the caller's; how many bytes that was. */
  readInto(bytes: Uint8Array): number {
    if (this.#readDone || this.#drained || bytes.length === 0) return 0;
    return this.#read(bytes, 0, bytes.length);
  }

  #read(bytes: Uint8Array, offset: number, length: number): number {
    const result = this.#core.native.read(this.#connection.handle, this.id, bytes, offset, length);
    if (result < 0) {
      this.#onReadFailed(result);
      return 0;
    }
    const count = result % readEnded;
    // The engine would say the same again: this spares most reads a second call.
    if (count < length) this.#drained = true;
    if (result >= readEnded) {
      this.#readEnded = true;
      this.#readDone = true;
      this.#forgetWhenDone();
    }
    if (result > 0) this.#core.host.wake();
    return count;
  }

  #onReadFailed(result: number): void {
    if (result === readUnknown) {
      this.#failRead(new MeshError("CLOSED", `stream ${this.id} is gone`));
    } else this.#onReset(-1 - result);
  }

  /** Take what fits now; returns how many bytes that was. After less than all, `onWritable` follows. */
  write(bytes: Uint8Array): number {
    if (this.#writeDone || this.#finishing || this.#blocked) return 0;
    const core = this.#core;
    core.host.wake();
    if (bytes.length < batchBelowBytes) {
      if (core.batch.add(this, this.#connection.handle, bytes)) return bytes.length;
      core.handOver();
      if (this.#isBlocked()) return 0;
      core.batch.add(this, this.#connection.handle, bytes);
      return bytes.length;
    }
    core.handOver();
    if (this.#isBlocked()) return 0;
    const count = core.native.write(this.#connection.handle, this.id, bytes, core.now);
    if (count < bytes.length) this.#blocked = true;
    return count;
  }

  /** Handing a batch over may block the stream; asked as a call, so that narrowing does not lie. */
  #isBlocked(): boolean {
    return this.#blocked;
  }

  /** @internal The engine kept a part of a batch: no more until it is gone. */
  [blocked](): void {
    this.#blocked = true;
  }

  /** Write all of `bytes`, waiting as often as the peer makes us. Rejects when the stream or connection ends before. */
  async writeAll(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; ; ) {
      if (this.#writeError !== undefined) throw this.#writeError;
      if (this.#writeDone || this.#finishing) throw new MeshError("CLOSED", `stream ${this.id} was finished`);
      offset += this.write(offset === 0 ? bytes : bytes.subarray(offset));
      if (offset >= bytes.length) return;
      await this.writable();
    }
  }

  /** Resolves when a write that was cut short may go on, or never will. */
  writable(): Promise<void> {
    if (!this.#blocked || this.#writeDone) return Promise.resolve();
    const before = this.#wakeWriter;
    return new Promise((resolve) => {
      this.#wakeWriter = () => {
        before?.();
        resolve();
      };
    });
  }

  /** Resolves when there may be something to read, or never will be. */
  readable(): Promise<void> {
    if (this.#readDone) return Promise.resolve();
    const before = this.#wakeReader;
    return new Promise((resolve) => {
      this.#wakeReader = () => {
        before?.();
        resolve();
      };
    });
  }

  /** No more bytes; those written still arrive. */
  finish(): void {
    if (this.#writeDone || this.#finishing) return;
    this.#finishing = true;
    if (!this.#core.batch.finish(this, this.#connection.handle)) {
      this.#core.handOver();
      this.#core.batch.finish(this, this.#connection.handle);
    }
    this.#core.host.wake();
  }

  /** Abandon what was written; the peer gets `code` (0 to 2^53-1). */
  reset(code: number): void {
    if (this.#writeDone) return;
    this.#core.handOver();
    this.#tell(() => this.#core.native.reset(this.#connection.handle, this.id, code));
    this.#failWrite(new MeshError("RESET", `stream ${this.id} was reset here with code ${code}`));
  }

  /** Take no more; the peer gets `code` and stops sending. */
  stopReading(code: number): void {
    if (this.#readDone) return;
    this.#tell(() => this.#core.native.stop(this.#connection.handle, this.id, code));
    this.#failRead(new MeshError("RESET", `reading of stream ${this.id} was stopped here with code ${code}`));
  }

  /** Streams with a higher priority are sent first; among equals it goes round. Default 0. */
  setPriority(priority: number): void {
    if (!this.#writeDone)
      this.#tell(() => this.#core.native.setPriority(this.#connection.handle, this.id, priority));
  }

  #tell(action: () => void): void {
    action();
    this.#core.host.wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array<ArrayBuffer>> {
    try {
      for (;;) {
        const chunk = this.read();
        if (chunk !== undefined) {
          yield chunk;
          continue;
        }
        if (this.#readEnded) return;
        if (this.#readError !== undefined) throw this.#readError;
        await this.readable();
      }
    } finally {
      // Leaving the loop early says that the rest is not wanted.
      this.stopReading(0);
    }
  }

  toNode(): Duplex {
    return toNodeStream(this);
  }

  toWeb(): { readonly readable: ReadableStream<Uint8Array>; readonly writable: WritableStream<Uint8Array> } {
    return toWebStreams(this);
  }

  /** @internal An event of the engine. */
  dispatch(kind: number, code: number): void {
    switch (kind) {
      case eventKind.readable:
        this.#drained = false;
        this.#wake("read");
        this.#core.call(this.onReadable);
        break;
      case eventKind.writable:
        this.#blocked = false;
        this.#wake("write");
        this.#core.call(this.onWritable);
        break;
      case eventKind.finished:
        this.#writeDone = true;
        this.#resolveFinished();
        this.#forgetWhenDone();
        break;
      case eventKind.stopped:
        if (this.#writeDone) break;
        this.#failWrite(new MeshError("RESET", `the peer wants no more of stream ${this.id}: code ${code}`));
        this.#core.call(this.onReset, code, "write");
        break;
      case eventKind.streamReset:
        this.#onReset(code);
        break;
    }
  }

  #onReset(code: number): void {
    if (this.#readDone) return;
    this.#failRead(new MeshError("RESET", `the peer reset stream ${this.id}: code ${code}`));
    this.#core.call(this.onReset, code, "read");
  }

  /** @internal The connection, or all of its early data, is gone. */
  abandon(error: MeshError): void {
    if (!this.#readDone) this.#failRead(error);
    if (!this.#writeDone) this.#failWrite(error);
    this.#core.call(this.onReadable);
    this.#core.call(this.onWritable);
  }

  #failRead(error: MeshError): void {
    this.#readDone = true;
    this.#readError = error;
    this.#wake("read");
    this.#forgetWhenDone();
  }

  #failWrite(error: MeshError): void {
    this.#writeDone = true;
    this.#blocked = false;
    this.#writeError = error;
    this.#rejectFinished(error);
    this.#wake("write");
    this.#forgetWhenDone();
  }

  #wake(side: "read" | "write"): void {
    const wake = side === "read" ? this.#wakeReader : this.#wakeWriter;
    if (side === "read") this.#wakeReader = undefined;
    else this.#wakeWriter = undefined;
    wake?.();
  }

  #forgetWhenDone(): void {
    if (this.#readDone && this.#writeDone) this.#connection.forget(this);
  }
}
