import type { Duplex } from "node:stream";
import { MeshError, toError } from "../../base/errors.ts";
import type { Instant } from "../../base/time.ts";
import { admissionOf, decodeControl, type ErlangPeer, type Existing } from "../../erlang/index.ts";
import type { Pid, Reference } from "../../etf/index.ts";
import { soon } from "../../io/soon.ts";
import { noconnection } from "../../process/exit.ts";
import type { Signal, SignalSink } from "../../process/signals.ts";
import type { WaitingSignal } from "../links/index.ts";
import type { LinkDelivery } from "../links/types.ts";
import { Waiters } from "../links/waiters.ts";
import type { ErlangConnection, ErlangConnectionUser } from "./connection.ts";
import { type ConnectionsSetup, ErlangConnections, packetMax } from "./connections.ts";
import { Failures, type FailuresBounds } from "./failures.ts";
import { Peer } from "./peer.ts";
import { ErlangPeers } from "./peers.ts";
import type { ErlangNews, ErlangRoute } from "./types.ts";

const mebibyte = 1_048_576;
const bounds = { highWaterBytes: mebibyte, maxBytes: 64 * mebibyte, packetMax };

export interface DistributionSetup extends ConnectionsSetup {
  /** This node's name here. */
  readonly name: string;
  /** How long a node is left alone that could not be reached. */
  readonly failures: FailuresBounds;
  /** What calls of functions on Erlang nodes are made with. */
  readonly calls: { readonly makeReference: () => Reference; readonly caller: () => Pid };
  /** Whether the name is that of a node that is there already, by other means. */
  readonly isTaken: (node: string) => boolean;
  /** `node` has come by itself: gives out what waits for it elsewhere, and was sent before all that follows. */
  readonly takeOver: (node: string) => readonly WaitingSignal[];
  readonly deliver: (delivery: LinkDelivery, now: Instant) => void;
  readonly onNews: (news: ErlangNews) => void;
}

/**
 * The Erlang nodes that this node is connected with: to the process runtime the way to them, as `Links` is to Macula nodes.
 *
 * A node is dialled when something is sent to it. What is sent meanwhile waits in the order in which it was sent;
 * `nodeDown` follows when the node cannot be reached, and what waited is gone.
 */
export class Distribution implements SignalSink {
  readonly #setup: DistributionSetup;
  readonly #peers: ErlangPeers;
  readonly #connections: ErlangConnections;
  /** Of every connection that is a peer's, or its dial. */
  readonly #owners = new Map<ErlangConnection, Peer>();
  readonly #waiters = new Waiters<void>();
  readonly #failures: Failures;
  #closing = false;
  #closed: Promise<void> | undefined;

  constructor(setup: DistributionSetup) {
    this.#setup = setup;
    this.#peers = new ErlangPeers((node, lane) => this.#deliver({ type: "drained", node, lane }));
    this.#connections = new ErlangConnections(setup, this.#connectionUser());
    this.#failures = new Failures(setup.failures, setup.random);
  }

  /** Whether `node` is connected or being dialled. */
  has(node: string): boolean {
    return this.#peers.has(node);
  }

  isConnected(node: string): boolean {
    return this.#peers.get(node)?.connection !== undefined;
  }

  connected(): string[] {
    return this.#peers.connected().map(({ name }) => name);
  }

  /** What this node is called by `node`. */
  nameFor(node: string): string {
    return this.#peers.get(node)?.route.names.own ?? this.#setup.name;
  }

  /** The connected node that calls itself `name`. */
  nodeOf(name: string): string | undefined {
    return this.#peers.connected().find((peer) => peer.route.names.fromPeer(name) === peer.name)?.name;
  }

