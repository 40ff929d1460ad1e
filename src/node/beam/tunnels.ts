import { MeshError, toError } from "../../base/errors.ts";
import {
  beamAddress,
  decodeAnswer,
  decodeTunnelRequest,
  encodeAccepted,
  encodeRefusal,
  encodeTunnelRequest,
  PacketReader,
  Refusal,
  type TunnelRequest,
} from "../../carrier/index.ts";
import type { QuicConnection, QuicEndpoint, QuicStream } from "../../io/quic/index.ts";
import { TunnelConnection } from "./tunnel-connection.ts";

/** Of a connection that carries Erlang distribution. */
export const distAlpn = "macula-dist/1.0";

/** Connections to one other Macula node; each has room for the streams that the peer allows. */
const connectionsPerTargetMax = 16;
/** Connections of peers, all together, and of one node. */
const inboundMax = 1_024;
const inboundPerPeerMax = 32;
/** A peer that opens a stream and does not say what for is cut off after this. */
const preambleTimeoutMs = 5_000;
/** Stream codes. */
const refusedCode = 2;
const givenUpCode = 3;
/** Close codes. */
const busyCode = 1;

export interface TunnelsSetup {
  readonly endpoint: QuicEndpoint;
  /**
   * A peer wants the distribution of `target`. Answers by calling `accept`, whose stream is then the caller's, or rejects
   * with a Refusal. `gone` is aborted when the peer has given up, or is no more.
   */
  readonly onRequest: (
    request: TunnelRequest,
    accept: () => QuicStream,
    peer: QuicConnection,
    gone: AbortSignal,
  ) => Promise<void>;
  readonly onGarbage: (error: Error) => void;
}

/**
 * QUIC connections that carry distribution: one to each other Macula node (more when its streams are used up), and those
 * of others to us. Each side dials for its own BEAM nodes: whom a connection of a peer leads to is known only by its own word.
 */
export class Tunnels {
  readonly #setup: TunnelsSetup;
  readonly #outbound = new Map<string, Set<TunnelConnection>>();
  readonly #inbound = new Set<TunnelConnection>();
  readonly #dialling = new Map<string, Promise<TunnelConnection>>();
  #closed = false;

  constructor(setup: TunnelsSetup) {
    this.#setup = setup;
  }

