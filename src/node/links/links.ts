import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { formatNodeName, parseNodeName } from "../../base/node-name.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import { soon } from "../../io/soon.ts";
import {
  type Ending,
  endingError,
  type Introduction,
  type PoolPeer,
  resolveLinkOptions,
} from "../../link/index.ts";
import { decodeSignal } from "../../process/codec.ts";
import { noconnection } from "../../process/exit.ts";
import type { Signal, SignalSink } from "../../process/signals.ts";
import { encodeFrame, type Frame, frameHeaderBytes } from "../../wire/index.ts";
import type { LinkConnection } from "./connection.ts";
import { newLinkCounters } from "./counters.ts";
import type { Incoming } from "./incoming.ts";
import { LinkPool, type LinkPoolUser } from "./link-pool.ts";
import type { MeshPort } from "./mesh-port.ts";
import { type Peer, Peers } from "./peers.ts";
import { Sessions } from "./sessions.ts";
import { addressOf, rttOf, statsOf } from "./stats.ts";
import type { LinkDelivery, LinksSetup, LinksStats } from "./types.ts";
import { Waiters } from "./waiters.ts";
import { takeSignals, type WaitingSignal } from "./waiting.ts";

/** Addresses kept for dials to come, beside those that members say of themselves. */
const addressesMax = 4_096;

/**
 * All links of a node, and the sessions that they and the mesh carry, with one flush per turn of the event loop. To the process
 * runtime it is the way to other nodes.
 *
 * What is sent to a node without a link goes through the mesh, when that knows a way; else the node is dialled. What is sent
 * meanwhile waits in the order in which it was sent; `nodeDown` follows when the node cannot be reached, and what waited is gone.
 */
export class Links implements SignalSink {
  readonly #setup: LinksSetup;
  readonly #pool: LinkPool;
  readonly #peers: Peers;
  readonly #sessions: Sessions;
  readonly #linkWaiters = new Waiters<NodeId>();
  readonly #sessionWaiters = new Waiters<void>();
  /** Where nodes are, when their names do not say it. */
  readonly #addresses = new Map<string, string>();
  #mesh: MeshPort | undefined;
  /** Why the link went that a session ends over. */
  #endingReason: string | undefined;
  readonly #answerWaiters = new Waiters<number>();
  readonly #counters = newLinkCounters();
  #closing = false;
  #closed: Promise<void> | undefined;