  /** Dials `node` by `route` unless that is under way; not at once when the last attempt failed a moment ago. */
  want(node: string, route: ErlangRoute): void {
    if (this.#closing || this.#peers.has(node)) return;
    const { makeReference, caller } = this.#setup.calls;
    const peer = new Peer({ name: node, route, bounds, calls: { makeReference, caller: caller() } });
    this.#peers.add(peer);
    // Not at once: the answer may be `nodeDown`, and the caller is in the middle of a send.
    soon(() => void this.#dial(peer));
  }

  /** Hot path. `node` is one that was wanted or is connected; see `SignalSink`. */
  send(node: string, lane: number, _key: number, signal: Signal): boolean {
    const peer = this.#peers.get(node);
    if (peer === undefined) return true;
    if (signal.type === "rpcCancel") {
      peer.calls.cancel(signal.id);
      return true;
    }
    const below = peer.queue(lane, signal);
    if (!peer.unflushed) this.#peers.flushLater(peer);
    return below;
  }

  /** Resolves when `node`, which was wanted, is connected; dials at once. @throws MeshError (rejection) why it is not. */
  async connect(node: string, signal?: AbortSignal): Promise<void> {
    const peer = this.#peers.get(node);
    if (peer?.connection !== undefined) return;
    if (peer === undefined) throw new MeshError("CLOSED", "the node is closing");
    const connected = this.#waiters.wait(node, signal);
    // In a job of its own, behind the one in which the attempt begins.
    soon(() => peer.hurry());
    await connected;
  }

  /** Ends the connection in order. False when there is none. */
  disconnect(node: string): boolean {
    const peer = this.#peers.get(node);
    if (peer === undefined) return false;
    const error = new MeshError("CLOSED", "disconnected");
    if (peer.connection === undefined) {
      this.#unreachable(peer, error);
      return false;
    }
    peer.flushAll();
    this.#lost(peer, error).leave();
    return true;
  }

  pause(node: string): void {
    this.#peers.get(node)?.connection?.pause();
  }

  resume(node: string): void {
    this.#peers.get(node)?.connection?.resume();
  }

  /** Somebody dialled this node. */
  accept(stream: Duplex, route: ErlangRoute, address: string): void {
    const connection = this.#closing ? undefined : this.#connections.accept(stream, route, address);
    if (connection !== undefined) return connection.start(false);
    stream.on("error", () => undefined);
    stream.destroy();
  }

  /** Ends all connections in order, within 2 s. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const name of this.#peers.names()) this.disconnect(name);
    this.#closing = true;
    await this.#connections.close();
    this.#waiters.rejectAll(new MeshError("CLOSED", "the node was closed"));
  }

  async #dial(peer: Peer): Promise<void> {
    const signal = peer.dialling;
    await peer.patience(this.#failures.waitMs(peer.name, this.#setup.clock()));
    if (signal.aborted) return;
    peer.attempting = true;
    try {
      const stream = await peer.route.open(peer.name, signal);
      if (signal.aborted) {
        stream.on("error", () => undefined);
        stream.destroy();
        return;
      }
      const connection = this.#connections.dial(stream, peer.route, peer.name);
      peer.dial = connection;
      this.#owners.set(connection, peer);
      connection.start(true);
    } catch (thrown) {
      if (signal.aborted) return;
      const error = toError(thrown);
      this.#unreachable(
        peer,
        error instanceof MeshError
          ? error
          : new MeshError("PEER_UNREACHABLE", error.message, { cause: error }),
      );
    }
  }

  #connectionUser(): ErlangConnectionUser {
    return {
      onIntroduced: (connection, name) => this.#onIntroduced(connection, name),
      onComplete: (connection, peer) => this.#onComplete(connection, peer),
      onSuperseded: (connection) => this.#onSuperseded(connection),
      onPacket: (connection, packet) => this.#onPacket(connection, packet),
      onWritable: (connection) => this.#onWritable(connection),
      onTouched: (connection) => this.#connections.watch(connection),
      onClosed: (connection, error) => this.#onClosed(connection, error),
    };
  }

  /** Nothing is given up for an unproven name: not even our own dial, which the peer refuses itself. */
  #onIntroduced(connection: ErlangConnection, name: string): void {
    const inbound = this.#connections.inbound(connection);
    if (inbound === undefined) return;
    inbound.said = name;
    const { names } = inbound.route;
    const node = names.fromPeer(name);
    if (node === this.#setup.name || this.#setup.isTaken(node)) {
      connection.admit("not_allowed");
      return;
    }
    const peer = this.#peers.get(node);
    let existing: Existing = "nothing";
    if (peer?.connection !== undefined) existing = "connection";
    else if (peer?.attempting === true) existing = "dial";
    connection.admit(admissionOf(names.own, name, existing));
  }

  #onComplete(connection: ErlangConnection, { name, creation }: ErlangPeer): void {
    const inbound = this.#connections.inbound(connection);
    let peer = this.#owners.get(connection);
    if (inbound !== undefined) {
      this.#connections.admitted(connection);
      const node = inbound.route.names.fromPeer(name);
      const known = this.#peers.get(node);
      // The peer has come back, and says that the old connection is dead.
      if (known?.connection !== undefined) {
        this.#lost(known, new MeshError("CLOSED", "replaced by a new connection")).end(
          new MeshError("CLOSED", "replaced"),
        );
      }
      if (!this.#peers.has(node)) this.#adopt(node, inbound.route);
      peer = this.#peers.get(node);
    }
    if (peer === undefined) {
      connection.end(new MeshError("CLOSED", "the node is closing"));
      return;
    }
    this.#up(peer, connection, { name, creation }, inbound?.address ?? "");
  }

