import { MeshError } from "../../base/errors.ts";
import type { Writer } from "../../base/writer.ts";
import { ErlangCalls, type ErlangCallsSetup, encodeControl } from "../../erlang/index.ts";
import type { Signal } from "../../process/signals.ts";
import type { ErlangConnection } from "./connection.ts";
import { ErlangOutbox, type OutboxBounds } from "./outbox.ts";
import type { ErlangRoute } from "./types.ts";

export interface PeerSetup {
  /** Here. */
  readonly name: string;
  readonly route: ErlangRoute;
  readonly bounds: OutboxBounds;
  readonly calls: ErlangCallsSetup;
}

/**
 * An Erlang node that is connected, or wanted: what waits to be sent to it, which belongs to whichever connection becomes the
 * one, and our own attempt to reach it.
 */
export class Peer {
  readonly name: string;
  readonly route: ErlangRoute;
  readonly calls: ErlangCalls;
  /** What both sides have proven themselves on. */
  connection: ErlangConnection | undefined;
  /** Its life, once it is connected. */
  creation = 0;
  /** Our own attempt, from the moment on at which it has a stream. */
  dial: ErlangConnection | undefined;
  /** Our own attempt is under way: the peer's must give way to it, or it to the peer's. */
  attempting = false;
  /** It is noted for the next flush. */
  unflushed = false;
  readonly #outbox: ErlangOutbox;
  readonly #dialling = new AbortController();
  #hurry: () => void = () => undefined;

  constructor({ name, route, bounds, calls }: PeerSetup) {
    this.name = name;
    this.route = route;
    this.calls = new ErlangCalls(calls);
    this.#outbox = new ErlangOutbox(bounds);
  }

  /** Aborted when our own attempt is over, whatever became of it. */
  get dialling(): AbortSignal {
    return this.#dialling.signal;
  }

  endDialling(): void {
    this.#dialling.abort();
    this.dial = undefined;
    this.attempting = false;
  }

  /** Lets `waitMs` pass before the attempt, unless somebody is in a hurry, or the attempt is over before. */
  async patience(waitMs: number): Promise<void> {
    const { signal } = this.#dialling;
    if (waitMs === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(go, waitMs);
      this.#hurry = go;
      signal.addEventListener("abort", go, { once: true });
    });
  }

  /** Ends the wait before the attempt. */
  hurry(): void {
    this.#hurry();
  }

  /** Hot path: queues the signal. False when the sender should wait. @throws MeshError `LIMIT`, `ENCODE`, `UNSUPPORTED`. */
  queue(lane: number, signal: Signal): boolean {
    const waiting = this.connection?.waitingBytes ?? 0;
    return this.#outbox.packet(lane, waiting, (writer) => this.#encode(signal, writer));
  }

  /** Writes what waits, if the connection takes it; returns the lanes whose senders may go on. */
  flush(): number[] {
    const { connection } = this;
    if (connection === undefined || !connection.isWritable) return [];
    this.#write(connection);
    return this.#outbox.drained(connection.waitingBytes);
  }

  /** Writes what waits whether the connection takes it or not: it is the last. */
  flushAll(): void {
    if (this.connection !== undefined) this.#write(this.connection);
  }

  /** The lanes whose senders wait, who are let go: what waits goes nowhere. */
  release(): number[] {
    return this.#outbox.release();
  }

  #write(connection: ErlangConnection): void {
    const bytes = this.#outbox.take();
    if (bytes !== undefined) connection.write(bytes);
  }

  #encode(signal: Signal, writer: Writer): void {
    const { names } = this.route;
    switch (signal.type) {
      case "rpcCall":
        return this.calls.encode(signal, names, writer);
      case "rpcCancel":
      case "rpcReply":
        // Erlang nodes know neither, and have nothing to be answered so.
        throw new MeshError("UNSUPPORTED", `an Erlang node has no ${signal.type}`);
      default:
        return encodeControl(signal, names, writer);
    }
  }
}
