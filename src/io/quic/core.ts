import { MeshError, toError } from "../../base/errors.ts";
import { unwrittenBuffer } from "../memory.ts";
import { WriteBatch } from "./batch.ts";
import { QuicConnection } from "./connection.ts";
import { closeError } from "./errors.ts";
import { eventKind, eventWords, type NativeEngine } from "./native.ts";
import { dispatch } from "./symbols.ts";

/** What an endpoint (on a socket, or on virtual time) does for its engine. */
export interface CoreHost {
  /** The time of sans-IO calls, milliseconds; ignored by an engine with a socket. */
  now(): number;
  /** There is something to send: flush before this turn of the event loop ends. */
  wake(): void;
  onConnection(connection: QuicConnection): void;
  onIncomingFailed(error: MeshError): void;
  onForeign(): void;
  onVirtual(): void;
  onKeyLog(): void;
  /** A callback of the user threw. */
  onError(error: Error): void;
}

const eventsPerCall = 512;
const slabBytes = 256 * 1024;
const batchBytes = 256 * 1024;
/** Smaller reads are copied, so that a kept message does not keep a slab. */
const copyBelowBytes = 4_096;
/** With less room than this a new slab is begun. */
const slabRestBytes = 16 * 1024;

/** Buffers that are shared by all endpoints of the thread: a process with a thousand of them needs no more. */
let slab: Uint8Array<ArrayBuffer> = new Uint8Array(0);
let slabUsed = 0;
/** Not just one: a handler may make another endpoint deliver, or this one again. */
const spareEvents: Float64Array<ArrayBuffer>[] = [];

/** Events to objects, and small writes to batches. One per endpoint. */
export class QuicCore {
  readonly native: NativeEngine;
  readonly host: CoreHost;
  readonly batch = new WriteBatch(batchBytes);
  readonly connections = new Map<number, QuicConnection>();

  constructor(native: NativeEngine, host: CoreHost) {
    this.native = native;
    this.host = host;
  }

  get now(): number {
    return this.host.now();
  }

  /** Deliver everything the engine has to tell. */
  deliver(): void {
    const events = spareEvents.pop() ?? new Float64Array(eventsPerCall * eventWords);
    try {
      this.#deliver(events);
    } finally {
      spareEvents.push(events);
    }
  }

  #deliver(events: Float64Array<ArrayBuffer>): void {
    for (;;) {
      const count = this.native.events(events);
      for (let index = 0; index < count * eventWords; index += eventWords) {
        const kind = events[index] as number;
        const connection = events[index + 1] as number;
        try {
          this.#dispatch(kind, connection, events[index + 2] as number, events[index + 3] as number);
        } catch (error) {
          this.host.onError(toError(error));
        }
      }
      if (count < eventsPerCall) return;
    }
  }

  /** Hand the writes over and send; returns the delay of the next timer. */
  flush(): number {
    const delay = this.native.flush(this.batch.bytes, this.batch.close(), this.now);
    this.batch.clear();
    return delay;
  }

  /** Hand the writes over, to keep their order with what follows. */
  handOver(): void {
    if (this.batch.used === 0) return;
    this.native.writeBatch(this.batch.bytes, this.batch.close(), this.now);
    this.batch.clear();
  }

  /** Call `handler` of the user; what it throws is reported. */
  call<A extends readonly unknown[]>(handler: ((...args: A) => void) | undefined, ...args: A): void {
    if (handler === undefined) return;
    try {
      handler(...args);
    } catch (error) {
      this.host.onError(toError(error));
    }
  }

  /** A buffer to read into; `took` says how much of it was used. */
  slab(wanted: number): {
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly offset: number;
    readonly length: number;
  } {
    const rest = slab.length - slabUsed;
    if (rest < wanted && rest < slabRestBytes) {
      slab = unwrittenBuffer(slabBytes);
      slabUsed = 0;
    }
    const length = Math.min(wanted, slab.length - slabUsed);
    return { bytes: slab, offset: slabUsed, length };
  }

  took(count: number): Uint8Array<ArrayBuffer> {
    const start = slabUsed;
    if (count < copyBelowBytes) return slab.slice(start, start + count);
    slabUsed += count;
    return slab.subarray(start, start + count);
  }

  #dispatch(kind: number, handle: number, a: number, b: number): void {
    switch (kind) {
      case eventKind.foreign:
        return this.host.onForeign();
      case eventKind.virtual:
        return this.host.onVirtual();
      case eventKind.keyLog:
        return this.host.onKeyLog();
      case eventKind.incoming:
        return this.#onIncoming(handle, a === 1);
      case eventKind.incomingFailed:
        return this.#onIncomingFailed(handle);
      default:
        this.connections.get(handle)?.[dispatch](kind, a, b);
    }
  }

  #onIncoming(handle: number, early: boolean): void {
    const connection = new QuicConnection(this, handle, "server", early);
    this.connections.set(handle, connection);
    this.host.onConnection(connection);
  }

  #onIncomingFailed(handle: number): void {
    const close = this.native.closeReason(handle);
    this.native.release(handle);
    this.host.onIncomingFailed(
      close === null ? new MeshError("PROTOCOL", "an incoming connection failed") : closeError(close),
    );
  }
}