  /** A peer without a dial of ours. What was sent to it before it came goes first. */
  #adopt(node: string, route: ErlangRoute): void {
    if (this.#closing) return;
    this.want(node, route);
    const peer = this.#peers.get(node);
    peer?.endDialling();
    try {
      for (const { lane, signal } of this.#setup.takeOver(node)) this.send(node, lane, 0, signal);
    } catch (thrown) {
      // It cannot all go on, so nothing does: the senders are told that the node is not reached.
      if (peer !== undefined) this.#unreachable(peer, thrown as MeshError);
    }
  }

  #up(
    peer: Peer,
    connection: ErlangConnection,
    { name: spelled, creation }: Pick<ErlangPeer, "name" | "creation">,
    address: string,
  ): void {
    const { dial } = peer;
    peer.endDialling();
    if (dial !== undefined && dial !== connection) {
      this.#owners.delete(dial);
      dial.end(new MeshError("CLOSED", "the peer's own dial stays"));
    }
    peer.connection = connection;
    peer.creation = creation;
    peer.route.names.introduced(spelled);
    this.#failures.succeeded(peer.name);
    this.#owners.set(connection, peer);
    this.#setup.onNews({ type: "up", name: peer.name, address });
    this.#deliver({ type: "nodeUp", node: peer.name, creation });
    this.#waiters.resolve(peer.name, undefined);
    this.#peers.flush(peer);
  }

  /** Our dial was for nothing: the peer's own follows, within the time of a handshake. */
  #onSuperseded(connection: ErlangConnection): void {
    const peer = this.#owners.get(connection);
    this.#gone(connection);
    if (peer === undefined || peer.dial !== connection) return;
    peer.dial = undefined;
    peer.attempting = false;
    const timer = setTimeout(() => {
      this.#unreachable(peer, new MeshError("TIMEOUT", `${peer.name} was to dial, and did not`));
    }, this.#setup.handshakeTimeoutMs);
    peer.dialling.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  #onPacket(connection: ErlangConnection, packet: Uint8Array): void {
    const peer = this.#owners.get(connection);
    if (peer === undefined || peer.connection !== connection) return;
    const { name: node, creation, route } = peer;
    const decoded = decodeControl(packet, { node, creation, names: route.names });
    const signal = decoded && peer.calls.translate(decoded);
    if (signal === undefined) return;
    const { number: stream } = connection;
    this.#deliver({ type: "signal", node, stream, bytes: packet.length + 4, signal });
  }

  #onWritable(connection: ErlangConnection): void {
    const peer = this.#owners.get(connection);
    if (peer?.connection === connection) this.#peers.flush(peer);
  }

  #onClosed(connection: ErlangConnection, error: MeshError): void {
    const peer = this.#owners.get(connection);
    const inbound = this.#connections.inbound(connection);
    this.#gone(connection);
    if (inbound !== undefined) {
      this.#setup.onNews({ type: "refused", name: inbound.said, address: inbound.address, error });
    } else if (peer?.connection === connection) this.#lost(peer, error);
    else if (peer !== undefined && peer.dial === connection) this.#unreachable(peer, error);
  }

  #gone(connection: ErlangConnection): void {
    this.#owners.delete(connection);
    this.#connections.forget(connection);
  }

  /** The connection of `peer` is no more; returns it. */
  #lost(peer: Peer, error: MeshError): ErlangConnection {
    const connection = peer.connection as ErlangConnection;
    this.#owners.delete(connection);
    this.#peers.forget(peer);
    this.#setup.onNews({ type: "down", name: peer.name, error });
    this.#deliver({ type: "nodeDown", node: peer.name, reason: noconnection });
    return connection;
  }

  #unreachable(peer: Peer, error: MeshError): void {
    if (this.#peers.get(peer.name) !== peer) return;
    const { dial } = peer;
    this.#peers.forget(peer);
    if (dial !== undefined) {
      this.#owners.delete(dial);
      dial.end(error);
    }
    this.#failures.failed(peer.name, this.#setup.clock());
    this.#setup.onNews({ type: "unreachable", name: peer.name, error });
    this.#waiters.reject(peer.name, error);
    this.#deliver({ type: "nodeDown", node: peer.name, reason: noconnection });
  }

  #deliver(delivery: LinkDelivery): void {
    this.#setup.deliver(delivery, this.#setup.clock());
  }
}
