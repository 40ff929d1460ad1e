import { MeshError } from "../../base/errors.ts";
import { type NodeId, nodeIdFromBytes } from "../../base/node-id.ts";
import type { QuicCore } from "./core.ts";
import { closeError } from "./errors.ts";
import { eventKind, type NativeTicket } from "./native.ts";
import { QuicStream } from "./stream.ts";
import { dispatch } from "./symbols.ts";

export interface QuicAddress {
  readonly host: string;
  readonly port: number;
}

export interface QuicConnectionStats {
  readonly rttMs: number;
  readonly minRttMs: number;
  readonly congestionWindowBytes: number;
  readonly mtuBytes: number;
  readonly packetsSent: number;
  readonly packetsLost: number;
  readonly bytesLost: number;
  readonly congestionEvents: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly datagramsSent: number;
  readonly datagramsReceived: number;
}

/** What resumes a session: opaque, good for one dial, not for storing. */
export class SessionTicket {
  /** Whose ticket it is. */
  readonly nodeId: NodeId;
  /** The IP address where it was found. */
  readonly host: string;
  /** @internal */
  readonly native: NativeTicket;

  /** @internal */
  constructor(native: NativeTicket, nodeId: NodeId, host: string) {
    this.native = native;
    this.nodeId = nodeId;
    this.host = host;
  }
}

/** Early data (0-RTT): not offered, offered and not yet decided, taken, or lost. */
export type EarlyData = "none" | "offered" | "accepted" | "rejected";

const textEncoder = new TextEncoder();
/** A node id and a P-256 key, with room to spare. */
const peerBytes = new Uint8Array(512);
const nodeIdLength = 32;
/** No UDP payload is longer. */
const datagramBytes = new Uint8Array(65_527);

/** A connection to an authenticated peer. It outlives its streams and changes of address. */
export class QuicConnection {
  readonly side: "client" | "server";
  /** @internal The engine's name for it. */
  readonly handle: number;
  #onDatagram: ((bytes: Uint8Array) => void) | undefined;
  #onStream: ((stream: QuicStream) => void) | undefined;
  #onTicket: ((ticket: SessionTicket) => void) | undefined;
  /** `openStream` may work again, after it returned `undefined`. */
  onStreamsAvailable: ((bidirectional: boolean) => void) | undefined;
  /** `sendDatagram` may work again. */
  onDatagramsAvailable: (() => void) | undefined;
  /** The peer's address changed (`remoteAddress`). */
  onAddressChange: ((address: QuicAddress) => void) | undefined;
  /** The server did not take the early data: the streams opened so far are lost, open new ones. */
  onEarlyRejected: (() => void) | undefined;
  /** Resolves when the handshake is done here and the peer is authenticated; rejects when the connection ends before. */
  readonly secured: Promise<void>;
  /** Resolves when each side knows that the other took its certificate; rejects when the connection ends before. */
  readonly established: Promise<void>;
  /** Resolves once gone: `undefined` after `close`, else the cause. Never rejects. */
  readonly closed: Promise<MeshError | undefined>;

  readonly #core: QuicCore;
  readonly #streams = new Map<number, QuicStream>();
  readonly #undelivered: QuicStream[] = [];
  #alpn = "";
  #peerNodeId: NodeId | undefined;
  #peerPublicKey: Uint8Array | undefined;
  /** As far as it was asked for: most programs do not. */
  #remote: QuicAddress | undefined;
  #certificates: readonly Uint8Array[] | undefined;
  #earlyData: EarlyData = "none";
  #isEstablished = false;
  #isClosed = false;
  #applicationClose: { readonly code: number; readonly reason: string } | undefined;
  #isSecured = false;
  #resolveSecured!: () => void;
  #rejectSecured!: (error: MeshError) => void;
  #resolveEstablished!: () => void;
  #rejectEstablished!: (error: MeshError) => void;
  #resolveClosed!: (error: MeshError | undefined) => void;

  /** @internal */
  constructor(core: QuicCore, handle: number, side: "client" | "server", early: boolean) {
    this.#core = core;
    this.handle = handle;
    this.side = side;
    this.secured = new Promise((resolve, reject) => {
      this.#resolveSecured = resolve;
      this.#rejectSecured = reject;
    });
    this.secured.catch(() => undefined);
    this.established = new Promise((resolve, reject) => {
      this.#resolveEstablished = resolve;
      this.#rejectEstablished = reject;
    });
    this.established.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    if (early) this.#earlyData = side === "client" ? "offered" : "accepted";
  }