  /**
   * A stream to the distribution of `target`, which has taken it.
   * @throws MeshError (rejection), see `BeamCarrier.open`.
   */
  async open(request: TunnelRequest, signal: AbortSignal): Promise<QuicStream> {
    const stream = await this.#openStream(request.target, signal);
    const abandon = (): void => {
      stream.reset(givenUpCode);
      stream.stopReading(givenUpCode);
    };
    signal.addEventListener("abort", abandon, { once: true });
    try {
      await stream.writeAll(encodeTunnelRequest(request));
      const { bytes, rest } = await readPacket(stream);
      if (rest.length > 0)
        throw new MeshError("PROTOCOL", "bytes after the answer that nobody has asked for");
      decodeAnswer(bytes);
      return stream;
    } catch (thrown) {
      abandon();
      throw signal.aborted ? timeoutError(request.target, thrown) : thrown;
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  /** A peer's connection, of ALPN `macula-dist/1.0`. */
  onConnection(transport: QuicConnection): void {
    const ofPeer = [...this.#inbound].filter(({ peer }) => peer === transport.peerNodeId).length;
    if (this.#closed || this.#inbound.size >= inboundMax || ofPeer >= inboundPerPeerMax) {
      transport.close(busyCode, this.#closed ? "the node is closing" : "too many connections");
      return;
    }
    const connection = new TunnelConnection(transport, () => this.#inbound.delete(connection));
    this.#inbound.add(connection);
    transport.onStream = (stream) => void this.#serve(connection, stream);
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#inbound) connection.close("the node is closing");
    for (const connections of this.#outbound.values()) {
      for (const connection of connections) connection.close("the node is closing");
    }
  }

  async #openStream(target: string, signal: AbortSignal): Promise<QuicStream> {
    const { host, port } = beamAddress(target);
    const key = `${host} ${port}`;
    for (const connection of this.#outbound.get(key) ?? []) {
      const stream = connection.openStream();
      if (stream !== undefined) return stream;
    }
    // Those who come while a connection is being made share it.
    const dialled = this.#dialling.get(key) ?? this.#dial(key, host, port);
    const connection = await abortable(dialled, signal, target);
    const stream = connection.openStream();
    if (stream === undefined) throw new MeshError("LIMIT", `${host}:${port} takes no more connections`);
    return stream;
  }

  #dial(key: string, host: string, port: number): Promise<TunnelConnection> {
    const dialled = this.#connect(key, host, port).finally(() => this.#dialling.delete(key));
    this.#dialling.set(key, dialled);
    return dialled;
  }

  async #connect(key: string, host: string, port: number): Promise<TunnelConnection> {
    const connections = this.#outbound.get(key) ?? new Set();
    if (connections.size >= connectionsPerTargetMax) {
      throw new MeshError("LIMIT", `there are ${connections.size} connections to ${host}:${port} already`);
    }
    const transport = await this.#setup.endpoint.connect({ host, port }, { alpn: distAlpn });
    if (this.#closed) {
      transport.close(0, "the node is closing");
      throw new MeshError("CLOSED", "the node is closing");
    }
    const connection = new TunnelConnection(transport, () => {
      connections.delete(connection);
      if (connections.size === 0) this.#outbound.delete(key);
    });
    connections.add(connection);
    this.#outbound.set(key, connections);
    return connection;
  }

  async #serve(connection: TunnelConnection, stream: QuicStream): Promise<void> {
    if (!stream.bidirectional) return stream.stopReading(refusedCode);
    connection.adopt(stream);
    const timer = setTimeout(() => {
      stream.stopReading(givenUpCode);
      stream.reset(givenUpCode);
    }, preambleTimeoutMs);
    const gone = new AbortController();
    const onGone = (): void => gone.abort();
    void stream.finished.then(onGone, onGone);
    let answered = false;
    try {
      const { bytes, rest } = await readPacket(stream);
      clearTimeout(timer);
      if (rest.length > 0) throw new MeshError("PROTOCOL", "bytes after the request");
      const accept = (): QuicStream => {
        answered = true;
        stream.write(encodeAccepted());
        return stream;
      };
      await this.#setup.onRequest(decodeTunnelRequest(bytes), accept, connection.transport, gone.signal);
    } catch (thrown) {
      const error = toError(thrown);
      if (!(error instanceof Refusal)) this.#setup.onGarbage(error);
      if (answered) return;
      stream.write(encodeRefusal(error instanceof Refusal ? error : new Refusal("malformed", error.message)));
      stream.finish();
      stream.stopReading(refusedCode);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The first packet that arrives, and what came with it. @throws why there is none. */
async function readPacket(stream: QuicStream): Promise<{ bytes: Uint8Array; rest: Uint8Array }> {
  const reader = new PacketReader();
  for (;;) {
    const chunk = stream.read();
    if (chunk !== undefined) {
      reader.push(chunk);
      const bytes = reader.next();
      if (bytes !== undefined) return { bytes, rest: reader.rest };
      continue;
    }
    if (stream.readError !== undefined) throw stream.readError;
    if (stream.readEnded) throw new MeshError("CLOSED", "the stream ended before it began");
    await stream.readable();
  }
}

/** `work`, or a rejection as soon as `signal` says so. The work goes on for those who share it. */
function abortable<Value>(work: Promise<Value>, signal: AbortSignal, target: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(timeoutError(target, signal.reason));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function timeoutError(target: string, cause: unknown): MeshError {
  return new MeshError("TIMEOUT", `no answer from the Macula node of ${target} in time`, { cause });
}
