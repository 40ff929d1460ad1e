import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { formatNodeName, parseNodeName } from "../../base/node-name.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import { soon } from "../../io/soon.ts";
import {
  type ConnectionNumber,
  type Ending,
  endingError,
  type Introduction,
  type LinkOptions,
  Pool,
  type PoolOptions,
  type PoolOutput,
  type PoolPeer,
  resolveLinkOptions,
  resolvePoolOptions,
} from "../../link/index.ts";
import { decodeSignal } from "../../process/codec.ts";
import { noconnection } from "../../process/exit.ts";
import type { Signal, SignalSink } from "../../process/signals.ts";
import { encodeFrame, type Frame, frameHeaderBytes } from "../../wire/index.ts";
import type { ConnectionUser, LinkConnection } from "./connection.ts";
import { Connections } from "./connections.ts";
import { countEnding, newLinkCounters } from "./counters.ts";
import { Deadlines } from "./deadlines.ts";
import { closingOf } from "./endings.ts";
import type { Incoming } from "./incoming.ts";
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
 * All links of a node: runs the pool, the handshakes and the links on the endpoint's sockets, with one timer and one
 * flush per turn of the event loop. To the process runtime it is the way to other nodes.
 *
 * What is sent to a node without a link goes through the mesh, when that knows a way; else the node is dialled. What is sent
 * meanwhile waits in the order in which it was sent; `nodeDown` follows when the node cannot be reached, and what waited is gone.
 */
