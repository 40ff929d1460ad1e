import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { MeshError, toError } from "../../base/errors.ts";
import { type NodeId, nodeIdBytes } from "../../base/node-id.ts";
import { type QuicAddress, QuicConnection, type SessionTicket } from "./connection.ts";
import { type CoreHost, QuicCore } from "./core.ts";
import { type Datagram, type DatagramHandler, packDatagrams, unpackDatagrams } from "./datagrams.ts";
import { EndpointTimer } from "./endpoint-timer.ts";
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
import { race } from "./race.ts";
import { type QuicEndpointStats, readEndpointStats } from "./stats.ts";

export interface QuicEndpointOptions extends QuicLimits {
  /** The local IP address. Default `"::"`, which takes IPv4 too; `"0.0.0.0"` on machines without IPv6. */
  readonly host?: string;
  /** The UDP port; 0 for any. Default 0. */
  readonly port?: number;
  readonly identity: QuicIdentity;
  readonly trust: QuicTrust;
  /** Socket buffers asked of the system, bytes. Default 4 MiB each. */
  readonly socketBufferBytes?: number;
  /** Lines in the format of SSLKEYLOGFILE: whoever has them can decrypt everything. For debugging. */
  readonly keyLog?: (line: string) => void;
  /** Time for checking certificates, milliseconds since 1970. Default `Date.now`. */
  readonly wallClock?: () => number;
  /** IP addresses of a host name, the preferred first. Default: the system's. */
  readonly lookup?: (host: string) => Promise<readonly string[]>;
  /** 32 secret bytes, kept across restarts: peers of the process before learn at once that it is gone. Default random. */
  readonly resetSeed?: Uint8Array;
}