  /** The peer's node id; for a dial without ticket known from the end of the handshake on. */
  get peerNodeId(): NodeId {
    if (this.#peerNodeId === undefined) this.#learnPeer();
    if (this.#peerNodeId === undefined) throw new MeshError("UNSUPPORTED", "the peer is not known yet");
    return this.#peerNodeId;
  }

  /** The peer's certificates (DER, leaf first); empty when first asked for after the end. */
  get peerCertificates(): readonly Uint8Array[] {
    if (this.#certificates === undefined || this.#certificates.length === 0) {
      this.#certificates = this.#isClosed ? [] : this.#core.native.certificates(this.handle);
    }
    return this.#certificates;
  }

  /** The peer's public key (SubjectPublicKeyInfo, DER), whose SHA-256 is its node id; known from the end of the handshake on. */
  get peerPublicKey(): Uint8Array {
    if (this.#peerPublicKey === undefined) this.#learnPeer();
    if (this.#peerPublicKey === undefined) throw new MeshError("UNSUPPORTED", "the peer is not known yet");
    return this.#peerPublicKey;
  }

  /** The protocol agreed on; empty while it is not known. */
  get alpn(): string {
    if (this.#alpn === "" && !this.#isClosed) this.#alpn = this.#core.native.alpn(this.handle);
    return this.#alpn;
  }

  get remoteAddress(): QuicAddress {
    this.#remote ??= this.#core.native.remoteAddress(this.handle);
    return this.#remote;
  }

  get earlyData(): EarlyData {
    return this.#earlyData;
  }

  /** The handshake is done here and the peer is authenticated: what comes from now on is no replay. */
  get handshakeComplete(): boolean {
    return this.#isSecured;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What the peer said when it closed. */
  get applicationClose(): { readonly code: number; readonly reason: string } | undefined {
    return this.#applicationClose;
  }

  /** Streams that the peer opens. Those that came before this was set are delivered now. */
  set onStream(handler: ((stream: QuicStream) => void) | undefined) {
    this.#onStream = handler;
    if (handler === undefined) return;
    for (const stream of this.#undelivered.splice(0)) this.#core.call(handler, stream);
  }

  get onStream(): ((stream: QuicStream) => void) | undefined {
    return this.#onStream;
  }

  /** Datagrams (RFC 9221): unordered, may get lost. Those that wait are delivered now. */
  set onDatagram(handler: ((bytes: Uint8Array) => void) | undefined) {
    this.#onDatagram = handler;
    this.#deliverDatagrams();
  }

  get onDatagram(): ((bytes: Uint8Array) => void) | undefined {
    return this.#onDatagram;
  }

  /** Tickets for later dials to the same node; they come soon after the handshake. */
  set onTicket(handler: ((ticket: SessionTicket) => void) | undefined) {
    this.#onTicket = handler;
    this.#deliverTickets();
  }

  get onTicket(): ((ticket: SessionTicket) => void) | undefined {
    return this.#onTicket;
  }

  /** `undefined`: the peer allows no more at the moment (`onStreamsAvailable` follows), or the connection is closed. */
  openStream(options: {
    readonly bidirectional: boolean;
    readonly priority?: number;
  }): QuicStream | undefined {
    if (this.#isClosed) return undefined;
    const id = this.#core.native.openStream(this.handle, options.bidirectional, options.priority ?? 0);
    if (id < 0) return undefined;
    const stream = new QuicStream(this.#core, this, id, true, false);
    this.#streams.set(id, stream);
    return stream;
  }

  /** `false`: too large for the path, not supported by the peer, the buffer is full, or the connection is closed. */
  sendDatagram(bytes: Uint8Array): boolean {
    if (this.#isClosed || !this.#core.native.sendDatagram(this.handle, bytes)) return false;
    this.#core.host.wake();
    return true;
  }

  /** The largest datagram that fits now; 0 when the peer takes none. */
  get datagramBytesMax(): number {
    return this.#isClosed ? 0 : Math.max(0, this.#core.native.datagramSizeMax(this.handle));
  }

  stats(): QuicConnectionStats {
    const numbers = new Float64Array(12);
    if (!this.#isClosed) this.#core.native.connectionStats(this.handle, numbers);
    const [rtt, minRtt, window, mtu, sent, lost, bytesLost, events, bytesSent, bytesReceived, out, into] =
      numbers;
    return {
      rttMs: rtt ?? 0,
      minRttMs: minRtt ?? 0,
      congestionWindowBytes: window ?? 0,
      mtuBytes: mtu ?? 0,
      packetsSent: sent ?? 0,
      packetsLost: lost ?? 0,
      bytesLost: bytesLost ?? 0,
      congestionEvents: events ?? 0,
      bytesSent: bytesSent ?? 0,
      bytesReceived: bytesReceived ?? 0,
      datagramsSent: out ?? 0,
      datagramsReceived: into ?? 0,
    };
  }

  /** End the connection; the peer gets `code` (0 to 2^53-1) and `reason`. Idempotent. Unread and unsent bytes are lost. */
  close(code: number, reason = ""): void {
    if (this.#isClosed) return;
    this.#core.handOver();
    this.#core.native.close(this.handle, code, textEncoder.encode(reason), this.#core.now);
    this.#core.host.wake();
    this.end(undefined);
  }

  /** @internal */
  [dispatch](kind: number, a: number, b: number): void {
    switch (kind) {
      case eventKind.secured:
        return this.#onSecured();
      case eventKind.established:
        return this.#onEstablished();
      case eventKind.closed:
        return this.#onClosed();
      case eventKind.stream:
        return this.#onStreamOpened(a, b === 1);
      case eventKind.available:
        return this.#core.call(this.onStreamsAvailable, a === 1);
      case eventKind.datagram:
        return this.#deliverDatagrams();
      case eventKind.datagramsUnblocked:
        return this.#core.call(this.onDatagramsAvailable);
      case eventKind.ticket:
        return this.#deliverTickets();
      case eventKind.address:
        this.#remote = undefined;
        return this.#core.call(this.onAddressChange, this.remoteAddress);
      case eventKind.earlyRejected:
        return this.#onEarlyRejected();
      default:
        this.#streams.get(a)?.dispatch(kind, b);
    }
  }

  #learnPeer(): void {
    if (this.#isClosed) return;
    const length = this.#core.native.peer(this.handle, peerBytes);
    if (length === 0) return;
    this.#peerNodeId = nodeIdFromBytes(peerBytes.subarray(0, nodeIdLength));
    this.#peerPublicKey = peerBytes.slice(nodeIdLength, length);
  }

  /** @internal A dial with a ticket knows what the ticket knows. */
  presume(alpn: string, nodeId: NodeId): void {
    this.#alpn = alpn;
    this.#peerNodeId = nodeId;
  }

  #onSecured(): void {
    this.#learnPeer();
    this.#alpn = this.#core.native.alpn(this.handle);
    this.#isSecured = true;
    if (this.#earlyData === "offered") this.#earlyData = "accepted";
    this.#resolveSecured();
  }

  #onEstablished(): void {
    this.#isEstablished = true;
    this.#resolveEstablished();
  }

  #onEarlyRejected(): void {
    // What was written to the lost streams must not end up in new ones of the same numbers.
    this.#core.handOver();
    this.#earlyData = "rejected";
    this.#abandonStreams(new MeshError("RESET", "the peer did not take the early data"));
    this.#core.call(this.onEarlyRejected);
  }

  #onStreamOpened(id: number, early: boolean): void {
    const stream = new QuicStream(this.#core, this, id, false, early);
    this.#streams.set(id, stream);
    if (this.#onStream === undefined) this.#undelivered.push(stream);
    else this.#core.call(this.#onStream, stream);
  }

  #deliverDatagrams(): void {
    while (this.#onDatagram !== undefined && !this.#isClosed) {
      const length = this.#core.native.receiveDatagram(this.handle, datagramBytes);
      if (length < 0) return;
      this.#core.call(this.#onDatagram, datagramBytes.slice(0, length));
    }
  }

  #deliverTickets(): void {
    while (this.#onTicket !== undefined && !this.#isClosed) {
      const ticket = this.#core.native.takeTicket(this.handle);
      if (ticket === null) return;
      this.#core.call(this.#onTicket, new SessionTicket(ticket, this.peerNodeId, this.remoteAddress.host));
    }
  }

  #onClosed(): void {
    const close = this.#core.native.closeReason(this.handle);
    if (close?.kind === 1) this.#applicationClose = { code: close.code, reason: close.reason };
    this.end(close === null ? new MeshError("CLOSED", "the connection ended") : closeError(close));
  }

  #abandonStreams(error: MeshError): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#undelivered.length = 0;
    for (const stream of streams) stream.abandon(error);
  }

  /** @internal */
  forget(stream: QuicStream): void {
    if (this.#streams.get(stream.id) === stream) this.#streams.delete(stream.id);
  }

  /** @internal */
  end(error: MeshError | undefined): void {
    if (this.#isClosed) return;
    // The engine is about to forget it.
    this.#remote ??= this.#core.native.remoteAddress(this.handle);
    this.#isClosed = true;
    this.#core.connections.delete(this.handle);
    this.#core.native.release(this.handle);
    const cause = error ?? new MeshError("CLOSED", "the connection was closed here");
    this.#abandonStreams(cause);
    if (!this.#isSecured) this.#rejectSecured(cause);
    if (!this.#isEstablished) this.#rejectEstablished(cause);
    this.#resolveClosed(error);
  }
}
