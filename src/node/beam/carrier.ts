import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MeshError, toError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import {
  beamAddress,
  encodeAccepted,
  encodeNotice,
  encodeRefusal,
  encodeRegistered,
  type LocalRequest,
  Refusal,
  type TunnelRequest,
  tokenBytes,
  tokenText,
} from "../../carrier/index.ts";
import { LocalService } from "../../io/beam/local-service.ts";
import { splice, spliceSockets } from "../../io/beam/splice.ts";
import type { QuicConnection, QuicEndpoint, QuicStream } from "../../io/quic/index.ts";
import { Tunnels } from "./tunnels.ts";
import type { BeamCarrier, BeamNews, Caller } from "./types.ts";

/** How long an attached BEAM node gets to take a connection, milliseconds: as long as Erlang's own handshake steps. */
const acceptTimeoutMs = 5_000;
/** How long a dial may take when it is not the BEAM node that says so, milliseconds. */
const openTimeoutMs = 7_000;
const timeoutMsMax = 120_000;
/** Connections between BEAM nodes through this node, all together, those being made included. */
const connectionsMax = 4_096;
/** Connections that wait to be taken by one BEAM node. */
const waitingPerNodeMax = 1_024;

export interface CarrierSetup {
  /** Of the Macula node, in full. */
  readonly name: string;
  /** The port in the names of BEAM nodes that belong here. */
  readonly port: number;
  readonly endpoint: QuicEndpoint;
  readonly random: Random;
  /** Where BEAM nodes of this machine attach; none do when it is missing. */
  readonly socketPath?: string;
  /** Tells BEAM nodes that they may start this node again when they miss it. */
  readonly managed: boolean;
  readonly onNews: (news: BeamNews) => void;
  /** The last BEAM node or connection has gone (`idle`), or the first has come. */
  readonly onIdle?: (idle: boolean) => void;
}

/** A BEAM node that is attached here. */
interface Attached {
  readonly name: string;
  readonly socket: Socket;
  /** Tokens of connections that it has not taken yet. */
  readonly waiting: Set<string>;
}

interface Waiting {
  readonly node: Attached;
  readonly resolve: (socket: Socket) => void;
  readonly reject: (error: Refusal) => void;
}

/**
 * Brings BEAM nodes together: those of this machine that attach through the local socket, and through tunnels those of
 * other Macula nodes.
 *
 * A BEAM node is never dialled: it is told of a connection with a token on the connection that it registered with,
 * and comes for it with a new one. So nobody's word decides what this process connects to.
 */
export class Carrier implements BeamCarrier {
  onLocal: BeamCarrier["onLocal"];
  readonly #setup: CarrierSetup;
  readonly #tunnels: Tunnels;
  readonly #attached = new Map<string, Attached>();
  readonly #waiting = new Map<string, Waiting>();
  /** Ends of connections that cross no tunnel, which would end them. */
  readonly #splicedHere = new Set<() => void>();
  #local: LocalService | undefined;
  #connections = 0;
  #busy = false;
  #closed: Promise<void> | undefined;

