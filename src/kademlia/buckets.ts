import { compareDistance, type Point, sharedBits } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";

interface Bucket {
  /** The least recently heard of first. */
  readonly nodes: NodeId[];
  /** Would have a place if there were one, the latest last. */
  readonly spares: NodeId[];
}

/** Questions in a row without an answer after which a node loses its place to one that waits. */
const failuresMax = 2;

/**
 * The nodes known, by how many leading bits they share with this one: 256 buckets of k. A node that answers keeps its
 * place, however many newcomers there are, because nodes that have been there long are likely to stay, and so that
 * nobody can push others out by showing up with many ids. It goes when it is dead, and when it does not answer while another
 * waits for its place: if this node was cut off itself, it must not end up without any (Kademlia paper, §4.1).
 */
export class Buckets {
  readonly #self: NodeId;
  readonly #bucketSize: number;
  readonly #buckets = new Map<number, Bucket>();
  readonly #failures = new Map<NodeId, number>();
  #size = 0;

  constructor(self: NodeId, bucketSize: number) {
    this.#self = self;
    this.#bucketSize = bucketSize;
  }

  /** Nodes with a place. */
  get size(): number {
    return this.#size;
  }

  has(id: NodeId): boolean {
    return this.#buckets.get(sharedBits(this.#self, id))?.nodes.includes(id) ?? false;
  }

  /** `id` is said to be there, or has shown that it is. */
  add(id: NodeId): void {
    if (id === this.#self) return;
    this.#failures.delete(id);
    const bits = sharedBits(this.#self, id);
    const bucket = this.#buckets.get(bits) ?? { nodes: [], spares: [] };
    this.#buckets.set(bits, bucket);
    if (remove(bucket.nodes, id)) {
      bucket.nodes.push(id);
    } else if (bucket.nodes.length < this.#bucketSize) {
      remove(bucket.spares, id);
      bucket.nodes.push(id);
      this.#size++;
    } else {
      remove(bucket.spares, id);
      bucket.spares.push(id);
      if (bucket.spares.length > this.#bucketSize) bucket.spares.shift();
    }
  }

  /** `id` did not answer. */
  fail(id: NodeId): void {
    const bucket = this.#buckets.get(sharedBits(this.#self, id));
    if (bucket === undefined || !bucket.nodes.includes(id)) return;
    const failures = (this.#failures.get(id) ?? 0) + 1;
    const spare = failures < failuresMax ? undefined : bucket.spares.pop();
    if (spare === undefined) {
      this.#failures.set(id, Math.min(failures, failuresMax));
      return;
    }
    this.#failures.delete(id);
    remove(bucket.nodes, id);
    bucket.nodes.push(spare);
    // Behind all that wait.
    bucket.spares.unshift(id);
  }

  /** `id` is dead: its place goes to the latest of those that wait. */
  remove(id: NodeId): void {
    this.#failures.delete(id);
    const bits = sharedBits(this.#self, id);
    const bucket = this.#buckets.get(bits);
    if (bucket === undefined) return;
    remove(bucket.spares, id);
    if (!remove(bucket.nodes, id)) return;
    const spare = bucket.spares.pop();
    if (spare === undefined) this.#size--;
    else bucket.nodes.push(spare);
    if (bucket.nodes.length === 0) this.#buckets.delete(bits);
  }

  /** The `count` nodes nearest to `target`, nearest first, without this one. */
  closest(target: Point, count: number): NodeId[] {
    // Nodes of the bucket of `target` are nearer than all nodes that share fewer bits, and so on towards bucket 0.
    const nearest = sharedBits(this.#self, target);
    const found: NodeId[] = [...(this.#buckets.get(nearest)?.nodes ?? [])];
    const beyond: number[] = [];
    const before: number[] = [];
    for (const bits of this.#buckets.keys()) {
      if (bits > nearest) beyond.push(bits);
      else if (bits < nearest) before.push(bits);
    }
    // Those that share more bits with this node are all about as far from `target` as it is itself.
    if (found.length < count)
      for (const bits of beyond) found.push(...(this.#buckets.get(bits)?.nodes ?? []));
    before.sort((a, b) => b - a);
    for (const bits of before) {
      if (found.length >= count) break;
      found.push(...(this.#buckets.get(bits)?.nodes ?? []));
    }
    return found.sort((a, b) => compareDistance(target, a, b)).slice(0, count);
  }
}

function remove(ids: NodeId[], id: NodeId): boolean {
  const index = ids.indexOf(id);
  if (index >= 0) ids.splice(index, 1);
  return index >= 0;
}
