import { BufferPool } from "../../base/buffer-pool.ts";
import { MeshError } from "../../base/errors.ts";
import type { Writer } from "../../base/writer.ts";
import { soon } from "../../io/soon.ts";
import { Lanes, type LinkOptions } from "../../link/index.ts";
import { encodeSignal, signalFrame } from "../../process/codec.ts";
import type { Signal } from "../../process/signals.ts";
import type { LinkConnection } from "./connection.ts";
import type { LinkCounters } from "./counters.ts";

/** Buffers kept for the next busy moment: what a few lanes have in the works at their high-water marks. */
const idleBufferBytes = 8 << 20;

/** What is kept of a node that is linked or wanted. */
export interface Peer {
  readonly name: string;
  /** Signals for it: of the link, or waiting for one. */
  readonly lanes: Lanes;
  connection: LinkConnection | undefined;
  /** It is noted for the next flush. */
  unflushed: boolean;
}

/** The nodes that are linked or wanted, and what is sent to them: written once per turn of the event loop. */
export class Peers {
  /** Of all links: few of them are busy at a time. */
  readonly buffers = new BufferPool(idleBufferBytes);
  readonly #options: Required<LinkOptions>;
  readonly #counters: LinkCounters;
  /** A lane of `node` whose senders were told to wait: they may go on. */
  readonly #onDrained: (node: string, lane: number) => void;
  readonly #peers = new Map<string, Peer>();
  #unflushed: Peer[] = [];
  /** The signal being encoded: a field, so that the hot path needs no closure for each. */
  #signal: Signal | undefined;

  constructor(
    options: Required<LinkOptions>,
    counters: LinkCounters,
    onDrained: (node: string, lane: number) => void,
  ) {
    this.#options = options;
    this.#counters = counters;
    this.#onDrained = onDrained;
  }

  find(name: string): Peer | undefined {
    return this.#peers.get(name);
  }

  /** The one of this name, from now on. */
  get(name: string): Peer {
    const known = this.#peers.get(name);
    if (known !== undefined) return known;
    const peer: Peer = {
      name,
      lanes: new Lanes(this.#options, this.buffers),
      connection: undefined,
      unflushed: false,
    };
    this.#peers.set(name, peer);
    return peer;
  }

  all(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** Hot path: queues the signal. False when the sender should wait. @throws MeshError `LIMIT`, `ENCODE`. */
  send(peer: Peer, lane: number, key: number, signal: Signal): boolean {
    if (peer.connection === undefined) this.#checkUnlinked(peer);
    this.#signal = signal;
    const below = peer.lanes.frame(lane % this.#options.lanesMax, key, signalFrame(signal), this.#write);
    this.#counters.framesOut++;
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

  /** What is sent from now on is for another link; what was sent is still written. */
  detach({ name }: Peer): void {
    this.#peers.delete(name);
  }

  /** Drops what was queued for a node; senders who wait are let go. */
  forget(peer: Peer): void {
    this.#peers.delete(peer.name);
    this.#counters.droppedBytes += peer.lanes.queuedBytes;
    for (const lane of peer.lanes.discard()) this.#onDrained(peer.name, lane);
  }

  readonly #write = (writer: Writer): void => encodeSignal(this.#signal as Signal, writer);

  #checkUnlinked({ name, lanes }: Peer): void {
    if (lanes.queuedBytes < this.#options.unlinkedQueueBytesMax) return;
    throw new MeshError("LIMIT", `${lanes.queuedBytes} bytes wait for a link with ${name} already`);
  }

  readonly #flush = (): void => {
    const unflushed = this.#unflushed;
    this.#unflushed = [];
    for (const peer of unflushed) {
      peer.unflushed = false;
      peer.connection?.flush();
    }
    for (const peer of unflushed) this.#tellDrained(peer);
  };

  #tellDrained({ name, lanes }: Peer): void {
    for (let lane = lanes.nextDrained(); lane !== undefined; lane = lanes.nextDrained()) {
      this.#onDrained(name, lane);
    }
  }
}