  private constructor(setup: CarrierSetup) {
    this.#setup = setup;
    this.#tunnels = new Tunnels({
      endpoint: setup.endpoint,
      onRequest: (request, accept, peer, gone) => this.#onTunnel(request, accept, peer, gone),
      onGarbage: (error) => setup.onNews({ type: "garbage", error }),
    });
  }

  /** @throws MeshError `CONFIGURATION`, `NAME_TAKEN`: see `LocalService.open`. */
  static async open(setup: CarrierSetup): Promise<Carrier> {
    const carrier = new Carrier(setup);
    if (setup.socketPath !== undefined) {
      carrier.#local = await LocalService.open({
        path: setup.socketPath,
        onRequest: (request, socket) => carrier.#onRequest(request, socket),
        onGarbage: (error) => setup.onNews({ type: "garbage", error }),
      });
    }
    return carrier;
  }

  /** A connection of a peer, of ALPN `macula-dist/1.0`. */
  onConnection(connection: QuicConnection): void {
    this.#tunnels.onConnection(connection);
  }

  nodes(): readonly string[] {
    return [...this.#attached.keys()];
  }

  async open(node: string, options: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    beamAddress(node);
    if (node === this.#setup.name) throw new MeshError("CONFIGURATION", `${node} is this node`);
    const target = await this.#reach({ target: node, from: this.#setup.name }, openTimeoutMs, options.signal);
    const duplex = target.kind === "socket" ? target.socket : target.stream.toNode();
    duplex.once("close", () => this.#count(-1));
    return duplex;
  }

  /** Ends all connections. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#tunnels.close();
      const error = new Refusal("unreachable", "the Macula node is closing");
      for (const { reject } of [...this.#waiting.values()]) reject(error);
      for (const end of [...this.#splicedHere]) end();
      await this.#local?.close();
    })();
    return this.#closed;
  }

  // BEAM nodes of this machine.

  #onRequest(request: LocalRequest, socket: Socket): void {
    switch (request.type) {
      case "register":
        this.#register(request.name, socket);
        break;
      case "connect":
        void this.#connect(request, socket);
        break;
      case "accept":
        this.#accept(request.token, socket);
        break;
      default:
        request satisfies never;
    }
  }

  #register(name: string, socket: Socket): void {
    try {
      if (beamAddress(name).port !== this.#setup.port) {
        throw new Refusal(
          "wrongPort",
          `${name} does not belong to the Macula node of UDP port ${this.#setup.port}`,
        );
      }
      if (name === this.#setup.name || this.#attached.has(name)) {
        throw new Refusal("duplicateName", `${name} is attached already`);
      }
    } catch (thrown) {
      const error = thrown instanceof Refusal ? thrown : new Refusal("malformed", toError(thrown).message);
      socket.end(encodeRefusal(error), () => socket.destroy());
      return;
    }
    const attached: Attached = { name, socket, waiting: new Set() };
    this.#attached.set(name, attached);
    socket.on("close", () => this.#detach(attached));
    // It has nothing more to say; what it says is not kept.
    socket.on("end", () => socket.destroy()).on("data", () => socket.destroy());
    socket.write(encodeRegistered(this.#setup.managed));
    socket.resume();
    this.#setup.onNews({ type: "attached", node: name });
    this.#noteIdle();
  }

  #detach(attached: Attached): void {
    this.#attached.delete(attached.name);
    const error = new Refusal("notHere", `${attached.name} has gone`);
    for (const token of [...attached.waiting]) this.#waiting.get(token)?.reject(error);
    this.#setup.onNews({ type: "detached", node: attached.name });
    this.#noteIdle();
  }

  async #connect(request: Extract<LocalRequest, { type: "connect" }>, socket: Socket): Promise<void> {
    const { target, from } = request;
    const gone = new AbortController();
    const onGone = (): void => gone.abort(new MeshError("CLOSED", `${from} has gone`));
    socket.once("close", onGone);
    try {
      if (target === this.#setup.name)
        return this.#toOwn(socket, { from, host: from }, () => socket.write(encodeAccepted()));
      const timeoutMs = Math.min(request.timeoutMs, timeoutMsMax);
      const reached = await this.#reach(request, timeoutMs, gone.signal);
      socket.write(encodeAccepted());
      if (reached.kind === "stream") splice(socket, reached.stream, () => this.#count(-1));
      else this.#spliceHere(socket, reached.socket);
      this.#setup.onNews({ type: "connected", node: target, from });
    } catch (thrown) {
      const error = toError(thrown);
      this.#setup.onNews({ type: "refused", node: target, from, error });
      const refusal = error instanceof Refusal ? error : new Refusal("unreachable", error.message);
      socket.end(encodeRefusal(refusal), () => socket.destroy());
    } finally {
      socket.off("close", onGone);
    }
  }

  #spliceHere(one: Socket, other: Socket): void {
    const end = spliceSockets(one, other, () => {
      this.#splicedHere.delete(end);
      this.#count(-1);
    });
    this.#splicedHere.add(end);
  }

  #accept(token: string, socket: Socket): void {
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) socket.destroy();
    else waiting.resolve(socket);
  }

  // Ways to a node.

  /** The distribution of a node that is not ourselves. Counted as a connection from here on; the caller counts it down. */
  async #reach(
    request: TunnelRequest,
    timeoutMs: number,
    given: AbortSignal | undefined,
  ): Promise<
    | { readonly kind: "socket"; readonly socket: Socket }
    | { readonly kind: "stream"; readonly stream: QuicStream }
  > {
    this.#checkRoom();
    const attached = this.#attached.get(request.target);
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(new MeshError("TIMEOUT", "too late")), timeoutMs);
    const signal = given === undefined ? timeout.signal : AbortSignal.any([given, timeout.signal]);
    this.#count(1);
    try {
      if (attached !== undefined) return { kind: "socket", socket: await this.#take(attached, signal) };
      return { kind: "stream", stream: await this.#tunnels.open(request, signal) };
    } catch (error) {
      this.#count(-1);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A connection to a BEAM node that is attached here: it is told, and comes for it. */
  #take(node: Attached, signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      // What it was told of and has not read yet is in the socket, and then with us.
      if (node.socket.writableNeedDrain) {
        reject(new Refusal("timeout", `${node.name} does not react`));
        return;
      }
      if (node.waiting.size >= waitingPerNodeMax) {
        reject(new Refusal("busy", `${waitingPerNodeMax} connections wait for ${node.name} already`));
        return;
      }
      const token = tokenText(this.#setup.random.bytes(tokenBytes));
      const settle = (how: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        this.#waiting.delete(token);
        node.waiting.delete(token);
        how();
      };
      const fail = (error: Error): void => settle(() => reject(error));
      const onAbort = (): void => fail(new Refusal("timeout", `${node.name} was given up`));
      const timer = setTimeout(
        () =>
          fail(new Refusal("timeout", `${node.name} takes no connections (it is there, but does not react)`)),
        acceptTimeoutMs,
      );
      signal.addEventListener("abort", onAbort, { once: true });
      node.waiting.add(token);
      this.#waiting.set(token, { node, resolve: (socket) => settle(() => resolve(socket)), reject: fail });
      node.socket.write(encodeNotice(token));
    });
  }

  /** A peer's BEAM node wants one of ours, or ourselves. */
  async #onTunnel(
    request: TunnelRequest,
    accept: () => QuicStream,
    peer: QuicConnection,
    gone: AbortSignal,
  ): Promise<void> {
    const { target, from } = request;
    const { host, port } = peer.remoteAddress;
    const address = `${host} ${port}`;
    if (target === this.#setup.name) {
      let stream: Duplex | undefined;
      return this.#toOwn(
        () => (stream ??= accept().toNode()),
        { from, host },
        () => {},
      );
    }
    const attached = this.#attached.get(target);
    try {
      if (attached === undefined)
        throw new Refusal("notHere", `there is no node ${target} at this Macula node`);
      this.#checkRoom();
      this.#count(1);
      const socket = await this.#take(attached, gone).catch((error: unknown) => {
        this.#count(-1);
        throw error;
      });
      splice(socket, accept(), () => this.#count(-1));
      this.#setup.onNews({ type: "connected", node: target, from, address });
    } catch (thrown) {
      this.#setup.onNews({ type: "refused", node: target, from, error: toError(thrown) });
      throw thrown;
    }
  }

  #toOwn(stream: Duplex | (() => Duplex), caller: Caller, accept: () => void): void {
    const { onLocal } = this;
    if (onLocal === undefined) {
      throw new Refusal(
        "noDistribution",
        `${this.#setup.name} is a Macula node that does not speak distribution`,
      );
    }
    this.#checkRoom();
    accept();
    const duplex = typeof stream === "function" ? stream() : stream;
    this.#count(1);
    duplex.once("close", () => this.#count(-1));
    onLocal(duplex, caller);
  }

  // What there is.

  #checkRoom(): void {
    if (this.#closed !== undefined) throw new Refusal("unreachable", "the Macula node is closing");
    if (this.#connections < connectionsMax) return;
    throw new Refusal("busy", `there are ${connectionsMax} connections already`);
  }

  #count(change: 1 | -1): void {
    this.#connections += change;
    this.#noteIdle();
  }

  #noteIdle(): void {
    const busy = this.#connections > 0 || this.#attached.size > 0;
    if (busy === this.#busy) return;
    this.#busy = busy;
    this.#setup.onIdle?.(!busy);
  }
}
