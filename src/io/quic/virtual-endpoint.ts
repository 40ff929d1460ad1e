import type { MeshError } from "../../base/errors.ts";
import { type NodeId, nodeIdBytes } from "../../base/node-id.ts";
import { type QuicAddress, QuicConnection, type SessionTicket } from "./connection.ts";
import { QuicCore } from "./core.ts";
import { type Datagram, type DatagramHandler, packDatagrams, unpackDatagrams } from "./datagrams.ts";
import { nativeError } from "./errors.ts";
import { loadNative, type NativeEngine } from "./native.ts";
import {
  nativeIdentity,
  nativeTrust,
  type QuicIdentity,
  type QuicLimits,
  type QuicTrust,
  resolveQuicLimits,
} from "./options.ts";
import { type QuicEndpointStats, readEndpointStats } from "./stats.ts";

export interface VirtualQuicEndpointOptions extends QuicLimits {
  readonly identity: QuicIdentity;
  readonly trust: QuicTrust;
  /** The first `now`, milliseconds from any origin. Default 0. */
  readonly now?: number;
  /** The wall clock at that time, milliseconds since 1970, for checking certificates. It goes on with `now`. */
  readonly wallClockMs: number;
  /** 32 bytes from which connection ids and packet numbers are made. Keys stay random: a handshake is never the same. */
  readonly randomSeed?: Uint8Array;
}

/**
 * An endpoint without socket, clock and timer: whoever drives it moves the datagrams and says what time it is, so that a
 * simulator runs real QUIC on virtual time. Callbacks are called from within `receive`, `tick` and `transmit`.
 */
export class VirtualQuicEndpoint {
  onConnection: ((connection: QuicConnection) => void) | undefined;
  onIncomingFailed: ((error: MeshError) => void) | undefined;
  onForeignDatagram: DatagramHandler | undefined;
  onError: ((error: Error) => void) | undefined;

  readonly #native: NativeEngine;
  readonly #core: QuicCore;
  readonly #alpn: string;
  #now: number;
  #callbackErrors = 0;

  /** @throws MeshError `CONFIGURATION` for a wrong option, `UNSUPPORTED` without the engine. */
  constructor(options: VirtualQuicEndpointOptions) {
    const limits = resolveQuicLimits(options, false);
    const seed = options.randomSeed === undefined ? {} : { randomSeed: options.randomSeed };
    this.#now = options.now ?? 0;
    this.#alpn = limits.alpn[0] ?? "";
    const { NativeEngine } = loadNative();
    try {
      this.#native = new NativeEngine(
        nativeIdentity(options.identity),
        nativeTrust(options.trust),
        { ...limits, ...seed },
        false,
        this.#now,
        options.wallClockMs,
      );
    } catch (error) {
      throw nativeError(error);
    }
    this.#core = new QuicCore(this.#native, {
      now: () => this.#now,
      wake: () => undefined,
      onConnection: (connection) => this.#core.call(this.onConnection, connection),
      onIncomingFailed: (error) => this.#core.call(this.onIncomingFailed, error),
      onForeign: () => this.#onForeign(),
      onVirtual: () => undefined,
      onKeyLog: () => undefined,
      onError: (error) => {
        this.#callbackErrors++;
        this.onError?.(error);
      },
    });
  }

  /** Datagrams that have arrived. Addresses say where each came from. */
  receive(datagrams: readonly Datagram[], now: number): void {
    this.#now = Math.max(now, this.#now);
    this.#native.receive(packDatagrams(datagrams), this.#now);
    this.#core.deliver();
  }

  /** Timers that are due. */
  tick(now: number): void {
    this.#now = Math.max(now, this.#now);
    this.#native.handleTimeouts(this.#now);
    this.#core.deliver();
  }

  /** Everything that is to be sent now. Addresses say where each goes. */
  transmit(now: number): Datagram[] {
    this.#now = Math.max(now, this.#now);
    this.#core.handOver();
    const all: Datagram[] = [];
    for (;;) {
      const packed = this.#native.transmit(transmitBytes, this.#now);
      if (packed.length === 0) break;
      all.push(...unpackDatagrams(packed));
    }
    this.#core.deliver();
    return all;
  }

  /** When `tick` wants to be called; `undefined` when nothing is pending. Ask after `receive`, `tick` and `transmit`. */
  deadline(): number | undefined {
    const due = this.#native.timeout(this.#now);
    return due < 0 ? undefined : due;
  }

  /** Dial. The connection's `secured`, `established` and `closed` tell how it goes. */
  connect(
    target: QuicAddress,
    options: { readonly nodeId?: NodeId; readonly alpn?: string; readonly ticket?: SessionTicket } = {},
  ): QuicConnection {
    const alpn = options.alpn ?? this.#alpn;
    const expected = options.nodeId === undefined ? undefined : nodeIdBytes(options.nodeId);
    try {
      const { ticket } = options;
      const handle = this.#native.connect(
        target.host,
        target.port,
        expected,
        alpn,
        ticket?.native,
        this.#now,
      );
      const early = this.#native.early(handle);
      const connection = new QuicConnection(this.#core, handle, "client", early);
      this.#core.connections.set(handle, connection);
      if (early && ticket !== undefined) connection.presume(alpn, ticket.nodeId);
      return connection;
    } catch (error) {
      throw nativeError(error);
    }
  }

  setIdentity(identity: QuicIdentity): void {
    this.#native.setIdentity(nativeIdentity(identity));
  }

  setTrust(trust: QuicTrust): void {
    this.#native.setTrust(nativeTrust(trust));
  }

  stats(): QuicEndpointStats {
    return readEndpointStats(this.#native, this.#callbackErrors);
  }

  /** Close all connections; the last words are in the next `transmit`. */
  close(code = 0, reason = ""): void {
    this.#core.handOver();
    this.#native.closeAll(code, new TextEncoder().encode(reason), this.#now);
    for (const connection of this.#core.connections.values()) connection.end(undefined);
  }

  #onForeign(): void {
    const packed = this.#native.takeForeign();
    for (const { host, port, bytes } of unpackDatagrams(packed)) {
      this.#core.call(this.onForeignDatagram, { host, port }, bytes);
    }
  }
}

/** Bytes fetched from the engine by one call. */
const transmitBytes = 256 * 1024;