  constructor(setup: LinksSetup) {
    this.#setup = setup;
    const options = resolveLinkOptions(setup.link);
    this.#peers = new Peers(options, this.#counters, {
      onDrained: (node, lane) => this.#deliver({ type: "drained", node, lane }),
      flush: (peer) => {
        peer.connection?.flush();
        this.#sessions.flush(peer);
      },
    });
    this.#sessions = new Sessions({
      creation: setup.creation,
      random: setup.random,
      clock: setup.clock,
      peers: this.#peers,
      counters: this.#counters,
      mesh: () => this.#mesh,
      onUp: (peer, life) => this.#onSessionUp(peer, life),
      onDown: (peer) => this.#onSessionDown(peer),
      onIdle: (peer) => this.#tidyLater(peer),
      onSignal: (peer, frame, now) => this.#onSignal(peer.name, 0, frame, now),
    });
    this.#pool = new LinkPool({
      ...setup,
      options,
      counters: this.#counters,
      buffers: this.#peers.buffers,
      addressOf: (node) => this.#addresses.get(node) ?? this.#mesh?.addressOf(node),
      user: this.#poolUser(),
    });
  }

  /** From now on this node is part of the mesh. */
  attach(mesh: MeshPort): void {
    this.#mesh = mesh;
  }

  /** What the channels of the mesh have to say. */
  get sessions(): Sessions {
    return this.#sessions;
  }

  /** Hot path. See `SignalSink`. */
  send(node: string, lane: number, key: number, signal: Signal): boolean {
    const peer = this.#peers.find(node) ?? this.#want(node);
    return peer === undefined || this.#peers.send(peer, lane, key, signal);
  }

  /**
   * Resolves when there is a session with the node: by a link, which is dialled at once if there is none, or through the mesh,
   * when it cannot be dialled. Aborting `signal` ends the wait, not the dial.
   * @throws MeshError (rejection) why there is none: `REFUSED`, `TIMEOUT`, `PEER_UNREACHABLE`, `WRONG_REALM`,
   *   `WRONG_NODE`, `CERTIFICATE_EXPIRED`, `VERSION_MISMATCH`, `NO_COMMON_CAPABILITIES`, `INVALID_CHALLENGE`,
   *   `NAME_TAKEN`, `LIMIT`, `CLOSED`, …; `CONFIGURATION` when it is not a node name.
   */
  async connect(node: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const name = formatNodeName(parseNodeName(node));
    if (name === this.#setup.name || this.#isReady(this.#peers.find(name))) return;
    if (this.#closing) throw new MeshError("CLOSED", "the node is closing");
    const connected = this.#sessionWaiters.wait(name, signal);
    if (signal?.aborted !== true) {
      this.#peers.get(name);
      this.#pool.tell({ type: "connect", name });
    }
    await connected;
  }

  /**
   * Makes a link for the mesh, unless there is one, as the pool's back-off allows. `address`: host and port, when the name does
   * not say where the node is.
   * @returns who is there. @throws as `connect`.
   */
  async dial(name: string, address?: string): Promise<NodeId> {
    const connection = this.#peers.find(name)?.connection;
    if (connection?.peer !== undefined) return connection.peer.nodeId;
    if (this.#closing) throw new MeshError("CLOSED", "the node is closing");
    if (address === undefined || name.endsWith(`@${address}`)) this.#addresses.delete(name);
    else {
      if (this.#addresses.size >= addressesMax) this.#addresses.clear();
      this.#addresses.set(name, address);
    }
    const linked = this.#linkWaiters.wait(name);
    this.#pool.tell({ type: "want", name });
    return await linked;
  }

  /** Ends the link to the node so that nothing is lost: what its processes say goes through the mesh. */
  retire(id: NodeId): void {
    const peer = this.#peers.findById(id);
    if (peer?.connection !== undefined) this.#pool.tell({ type: "retire", name: peer.name });
  }

  /** A frame of the mesh over the link to the node, if there is one. False when no more should be forwarded by it. */
  sendFrame(to: NodeId, type: number, payload: Uint8Array): boolean {
    return this.#peers.findById(to)?.connection?.sendMesh(type, payload) ?? true;
  }

  /** The same in a datagram. */
  sendDatagram(to: NodeId, type: number, payload: Uint8Array): void {
    this.#peers.findById(to)?.connection?.sendDatagram(encodeFrame(type, payload));
  }

  /** Names of the nodes there are sessions with. */
  connected(): string[] {
    return [...this.#peers.all()].filter(({ session }) => session?.isUp === true).map(({ name }) => name);
  }

  /** Whether there is a session with `node`, or one is wanted. */
  knows(node: string): boolean {
    return this.#peers.find(node) !== undefined;
  }

  isLinked(node: string): boolean {
    const peer = this.#peers.find(node);
    return peer?.connection !== undefined && peer.leaving === undefined;
  }

  /** Whether there is a session with `node`. */
  isConnected(node: string): boolean {
    return this.#peers.find(node)?.session?.isUp === true;
  }

  /** Ends the link in order: what was sent before arrives, within `leaveTimeoutMs`. False when there is none. */
  disconnect(node: string): boolean {
    const peer = this.#peers.find(node);
    if (peer === undefined) return false;
    this.#pool.tell({ type: "disconnect", name: node });
    return peer.connection !== undefined;
  }

  /**
   * `node` has come by another way: gives up the dial, whose waiters are content with that, and gives out what waited for
   * the link.
   */
  surrender(node: string): readonly WaitingSignal[] {
    const peer = this.#peers.find(node);
    if (peer === undefined || peer.connection !== undefined || peer.session?.isUp === true) return [];
    const waiting = takeSignals(peer.lanes, this.#setup.clock());
    this.#forget(peer);
    this.#pool.tell({ type: "disconnect", name: node });
    this.#sessionWaiters.resolve(node, undefined);
    return waiting;
  }

  /**
   * Round trip of a heartbeat to a linked node, milliseconds.
   * @throws MeshError (rejection) `PEER_UNREACHABLE` without a link, `CLOSED` when it ends meanwhile.
   */
  ping(node: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    const connection = this.#peers.find(node)?.connection;
    if (connection === undefined) {
      return Promise.reject(new MeshError("PEER_UNREACHABLE", `there is no link with ${node}`));
    }
    const answer = this.#answerWaiters.wait(node, signal);
    connection.ask();
    return answer;
  }

  /** Round trip on the link to the node, milliseconds; `undefined` when there is none. */
  rttOf(id: NodeId): number | undefined {
    const connection = this.#peers.findById(id)?.connection;
    return connection && rttOf(connection);
  }

  /** Stops reading the incoming stream, or the channel (0): its receiver has enough. */
  pause(node: string, stream: number): void {
    const peer = this.#peers.find(node);
    if (stream > 0) peer?.connection?.incoming(stream)?.pause();
    else if (peer?.nodeId !== undefined) this.#mesh?.pause(peer.nodeId, true);
  }

  resume(node: string, stream: number): void {
    const peer = this.#peers.find(node);
    if (stream > 0) peer?.connection?.incoming(stream)?.resume();
    else if (peer?.nodeId !== undefined) this.#mesh?.pause(peer.nodeId, false);
  }

  stats(): LinksStats {
    const links = [...this.#peers.all()].flatMap(({ name, connection, lanes }) =>
      connection === undefined ? [] : (statsOf(name, connection, lanes.queuedBytes) ?? []),
    );
    const known = { peers: this.#peers.size, dialled: this.#pool.known };
    return { links, sessions: this.connected().length, known, counters: this.#counters };
  }

  /** Ends all links in order, within `leaveTimeoutMs`. Idempotent. The endpoint stays open. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // Before anything else: nothing that is told here or comes meanwhile may begin a dial, which nobody would end.
    this.#closing = true;
    await this.#pool.close();
    const error = new MeshError("CLOSED", "the node was closed");
    this.#linkWaiters.rejectAll(error);
    this.#sessionWaiters.rejectAll(error);
    this.#answerWaiters.rejectAll(error);
  }

  /** Something is about to be sent to a node without a link. `undefined` when it cannot be one, or we are closing. */
  #want(node: string): Peer | undefined {
    if (this.#closing || node === this.#setup.name) return undefined;
    try {
      parseNodeName(node);
    } catch {
      // A pid with an impossible node in it may have come from anywhere: nobody is there, and that is all.
      this.#later(() => this.#deliver({ type: "nodeDown", node, reason: noconnection }));
      return undefined;
    }
    const peer = this.#peers.get(node);
    // Not at once: the answer may be `nodeDown`, and the caller is in the middle of a send.
    this.#later(() => {
      if (this.#peers.find(node) === peer) this.#pursue(peer);
    });
    return peer;
  }

  /** Something waits for a node without a link: sees to it that it gets there. */
  #pursue(peer: Peer): void {
    if (peer.connection !== undefined) return;
    const id = this.#routeTo(peer.name);
    if (id !== undefined) this.#sessions.route(peer, id);
    else {
      peer.routed = false;
      this.#pool.tell({ type: "want", name: peer.name });
    }
  }

  /** The member called so, when a message for it would go anywhere now. */
  #routeTo(name: string): NodeId | undefined {
    const id = this.#mesh?.idOf(name);
    return id !== undefined && this.#mesh?.hasRoute(id) === true ? id : undefined;
  }

  /** Whether what is sent now goes on its way. */
  #isReady(peer: Peer | undefined): boolean {
    return peer?.session?.isUp === true && peer.leaving === undefined;
  }

  #tidyLater(peer: Peer): void {
    this.#later(() => {
      if (this.#peers.find(peer.name) === peer) this.#tidy(peer);
    });
  }

  /** Nothing is left of the peer, unless something waits for it. */
  #tidy(peer: Peer): void {
    if (peer.connection !== undefined || peer.session?.isUp === true) return;
    if (peer.lanes.queuedBytes > 0 || peer.draining !== undefined) this.#pursue(peer);
    // What was sent since may be answered yet; whoever connects is told when the dial has come to an end.
    else if (peer.session?.isIdle !== false && !this.#sessionWaiters.has(peer.name)) this.#forget(peer);
  }

  #forget(peer: Peer): void {
    this.#peers.drop(peer);
    this.#sessions.forget(peer);
    this.#peers.forget(peer);
  }

  #later(job: () => void): void {
    soon(() => {
      if (!this.#closing) job();
    });
  }

  #deliver(delivery: LinkDelivery): void {
    this.#setup.deliver(delivery, this.#setup.clock());
  }

  // Connections.

  /** Takes a connection of a peer, of ALPN `macula/1.0`. */
  onConnection(transport: QuicConnection): void {
    this.#pool.onConnection(transport);
  }

  #poolUser(): LinkPoolUser {
    return {
      onFrame: (connection, incoming, frame, now) => this.#onFrame(connection, incoming, frame, now),
      onMeshFrame: ({ peer }, { type, payload }) =>
        this.#mesh?.frame((peer as Introduction).nodeId, type, payload),
      onMeshDatagram: ({ peer }, type, payload) =>
        this.#mesh?.datagram((peer as Introduction).nodeId, type, payload),
      onMeshReady: ({ peer }) => this.#mesh?.linkReady((peer as Introduction).nodeId),
      onGreeting: (connection, payload) => this.#onGreeting(connection, payload),
      onRetiring: (connection) => this.#onLeave(connection, "retired"),
      onAnswered: ({ peer }, rttMs) => this.#answerWaiters.resolve((peer as Introduction).name, rttMs),
      onFlushable: (connection) => this.#onFlushable(connection),
      onUp: (connection, peer) => this.#onUp(connection, peer),
      onDown: (number, peer, ending) => this.#onDown(number, peer, ending),
      onUnreachable: (name, error, found) => this.#onUnreachable(name, error, found),
      onLeave: (connection, how) => this.#onLeave(connection, how),
    };
  }

  /** Hot path. */
  #onFrame(connection: LinkConnection, incoming: Incoming, frame: Frame, now: Instant): boolean {
    try {
      this.#onSignal((connection.peer as Introduction).name, incoming.number, frame, now);
    } catch (error) {
      connection.defect(error);
      return false;
    }
    return true;
  }

  /** Hot path. @throws MeshError when the payload is not what its type says. */
  #onSignal(node: string, stream: number, { type, payload, owned }: Frame, now: Instant): void {
    const signal: Signal = decodeSignal(type, payload, owned);
    this.#counters.framesIn++;
    const bytes = payload.length + frameHeaderBytes;
    this.#setup.deliver({ type: "signal", node, stream, bytes, signal }, now);
  }

  #onGreeting(connection: LinkConnection, payload: Uint8Array): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection === connection) this.#sessions.tell(peer, { type: "greeting", payload });
  }

  #onFlushable(connection: LinkConnection): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection === connection) {
      this.#peers.flushLater(peer);
    } else connection.flush();
  }

  #onUp(connection: LinkConnection, { name, nodeId, creation }: PoolPeer): void {
    const peer = this.#peers.get(name);
    if (peer.nodeId !== undefined && peer.nodeId !== nodeId) {
      // The name has passed to another node.
      this.#sessions.tell(peer, { type: "memberDown" });
      peer.session = undefined;
    }
    if (peer.nodeId !== nodeId) this.#peers.identify(peer, nodeId);
    peer.connection = connection;
    peer.usesLink = false;
    peer.leaving = undefined;
    connection.open();
    const address = addressOf(connection.transport);
    this.#setup.onNews?.({ type: "up", name, nodeId, address });
    this.#sessions.onLinkUp(peer, connection.isOfMesh ? undefined : { creation });
    connection.readControl();
    if (connection.isOfMesh) this.#mesh?.linkUp(nodeId, address);
    this.#linkWaiters.resolve(name, nodeId);
  }

  #onSessionUp(peer: Peer, creation: number): void {
    const { name, nodeId } = peer;
    this.#setup.beforeUp?.(name);
    this.#setup.onNews?.({ type: "sessionUp", name, nodeId });
    this.#deliver({ type: "nodeUp", node: name, creation });
    this.#sessionWaiters.resolve(name, undefined);
  }

  #onSessionDown(peer: Peer): void {
    const { name, nodeId } = peer;
    const reason = this.#endingReason ?? "what was sent through the mesh did not arrive";
    // Before it is told: who hears of it and connects again waits for the next one.
    this.#sessionWaiters.reject(
      name,
      new MeshError("PEER_UNREACHABLE", `no session with ${name}: ${reason}`),
    );
    this.#setup.onNews?.({ type: "sessionDown", name, nodeId, reason });
    this.#deliver({ type: "nodeDown", node: name, reason: noconnection });
    this.#tidyLater(peer);
  }

  /** The link is ending in order: what is sent from now on waits for what comes next. */
  #onLeave(connection: LinkConnection, how: "retired" | "disconnected"): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection !== connection) return;
    peer.leaving = how;
    if (peer.usesLink) this.#peers.swapLanes(peer);
    peer.usesLink = false;
  }

  #onDown(number: number, { name, nodeId }: PoolPeer, ending: Ending): void {
    this.#answerWaiters.reject(
      name,
      new MeshError("CLOSED", `the link with ${name} ended: ${ending.reason}`),
    );
    this.#setup.onNews?.({ type: "down", name, nodeId, ending });
    const peer = this.#peers.find(name);
    if (peer?.connection?.number !== number) return;
    const clean = ending.code === "retired";
    const { isOfMesh } = peer.connection;
    peer.connection = undefined;
    peer.usesLink = false;
    // Before the session: what its end leads to may take another way at once.
    if (isOfMesh)
      this.#mesh?.linkDown(nodeId, clean ? "retired" : ending.code === "goodbye" ? "closed" : "lost");
    const wasUp = peer.session?.isUp === true;
    this.#endingReason = ending.reason;
    this.#sessions.tell(peer, { type: "linkDown", clean });
    this.#endingReason = undefined;
    if (!wasUp) this.#sessionWaiters.reject(name, endingError(ending));
    peer.leaving = undefined;
    if (this.#peers.find(name) !== peer) return;
    if (peer.session?.isUp === true) this.#pursue(peer);
    else this.#tidy(peer);
  }

  #onUnreachable(name: string, error: MeshError, found: string | undefined): void {
    this.#linkWaiters.reject(name, found === undefined ? error : new FoundAnother(error, found));
    const peer = this.#peers.find(name);
    if (peer === undefined) return;
    const isReady = this.#isReady(peer);
    if (peer.connection === undefined) {
      const id = this.#routeTo(name);
      if (id !== undefined) {
        this.#sessions.route(peer, id);
        if (!isReady) this.#sessions.greet(peer);
        return;
      }
      if (isReady) {
        // Its link has ended, and there is no other way: whoever waits for its processes would do so for ever.
        this.#endingReason = error.message;
        this.#sessions.tell(peer, { type: "memberDown" });
        this.#endingReason = undefined;
        return;
      }
      const waiting = (): WaitingSignal[] => takeSignals(peer.lanes, this.#setup.clock());
      const elsewhere = this.#setup.elsewhere?.(name, error, waiting);
      this.#forget(peer);
      if (elsewhere !== undefined) {
        elsewhere.then(
          () => this.#sessionWaiters.resolve(name, undefined),
          (failure: unknown) => this.#sessionWaiters.reject(name, failure as MeshError),
        );
        return;
      }
    }
    // Only the mesh wanted it, or there is a link by now.
    if (isReady) return;
    this.#setup.onNews?.({ type: "unreachable", name, error });
    this.#sessionWaiters.reject(name, error);
    this.#deliver({ type: "nodeDown", node: name, reason: noconnection });
  }
}

/** A dial found another node than the one that was dialled. */
export class FoundAnother extends MeshError {
  readonly found: string;

  constructor(error: MeshError, found: string) {
    super(error.code, error.message, { cause: error });
    this.found = found;
  }
}
