import { at, type Instant } from "../base/time.ts";
import type { ConnectionNumber, PoolPeer } from "./pool-messages.ts";

export interface Dial {
  readonly connection: ConnectionNumber;
  /** Whether the peer answered on it. */
  contacted: boolean;
}

export interface Inbound {
  readonly connection: ConnectionNumber;
  readonly peer: PoolPeer;
  early: boolean;
  /** Our answer is sent: the peer may take the link as decided. */
  admitted: boolean;
}

export interface Up {
  readonly connection: ConnectionNumber;
  readonly peer: PoolPeer;
  readonly since: Instant;
  leaving: boolean;
}

export interface Node {
  readonly name: string;
  up: Up | undefined;
  dial: Dial | undefined;
  /** Handshakes of connections that claim to come from this node. */
  readonly inbound: Map<ConnectionNumber, Inbound>;
  wanted: boolean;
  /** Waits for one of the `dialsMax` to become free. */
  queued: boolean;
  failures: number;
  /** Dials in a row that the peer ended as `duplicate`, without a link of its own. */
  duplicates: number;
  notBefore: Instant;
}

/**
 * The nodes that a pool knows. One with which nothing goes on is forgotten but for its failures, and those are kept of
 * the latest `rememberedMax` nodes only: peers can claim any number of names.
 */
export class PoolNodes {
  readonly #rememberedMax: number;
  readonly #nodes = new Map<string, Node>();
  /** Nodes that may have become forgettable. */
  readonly #touched = new Set<Node>();

  constructor(rememberedMax: number) {
    this.#rememberedMax = rememberedMax;
  }

  get size(): number {
    return this.#nodes.size;
  }

  all(): IterableIterator<Node> {
    return this.#nodes.values();
  }

  find(name: string): Node | undefined {
    return this.#nodes.get(name);
  }

  /** The node of that name, new if it was not known. */
  get(name: string): Node {
    const node = this.#nodes.get(name) ?? newNode(name);
    this.#nodes.set(name, node);
    this.#touched.add(node);
    return node;
  }

  /** Something ended for the node: `sweep` looks at it. */
  touch(node: Node): void {
    this.#touched.add(node);
  }

  /** Handshakes that are held because of the link `up`: of the same name or the same node id. */
  waitingFor({ peer }: Up): Inbound[] {
    const waiting: Inbound[] = [];
    for (const node of this.#nodes.values()) {
      for (const inbound of node.inbound.values()) {
        const concerns = node.name === peer.name || inbound.peer.nodeId === peer.nodeId;
        if (concerns && !inbound.admitted) waiting.push(inbound);
      }
    }
    return waiting;
  }

  /** Forgets what can be forgotten of the nodes touched since the last time. `busy`: nodes that cannot be. */
  sweep(busy: number): void {
    for (const node of this.#touched) if (idle(node)) this.#forget(node, busy);
    this.#touched.clear();
  }

  #forget(node: Node, busy: number): void {
    if (!this.#nodes.delete(node.name) || node.failures === 0) return;
    // Again, as the newest.
    this.#nodes.set(node.name, node);
    if (this.#nodes.size <= this.#rememberedMax + busy) return;
    for (const [name, each] of this.#nodes) {
      if (!idle(each)) continue;
      this.#nodes.delete(name);
      return;
    }
  }
}

function newNode(name: string): Node {
  return {
    name,
    up: undefined,
    dial: undefined,
    inbound: new Map(),
    wanted: false,
    queued: false,
    failures: 0,
    duplicates: 0,
    notBefore: at(Number.NEGATIVE_INFINITY),
  };
}

function idle(node: Node): boolean {
  return (
    node.up === undefined &&
    node.dial === undefined &&
    node.inbound.size === 0 &&
    !node.wanted &&
    !node.queued
  );
}

/** Whether `newcomer` is the same node as `known` after a restart. */
export function newLife(known: PoolPeer, newcomer: PoolPeer): boolean {
  return (
    known.name === newcomer.name && known.nodeId === newcomer.nodeId && known.creation !== newcomer.creation
  );
}