export class Links implements SignalSink {
  readonly #setup: LinksSetup;
  readonly #linkOptions: Required<LinkOptions>;
  readonly #poolOptions: Required<PoolOptions>;
  readonly #pool: Pool;
  readonly #peers: Peers;
  readonly #connections: Connections;
  readonly #deadlines: Deadlines<LinkConnection | Pool>;
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
  #inPool = false;
  #closing = false;
  #closed: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(setup: LinksSetup) {
    const { name, nodeId, creation } = setup;
    this.#setup = setup;
    this.#linkOptions = resolveLinkOptions(setup.link);
    this.#poolOptions = resolvePoolOptions(setup.pool);
    this.#pool = new Pool({ name, nodeId, creation }, this.#poolOptions, setup.random);
    this.#peers = new Peers(this.#linkOptions, this.#counters, {
      onDrained: (node, lane) => this.#deliver({ type: "drained", node, lane }),
      flush: (peer) => {
        peer.connection?.flush();
        this.#sessions.flush(peer);
      },
    });
    this.#sessions = new Sessions({
      creation,
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
    this.#connections = new Connections({
      ...setup,
      options: this.#linkOptions,
      addressOf: (node) => this.#addresses.get(node) ?? this.#mesh?.addressOf(node),
      dialTimeoutMs: this.#poolOptions.dialTimeoutMs,
      buffers: this.#peers.buffers,
      user: this.#connectionUser(),
      onDialFailed: (connection, cause) =>
        this.#tellPool({ type: "closed", connection, ending: closingOf(cause), cause }),
    });
    this.#deadlines = new Deadlines(setup.clock, (item, now) => {
      if (item instanceof Pool) this.#tellPool({ type: "tick" });
      else item.tick(now);
    });
    setup.endpoint.onIncomingFailed = (error) => this.#onIncomingFailed(error);
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
      this.#tellPool({ type: "connect", name });
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
    this.#tellPool({ type: "want", name });
    return await linked;
  }

  /** Ends the link to the node so that nothing is lost: what its processes say goes through the mesh. */
  retire(id: NodeId): void {
    const peer = this.#peers.findById(id);
    if (peer?.connection !== undefined) this.#tellPool({ type: "retire", name: peer.name });
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
    this.#tellPool({ type: "disconnect", name: node });
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
    this.#tellPool({ type: "disconnect", name: node });
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
    this.#tellPool({ type: "close" });
    for (const connection of this.#connections.all()) connection.leave("the node is closing");
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    }
    this.#deadlines.close();
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
      this.#tellPool({ type: "want", name: peer.name });
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
    // Whoever connects is told when the dial has come to an end.
    else if (!this.#sessionWaiters.has(peer.name)) this.#forget(peer);
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
    const number = this.#pool.number();
    if (this.#closing) {
      transport.close(0, "the node is closing");
      return;
    }
    const connection = this.#connections.accept(number, transport);
    this.#tellPool({ type: "inbound", connection: number, address: transport.remoteAddress.host });
    // Unless the pool has ended it right away.
    if (this.#connections.get(number) === connection) connection.start();
  }

  /** The engine refused a peer: its realm, its certificate, its protocol. */
  #onIncomingFailed(error: MeshError): void {
    const ending = closingOf(error);
    countEnding(this.#counters, ending.code);
    this.#setup.onNews?.({ type: "refused", address: undefined, nodeId: undefined, ending });
  }

  #connectionUser(): ConnectionUser {
    return {
      onIntroduced: ({ number }, peer, early) =>
        this.#tellPool({ type: "introduced", connection: number, peer, early }),
      onEstablished: ({ number, transport: { peerNodeId: nodeId } }) =>
        this.#tellPool({ type: "established", connection: number, nodeId }),
      onComplete: ({ number }, peer) => this.#tellPool({ type: "complete", connection: number, peer }),
      onFrame: (connection, incoming, frame, now) => this.#onFrame(connection, incoming, frame, now),
      onMeshFrame: ({ peer }, { type, payload }) =>
        this.#mesh?.frame((peer as Introduction).nodeId, type, payload),
      onMeshDatagram: ({ peer }, type, payload) =>
        this.#mesh?.datagram((peer as Introduction).nodeId, type, payload),
      onMeshReady: ({ peer }) => this.#mesh?.linkReady((peer as Introduction).nodeId),
      onGreeting: (connection, payload) => this.#onGreeting(connection, payload),
      onRetiring: (connection) => this.#onRetiring(connection),
      onAnswered: (connection, rttMs) => this.#onAnswered(connection, rttMs),
      onMore: (connection) => this.#connections.readLater(connection),
      onFlushable: (connection) => this.#onFlushable(connection),
      onTouched: (connection) => this.#deadlines.watch(connection),
      onClosed: (connection, ending, cause) => this.#onClosed(connection, ending, cause),
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

  #onAnswered(connection: LinkConnection, rttMs: number): void {
    const name = connection.peer?.name;
    if (name !== undefined) this.#answerWaiters.resolve(name, rttMs);
    this.#tellPool({ type: "alive", connection: connection.number });
  }

  #onGreeting(connection: LinkConnection, payload: Uint8Array): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection === connection) this.#sessions.tell(peer, { type: "greeting", payload });
  }

  #onRetiring(connection: LinkConnection): void {
    this.#tellPool({ type: "retiring", connection: connection.number });
    this.#leave(connection, "retired");
  }

  #onFlushable(connection: LinkConnection): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection === connection) {
      this.#peers.flushLater(peer);
    } else connection.flush();
  }

  #onClosed(connection: LinkConnection, ending: Ending, cause: Error | undefined): void {
    this.#connections.forget(connection.number);
    this.#deadlines.forget(connection);
    if (ending.code !== "goodbye") countEnding(this.#counters, ending.code);
    if (connection.peer === undefined && connection.transport.side === "server") {
      const address = addressOf(connection.transport);
      this.#setup.onNews?.({ type: "refused", address, nodeId: connection.claimedNodeId, ending });
    }
    const closed = { type: "closed", connection: connection.number, ending } as const;
    this.#tellPool(cause === undefined ? closed : { ...closed, cause });
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  // The pool's decisions.

  #tellPool(input: Parameters<Pool["handle"]>[0]): void {
    this.#pool.handle(input, this.#setup.clock());
    // Carrying out one decision may lead to the next input; the outer loop carries that out too, in order.
    if (this.#inPool) return;
    this.#inPool = true;
    for (let output = this.#pool.poll(); output !== undefined; output = this.#pool.poll())
      this.#carryOut(output);
    this.#inPool = false;
    this.#deadlines.watch(this.#pool);
  }

  #carryOut(output: PoolOutput): void {
    switch (output.type) {
      case "dial":
        this.#counters.dials++;
        void this.#connections.dial(output.connection, output.name);
        break;
      case "admit":
        this.#connections.get(output.connection)?.admit();
        break;
      case "end":
        this.#connections.end(output.connection, output.ending);
        break;
      case "leave":
        this.#onLeave(output.connection, output.retire);
        break;
      case "probe":
        this.#connections.get(output.connection)?.ask();
        break;
      case "up":
        this.#onUp(output.connection, output.peer);
        break;
      case "down":
        this.#onDown(output.connection, output.peer, output.ending);
        break;
      case "unreachable":
        this.#onUnreachable(output.name, output.error, output.found);
        break;
      default:
        output satisfies never;
    }
  }

  #onUp(number: ConnectionNumber, { name, nodeId, creation }: PoolPeer): void {
    const connection = this.#connections.get(number);
    // Gone again already: `down` follows.
    if (connection === undefined) return;
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
    this.#counters.linksUp++;
    this.#connections.keepTickets(name, connection.transport);
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
  #onLeave(number: ConnectionNumber, retire: boolean): void {
    const connection = this.#connections.get(number);
    if (connection === undefined) return;
    this.#leave(connection, retire ? "retired" : "disconnected");
    if (retire) connection.retire();
    else connection.leave("disconnected");
  }

  #leave(connection: LinkConnection, how: "retired" | "disconnected"): void {
    const peer = this.#peers.find(connection.peer?.name ?? "");
    if (peer?.connection !== connection) return;
    peer.leaving = how;
    if (peer.usesLink) this.#peers.swapLanes(peer);
    peer.usesLink = false;
  }

  #onDown(number: ConnectionNumber, { name, nodeId }: PoolPeer, ending: Ending): void {
    this.#counters.linksDown++;
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
    this.#counters.dialsFailed++;
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
