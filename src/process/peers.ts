import type { RemoteLink } from "./links.ts";
import type { Watch } from "./monitors.ts";
import type { Process } from "./process.ts";
import type { RemoteCall, ServedCall } from "./rpc.ts";
import type { PendingSpawn } from "./spawn.ts";
import type { Wait } from "./wait.ts";

/** All that this node's processes have to do with another node, so that its loss finds it. */
export class Peer {
  readonly node: string;
  up = false;
  /** Its life, when the link told. */
  creation: number | undefined;
  /** By `linkKey`. */
  readonly links = new Map<string, RemoteLink>();
  /** Monitors of our processes on its processes, by number of the reference. */
  readonly watches = new Map<number, Watch>();
  /** Monitors of its processes on ours, by `referenceKey`. */
  readonly watchedBy = new Map<string, Watch>();
  /** Our calls there, and its calls here, by id. */
  readonly calls = new Map<number, RemoteCall>();
  readonly served = new Map<number, ServedCall>();
  /** Calls whose function still runs, though nobody may wait for it any more. */
  servedRunning = 0;
  readonly spawns = new Map<number, PendingSpawn>();
  /** Live processes that it spawned here. */
  spawned = 0;
  /** Processes that called `monitorNode`, and how often. */
  readonly watchers = new Map<Process, number>();
  /** Lanes over their high-water mark, with those who wait for them. */
  readonly blocked = new Map<number, Wait<void>[]>();

  constructor(node: string) {
    this.node = node;
  }

  block(lane: number): void {
    if (!this.blocked.has(lane)) this.blocked.set(lane, []);
  }

  get isIdle(): boolean {
    return (
      !this.up &&
      this.links.size + this.watches.size + this.watchedBy.size + this.calls.size === 0 &&
      this.servedRunning + this.spawns.size + this.spawned + this.watchers.size + this.blocked.size === 0
    );
  }
}

/** The other nodes. */
export class Peers {
  readonly #peers = new Map<string, Peer>();

  /** What is known of `node`, from now on. */
  get(node: string): Peer {
    let peer = this.#peers.get(node);
    if (peer === undefined) {
      peer = new Peer(node);
      this.#peers.set(node, peer);
    }
    return peer;
  }

  find(node: string): Peer | undefined {
    return this.#peers.get(node);
  }

  /** Forgets a node that is down and has nothing to do with us any more. */
  forget(peer: Peer): void {
    if (peer.isIdle) this.#peers.delete(peer.node);
  }

  all(): Iterable<Peer> {
    return this.#peers.values();
  }

  up(): Peer[] {
    return [...this.#peers.values()].filter((peer) => peer.up);
  }
}
