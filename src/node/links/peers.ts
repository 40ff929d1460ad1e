import { BufferPool } from "../../base/buffer-pool.ts";
import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import type { Writer } from "../../base/writer.ts";
import { soon } from "../../io/soon.ts";
import { Lanes, type LinkOptions } from "../../link/index.ts";
import { encodeSignal, signalFrame } from "../../process/codec.ts";
import type { Signal } from "../../process/signals.ts";
import type { Session } from "../../session/index.ts";
import type { LinkConnection } from "./connection.ts";
import type { LinkCounters } from "./counters.ts";

/** Buffers kept for the next busy moment: what a few lanes have in the works at their high-water marks. */
const idleBufferBytes = 8 << 20;

/** What is kept of a node that is linked, wanted, or reached through the mesh. */
export interface Peer {
  readonly name: string;
  /** Known from the first link or channel on. */
  nodeId: NodeId | undefined;
  session: Session | undefined;
  /** Signals for it: of the link, or waiting for one, or for a channel. */
  lanes: Lanes;
  /** What was sent before the link was there and still goes by a channel: the link waits for its end. */
  draining: Lanes | undefined;
  connection: LinkConnection | undefined;
  /** The link takes what is in `lanes`. */
  usesLink: boolean;
  /** Without a link, what is in `lanes` goes through the mesh. */
  routed: boolean;
  /** The link is ending in order, and `lanes` wait for what comes after it. */
  leaving: "disconnected" | "retired" | undefined;
  /** The mesh was told that traffic warrants a link. */
  held: boolean;
  /** Signals sent since traffic was last weighed. */
  sent: number;
  /** It is noted for the next flush. */
  unflushed: boolean;
}

export interface PeersUser {
  /** A lane of `node` whose senders were told to wait: they may go on. */
  onDrained(node: string, lane: number): void;
  /** Sends what waits for the peer, by whatever way it has. */
  flush(peer: Peer): void;
}

/** The nodes that this one has to do with, and what is sent to them: written once per turn of the event loop. */
export class Peers {
  /** Of all links: few of them are busy at a time. */
  readonly buffers = new BufferPool(idleBufferBytes);
  readonly #options: Required<LinkOptions>;
  readonly #counters: LinkCounters;
  readonly #user: PeersUser;
  readonly #byName = new Map<string, Peer>();
  readonly #byId = new Map<NodeId, Peer>();
  #unflushed: Peer[] = [];
  /** The signal being encoded: a field, so that the hot path needs no closure for each. */
  #signal: Signal | undefined;

  constructor(options: Required<LinkOptions>, counters: LinkCounters, user: PeersUser) {
    this.#options = options;
    this.#counters = counters;
    this.#user = user;
  }

  find(name: string): Peer | undefined {
    return this.#byName.get(name);
  }

  findById(id: NodeId): Peer | undefined {
    return this.#byId.get(id);
  }

  /** The one of this name, from now on. */
  get(name: string): Peer {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const peer: Peer = {
      name,
      nodeId: undefined,
      session: undefined,
      lanes: this.#newLanes(),
      draining: undefined,
      connection: undefined,
      usesLink: false,
      routed: false,
      leaving: undefined,
      held: false,
      sent: 0,
      unflushed: false,
    };
    this.#byName.set(name, peer);
    return peer;
  }

  /** The peer is this node. */
  identify(peer: Peer, id: NodeId): void {
    if (peer.nodeId !== undefined) this.#byId.delete(peer.nodeId);
    peer.nodeId = id;
    this.#byId.set(id, peer);
  }

  get size(): number {
    return this.#byName.size;
  }

  all(): Iterable<Peer> {
    return this.#byName.values();
  }

  /** Hot path: queues the signal. False when the sender should wait. @throws MeshError `LIMIT`, `ENCODE`. */
  send(peer: Peer, lane: number, key: number, signal: Signal): boolean {
    if (!peer.usesLink) this.#checkUnlinked(peer);
    this.#signal = signal;
    const below = peer.lanes.frame(lane % this.#options.lanesMax, key, signalFrame(signal), this.#write);
    this.#counters.framesOut++;
    peer.sent++;
    if (!peer.unflushed) this.flushLater(peer);
    return below;
  }

  flushLater(peer: Peer): void {
    if (peer.unflushed) return;
    peer.unflushed = true;
    this.#unflushed.push(peer);
    // As a promise job: all processes that run in this turn have had their say, and the engine sends after it.
    if (this.#unflushed.length === 1) soon(this.#flush);
  }

  /** What is sent from now on goes another way than what was sent so far; returns that. Senders who wait try again. */
  swapLanes(peer: Peer): Lanes {
    const before = peer.lanes;
    peer.lanes = this.#newLanes();
    for (const lane of before.letGo()) this.#user.onDrained(peer.name, lane);
    return before;
  }

  /** Drops what was queued for a node; senders who wait are let go. */
  drop(peer: Peer): void {
    for (const lanes of [peer.draining, peer.lanes]) {
      if (lanes === undefined) continue;
      this.#counters.droppedBytes += lanes.queuedBytes;
      for (const lane of lanes.discard()) this.#user.onDrained(peer.name, lane);
    }
    peer.draining = undefined;
    // The streams of a link have seen these lanes: what comes later has others.
    peer.lanes = this.#newLanes();
  }

  /** Forgets a peer of which nothing is left. */
  forget(peer: Peer): void {
    if (this.#byName.get(peer.name) === peer) this.#byName.delete(peer.name);
    if (peer.nodeId !== undefined && this.#byId.get(peer.nodeId) === peer) this.#byId.delete(peer.nodeId);
  }

  readonly #write = (writer: Writer): void => encodeSignal(this.#signal as Signal, writer);

  #newLanes(): Lanes {
    return new Lanes(this.#options, this.buffers);
  }

  #checkUnlinked({ name, lanes }: Peer): void {
    if (lanes.queuedBytes < this.#options.unlinkedQueueBytesMax) return;
    throw new MeshError("LIMIT", `${lanes.queuedBytes} bytes wait for a link with ${name} already`);
  }

  readonly #flush = (): void => {
    const unflushed = this.#unflushed;
    this.#unflushed = [];
    for (const peer of unflushed) {
      peer.unflushed = false;
      this.#user.flush(peer);
    }
    for (const peer of unflushed) this.tellDrained(peer);
  };

  tellDrained({ name, lanes }: Peer): void {
    for (let lane = lanes.nextDrained(); lane !== undefined; lane = lanes.nextDrained()) {
      this.#user.onDrained(name, lane);
    }
  }
}