export interface QuicConnectOptions {
  /** Whom to expect; without it any node of the realm will do. */
  readonly nodeId?: NodeId;
  /** Default: the endpoint's first. */
  readonly alpn?: string;
  /** From an earlier connection: the promise resolves at once, and what is written leaves with the first packet. */
  readonly ticket?: SessionTicket;
  /** Give up after this, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const connectTimeoutMsDefault = 10_000;
/** How long a full socket gets to send the last words. */
const closeWaitMs = 50;
/** Addresses of one name that are tried, at most: a name may have hundreds. */
const addressesMax = 8;
const textEncoder = new TextEncoder();

async function systemLookup(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** One UDP socket: listens, dials, and carries foreign datagrams (STUN, TURN) beside QUIC. */
export class QuicEndpoint implements AsyncDisposable {
  /** Connections of peers, after their handshake, or at once when they bring early data (`handshakeComplete`). */
  onConnection: ((connection: QuicConnection) => void) | undefined;
  /** An incoming connection failed before it was one; the error tells why, and from where. */
  onIncomingFailed: ((error: MeshError) => void) | undefined;
  /** Datagrams that are not QUIC. The bytes are valid until the handler returns. */
  onForeignDatagram: DatagramHandler | undefined;
  /** Datagrams to virtual addresses that have no mapping. The bytes are valid until the handler returns. */
  onVirtualDatagram: DatagramHandler | undefined;
  /** A callback threw. Counted in `stats().callbackErrors` too; nothing else happens. */
  onError: ((error: Error) => void) | undefined;
  readonly address: QuicAddress;
  /** Resolves once gone: `undefined` after `close`, else the cause. Never rejects. */
  readonly closed: Promise<Error | undefined>;

  readonly #native: NativeEngine;
  readonly #core: QuicCore;
  readonly #options: QuicEndpointOptions;
  readonly #timer: EndpointTimer;
  readonly #ipv6: boolean;
  #alpn: string;
  #inTurn = false;
  #flushScheduled = false;
  #callbackErrors = 0;
  #closing: Promise<void> | undefined;
  #isClosed = false;
  #resolveClosed!: (error: Error | undefined) => void;

  private constructor(options: QuicEndpointOptions, host: string) {
    const limits = resolveQuicLimits(options, options.keyLog !== undefined);
    this.#options = options;
    this.#alpn = limits.alpn[0] ?? "";
    this.#ipv6 = isIP(host) === 6;
    const seed = options.resetSeed === undefined ? {} : { resetSeed: options.resetSeed };
    try {
      const { NativeEngine } = loadNative();
      this.#native = new NativeEngine(
        nativeIdentity(options.identity),
        nativeTrust(options.trust),
        { ...limits, ...seed },
        this.#ipv6,
        0,
        this.#wallClock(),
      );
      this.#core = new QuicCore(this.#native, this.#host());
      this.#timer = new EndpointTimer(() => this.#onTimer());
      const buffer = options.socketBufferBytes ?? 4 * 2 ** 20;
      this.address = this.#native.attach(
        host,
        options.port ?? 0,
        buffer,
        buffer,
        () => this.#onTurn(),
        () => this.#onFlush(),
      );
    } catch (error) {
      throw error instanceof MeshError ? error : nativeError(error);
    }
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /**
   * Open the socket.
   *
   * @throws MeshError `CONFIGURATION` for a wrong option or an address in use, `UNSUPPORTED` without the engine.
   */
  static listen(options: QuicEndpointOptions): Promise<QuicEndpoint> {
    return new Promise((resolve) => {
      if (options.host !== undefined) return resolve(new QuicEndpoint(options, options.host));
      try {
        resolve(new QuicEndpoint(options, "::"));
      } catch (error) {
        const code = ((error as MeshError).cause as { code?: string } | undefined)?.code;
        if (code !== "EADDRNOTAVAIL" && code !== "SOCKET") throw error;
        resolve(new QuicEndpoint(options, "0.0.0.0"));
      }
    });
  }

  /**
   * Dial. A host with several addresses is tried at each (RFC 8305), and the first that answers is taken; with a ticket
   * at the address the ticket is from, if it still has that. Resolves when the handshake is done here and the server's certificate is good; with a ticket at once. Whether
   * the server takes ours, it tells a round trip later: `established` resolves, or it and `closed` carry the error.
   *
   * @throws MeshError `PEER_UNREACHABLE`, `REFUSED`, `TIMEOUT`, `WRONG_REALM`, `WRONG_NODE`, `WRONG_ALPN`, `CERTIFICATE_EXPIRED`, `REVOKED`,
   *   `PROTOCOL`, `LIMIT`, `CLOSED`.
   */
  async connect(target: QuicAddress, options: QuicConnectOptions = {}): Promise<QuicConnection> {
    const { port } = target;
    const hosts = await this.#resolveHost(target.host);
    const known = hosts.find((host) => host === options.ticket?.host);
    const [host] = known === undefined ? hosts : [known];
    if (host !== undefined && (known !== undefined || hosts.length === 1)) {
      return await this.#connectTo({ host, port }, options);
    }
    // A ticket is good for one dial: here it cannot be said which.
    const { ticket: _, ...rest } = options;
    return await race({
      addresses: hosts,
      attempt: (address, signal) => {
        const both = rest.signal === undefined ? signal : AbortSignal.any([signal, rest.signal]);
        return this.#connectTo({ host: address, port }, { ...rest, signal: both });
      },
      discard: (late) => late.close(0, "another address was faster"),
    });
  }

  async #connectTo(target: QuicAddress, options: QuicConnectOptions): Promise<QuicConnection> {
    if (this.#isClosed || this.#closing !== undefined)
      throw new MeshError("CLOSED", "the endpoint is closed");
    if (options.signal?.aborted === true)
      throw new MeshError("CLOSED", "aborted", { cause: options.signal.reason });
    const connection = this.#dial(target, options);
    if (connection.earlyData === "offered") return connection;
    await this.#waitEstablished(connection, options);
    return connection;
  }

  #dial(target: QuicAddress, options: QuicConnectOptions): QuicConnection {
    const alpn = options.alpn ?? this.#alpn;
    const expected = options.nodeId === undefined ? undefined : nodeIdBytes(options.nodeId);
    try {
      this.#native.setWallClock(this.#wallClock());
      const ticket = options.ticket?.native;
      const handle = this.#native.connect(target.host, target.port, expected, alpn, ticket, this.#core.now);
      const early = this.#native.early(handle);
      const connection = new QuicConnection(this.#core, handle, "client", early);
      this.#core.connections.set(handle, connection);
      if (early && options.ticket !== undefined) connection.presume(alpn, options.ticket.nodeId);
      this.#wake();
      return connection;
    } catch (error) {
      throw nativeError(error);
    }
  }

  async #waitEstablished(connection: QuicConnection, options: QuicConnectOptions): Promise<void> {
    const giveUp = (error: MeshError) => {
      connection.close(0, "given up");
      failed = error;
    };
    let failed: MeshError | undefined;
    const timeoutMs = options.timeoutMs ?? connectTimeoutMsDefault;
    const { host, port } = connection.remoteAddress;
    const timer = setTimeout(
      () => giveUp(new MeshError("TIMEOUT", `no answer from ${host}:${port} within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = () => giveUp(new MeshError("CLOSED", "aborted", { cause: options.signal?.reason }));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await connection.secured;
    } catch (error) {
      throw failed ?? error;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  /** At least one address that the socket can reach: one of a single family reaches none of the other. */
  async #resolveHost(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    let found: readonly string[];
    try {
      found = await (this.#options.lookup ?? systemLookup)(host);
    } catch (error) {
      throw new MeshError("PEER_UNREACHABLE", `the name ${host} has no address`, { cause: error });
    }
    const own = this.address.host;
    const reachable = found.filter((each) => own === "::" || isIP(each) === isIP(own)).slice(0, addressesMax);
    if (reachable.length > 0) return reachable;
    throw new MeshError("PEER_UNREACHABLE", `the name ${host} has no address of the family of ${own}`);
  }

  /** Send datagrams from this socket, past QUIC. Returns how many the socket took; the others are lost. */
  sendForeign(datagrams: readonly Datagram[]): number {
    return this.#isClosed ? 0 : this.#native.sendForeign(packDatagrams(datagrams));
  }

  /** Take datagrams as if they had come through the socket: from relays, for virtual addresses. */
  receiveFrom(datagrams: readonly Datagram[]): void {
    if (this.#isClosed) return;
    this.#native.receive(packDatagrams(datagrams), 0);
    this.#deliver();
    this.#wake();
  }

  /**
   * What goes to `virtual` (an address in fd00:6d61:6375:6c61::/64) goes to `real`, and what comes from `real` comes from
   * `virtual`; without `real` it goes to `onVirtualDatagram`. May change at any time; QUIC does not notice.
   */
  mapAddress(virtual: QuicAddress, real: QuicAddress | undefined): void {
    if (!this.#isClosed) this.#native.mapAddress(virtual.host, virtual.port, real);
  }

  /** Datagrams from a TURN server that look like channel data are foreign. */
  setTurnServer(address: QuicAddress, present: boolean): void {
    if (!this.#isClosed) this.#native.setTurnServer(address.host, address.port, present);
  }

  /** For new connections: a renewed certificate, say. */
  setIdentity(identity: QuicIdentity): void {
    try {
      this.#native.setIdentity(nativeIdentity(identity));
    } catch (error) {
      throw nativeError(error);
    }
  }

  /** For new connections and resumptions. */
  setTrust(trust: QuicTrust): void {
    try {
      this.#native.setTrust(nativeTrust(trust));
    } catch (error) {
      throw nativeError(error);
    }
  }

  stats(): QuicEndpointStats {
    return readEndpointStats(this.#native, this.#callbackErrors);
  }

  /** Close all connections with `code` and `reason`, tell the peers, release the socket. Idempotent. */
  close(
    options: { readonly code?: number; readonly reason?: string; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async #close(options: {
    readonly code?: number;
    readonly reason?: string;
    readonly signal?: AbortSignal;
  }): Promise<void> {
    this.#core.handOver();
    this.#native.closeAll(options.code ?? 0, textEncoder.encode(options.reason ?? ""), 0);
    for (const connection of this.#core.connections.values()) connection.end(undefined);
    const before = this.stats().sendBlocked;
    this.#flush();
    if (this.stats().sendBlocked > before) await this.#drained(options.signal);
    this.#isClosed = true;
    this.#timer.stop();
    this.#native.detach();
    this.#resolveClosed(undefined);
  }

  /** The socket had no room for the last words: give it a moment. */
  async #drained(signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, closeWaitMs);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #wallClock(): number {
    return (this.#options.wallClock ?? Date.now)();
  }

  #host(): CoreHost {
    return {
      now: () => 0,
      wake: () => this.#wake(),
      onConnection: (connection) => this.#core.call(this.onConnection, connection),
      onIncomingFailed: (error) => this.#core.call(this.onIncomingFailed, error),
      onForeign: () => this.#deliverDatagrams(this.#native.takeForeign(), this.onForeignDatagram),
      onVirtual: () => this.#deliverDatagrams(this.#native.takeVirtual(), this.onVirtualDatagram),
      onKeyLog: () => this.#deliverKeyLog(),
      onError: (error) => this.#onError(error),
    };
  }

  #deliverDatagrams(packed: Uint8Array, handler: DatagramHandler | undefined): void {
    if (handler === undefined) return;
    for (const { host, port, bytes } of unpackDatagrams(packed))
      this.#core.call(handler, { host, port }, bytes);
  }

  #deliverKeyLog(): void {
    for (let line = this.#native.takeKeyLine(); line !== null; line = this.#native.takeKeyLine()) {
      this.#core.call(this.#options.keyLog, line);
    }
  }

  #onError(error: Error): void {
    this.#callbackErrors++;
    try {
      this.onError?.(error);
    } catch {
      // The handler of errors throws: counted, and that is all that can be done.
    }
  }

  /** Flush once per turn of the event loop: at the end of ours, or when this one comes to its check phase. */
  #wake(): void {
    if (this.#inTurn || this.#flushScheduled || this.#isClosed) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      if (!this.#isClosed) this.#flush();
    });
  }

  #onTurn(): void {
    this.#inTurn = true;
    this.#deliver();
  }

  /** Called by the engine after the microtasks of `#onTurn`. */
  #onFlush(): void {
    this.#inTurn = false;
    if (!this.#isClosed) this.#flush();
  }

  #flush(): void {
    try {
      const delay = this.#core.flush();
      this.#timer.arm(delay);
      this.#deliver();
    } catch (error) {
      this.#fail(toError(error));
    }
  }

  #deliver(): void {
    try {
      this.#core.deliver();
    } catch (error) {
      this.#fail(toError(error));
    }
  }

  #onTimer(): void {
    try {
      this.#native.setWallClock(this.#wallClock());
      this.#native.handleTimeouts(0);
    } catch (error) {
      return this.#fail(toError(error));
    }
    this.#deliver();
    this.#flush();
  }

  /** The engine is broken: everything on it is over. */
  #fail(error: Error): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer.stop();
    this.#native.detach();
    this.#resolveClosed(error);
    this.#onError(error);
  }
}
