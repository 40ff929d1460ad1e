import { MeshError } from "../../base/errors.ts";
import { formatNodeName, parseNodeName } from "../../base/node-name.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import { soon } from "../../io/soon.ts";
import {
  type ConnectionNumber,
  type Ending,
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
import { type Frame, frameHeaderBytes } from "../../wire/index.ts";
import { type ConnectionUser, closingOf, type LinkConnection } from "./connection.ts";
import { Connections } from "./connections.ts";
import { countEnding, newLinkCounters } from "./counters.ts";
import { Deadlines } from "./deadlines.ts";
import type { Incoming } from "./incoming.ts";
import { type Peer, Peers } from "./peers.ts";
import { addressOf, statsOf } from "./stats.ts";
import type { LinkDelivery, LinksSetup, LinksStats } from "./types.ts";
import { Waiters } from "./waiters.ts";
import { takeSignals, type WaitingSignal } from "./waiting.ts";

/**
 * All links of a node: runs the pool, the handshakes and the links on the endpoint's sockets, with one timer and one
 * flush per turn of the event loop. To the process runtime it is the way to other nodes.
 *
 * A node is dialled when something is sent to it. What is sent meanwhile waits in the order in which it was sent;
 * `nodeDown` follows when the node cannot be reached, and what waited is gone.
 */
export class Links implements SignalSink {
  readonly #setup: LinksSetup;
  readonly #linkOptions: Required<LinkOptions>;
  readonly #poolOptions: Required<PoolOptions>;
  readonly #pool: Pool;
  readonly #peers: Peers;
  readonly #connections: Connections;
  readonly #deadlines: Deadlines<LinkConnection | Pool>;
  readonly #linkWaiters = new Waiters<void>();
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
    this.#peers = new Peers(this.#linkOptions, this.#counters, (node, lane) =>
      this.#deliver({ type: "drained", node, lane }),
    );
    this.#connections = new Connections({
      ...setup,
      options: this.#linkOptions,
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

  /** Hot path. See `SignalSink`. */
  send(node: string, lane: number, key: number, signal: Signal): boolean {
    const peer = this.#peers.find(node) ?? this.#want(node);
    return peer === undefined || this.#peers.send(peer, lane, key, signal);
  }

  /**
   * Resolves when there is a link with the node, dialling at once if there is none. Aborting `signal` ends the wait,
   * not the dial.
   * @throws MeshError (rejection) why there is none: `REFUSED`, `TIMEOUT`, `PEER_UNREACHABLE`, `WRONG_REALM`,
   *   `WRONG_NODE`, `CERTIFICATE_EXPIRED`, `VERSION_MISMATCH`, `NO_COMMON_CAPABILITIES`, `INVALID_CHALLENGE`,
   *   `NAME_TAKEN`, `LIMIT`, `CLOSED`, …; `CONFIGURATION` when it is not a node name.
   */
  async connect(node: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const name = formatNodeName(parseNodeName(node));
    if (name === this.#setup.name || this.#peers.find(name)?.connection !== undefined) return;
    if (this.#closing) throw new MeshError("CLOSED", "the node is closing");
    const connected = this.#linkWaiters.wait(name, signal);
    if (signal?.aborted !== true) {
      this.#peers.get(name);
      this.#tellPool({ type: "connect", name });
    }
    await connected;
  }

  /** Names of the nodes there are links with. */
  connected(): string[] {
    return [...this.#peers.all()].filter((peer) => peer.connection !== undefined).map(({ name }) => name);
  }

  /** Whether there is a link with `node`, or one is wanted. */
  knows(node: string): boolean {
    return this.#peers.find(node) !== undefined;
  }

  isConnected(node: string): boolean {
    return this.#peers.find(node)?.connection !== undefined;
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
    if (peer === undefined || peer.connection !== undefined) return [];
    const waiting = takeSignals(peer.lanes, this.#setup.clock());
    this.#peers.forget(peer);
    this.#tellPool({ type: "disconnect", name: node });
    this.#linkWaiters.resolve(node, undefined);
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

  /** Stops reading the incoming stream: its receiver has enough. */
  pause(node: string, stream: number): void {
    this.#peers.find(node)?.connection?.incoming(stream)?.pause();
  }

  resume(node: string, stream: number): void {
    this.#peers.find(node)?.connection?.incoming(stream)?.resume();
  }

  stats(): LinksStats {
    const links = [...this.#peers.all()].flatMap(({ name, connection, lanes }) =>
      connection === undefined ? [] : (statsOf(name, connection, lanes.queuedBytes) ?? []),
    );
    return { links, counters: this.#counters };
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
      if (this.#peers.find(node) === peer && peer.connection === undefined)
        this.#tellPool({ type: "want", name: node });
    });
    return peer;
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
      onAnswered: (connection, rttMs) => this.#onAnswered(connection, rttMs),
      onMore: (connection) => this.#connections.readLater(connection),
      onFlushable: (connection) => this.#onFlushable(connection),
      onTouched: (connection) => this.#deadlines.watch(connection),
      onClosed: (connection, ending, cause) => this.#onClosed(connection, ending, cause),
    };
  }

  /** Hot path. */
  #onFrame(connection: LinkConnection, incoming: Incoming, frame: Frame, now: Instant): boolean {
    const { type, payload, owned } = frame;
    let signal: Signal;
    try {
      signal = decodeSignal(type, payload, owned);
    } catch (error) {
      connection.defect(error);
      return false;
    }
    this.#counters.framesIn++;
    const node = (connection.peer as Introduction).name;
    const bytes = payload.length + frameHeaderBytes;
    this.#setup.deliver({ type: "signal", node, stream: incoming.number, bytes, signal }, now);
    return true;
  }

  #onAnswered(connection: LinkConnection, rttMs: number): void {
    const name = connection.peer?.name;
    if (name !== undefined) this.#answerWaiters.resolve(name, rttMs);
    this.#tellPool({ type: "alive", connection: connection.number });
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
        this.#onLeave(output.connection);
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
        this.#onUnreachable(output.name, output.error);
        break;
      default:
        output satisfies never;
    }
  }

  #onUp(number: ConnectionNumber, { name, nodeId, creation }: PoolPeer): void {
    const connection = this.#connections.get(number);
    // Gone again already: `down` follows.
    if (connection === undefined) return;
    this.#setup.beforeUp?.(name);
    const peer = this.#peers.get(name);
    peer.connection = connection;
    this.#counters.linksUp++;
    this.#connections.keepTickets(name, connection.transport);
    connection.open(peer.lanes);
    const address = addressOf(connection.transport);
    this.#setup.onNews?.({ type: "up", name, nodeId, address });
    this.#deliver({ type: "nodeUp", node: name, creation });
    this.#linkWaiters.resolve(name, undefined);
  }

  /** The link is ending in order: what is sent from now on waits for the next one. */
  #onLeave(number: ConnectionNumber): void {
    const connection = this.#connections.get(number);
    const name = connection?.peer?.name;
    const peer = this.#peers.find(name ?? "");
    if (peer !== undefined && peer.connection === connection) this.#peers.detach(peer);
    connection?.leave("disconnected");
  }

  #onDown(number: ConnectionNumber, { name, nodeId }: PoolPeer, ending: Ending): void {
    this.#counters.linksDown++;
    const peer = this.#peers.find(name);
    if (peer?.connection?.number === number) this.#peers.forget(peer);
    this.#answerWaiters.reject(
      name,
      new MeshError("CLOSED", `the link with ${name} ended: ${ending.reason}`),
    );
    this.#setup.onNews?.({ type: "down", name, nodeId, ending });
    this.#deliver({ type: "nodeDown", node: name, reason: noconnection });
  }

  #onUnreachable(name: string, error: MeshError): void {
    const peer = this.#peers.find(name);
    // It was surrendered: there is another way, and nothing is lost.
    if (peer === undefined) return;
    this.#counters.dialsFailed++;
    if (peer.connection === undefined) {
      const waiting = (): WaitingSignal[] => takeSignals(peer.lanes, this.#setup.clock());
      const elsewhere = this.#setup.elsewhere?.(name, error, waiting);
      this.#peers.forget(peer);
      if (elsewhere !== undefined) {
        elsewhere.then(
          () => this.#linkWaiters.resolve(name, undefined),
          (failure: unknown) => this.#linkWaiters.reject(name, failure as MeshError),
        );
        return;
      }
    }
    this.#setup.onNews?.({ type: "unreachable", name, error });
    this.#linkWaiters.reject(name, error);
    this.#deliver({ type: "nodeDown", node: name, reason: noconnection });
  }
}
