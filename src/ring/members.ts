import { bitOf, comparePoints, sharedBits } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";

/**
 * The members that are alive, in the order of their ids: an array that is searched by halves. Machines that are told
 * the same news may share one, as thousands of simulated nodes do.
 */
export class Members {
  readonly #ids: NodeId[];

  constructor(ids: Iterable<NodeId> = []) {
    this.#ids = [...new Set(ids)].sort(comparePoints);
  }

  get size(): number {
    return this.#ids.length;
  }

  [Symbol.iterator](): IterableIterator<NodeId> {
    return this.#ids.values();
  }

  has(id: NodeId): boolean {
    return this.#ids[this.#lowerBound(id)] === id;
  }

  add(id: NodeId): void {
    const index = this.#lowerBound(id);
    if (this.#ids[index] !== id) this.#ids.splice(index, 0, id);
  }

  delete(id: NodeId): void {
    const index = this.#lowerBound(id);
    if (this.#ids[index] === id) this.#ids.splice(index, 1);
  }

  /** Members from `self` on, clockwise (`step` 1) or counter-clockwise (−1), once around, without `self`. */
  *around(self: NodeId, step: 1 | -1): IterableIterator<NodeId> {
    const { length } = this.#ids;
    const start = this.#lowerBound(self);
    const present = this.#ids[start] === self;
    // Counter-clockwise the first is the one before where `self` is or would be.
    let index = step === 1 && !present ? start : start + step;
    for (let count = present ? length - 1 : length; count > 0; count--, index += step) {
      yield this.#ids[((index % length) + length) % length] as NodeId;
    }
  }

  /**
   * The buckets of `self` that are not empty, the farthest first. A bucket holds the members that share exactly `bits`
   * leading bits with `self`; in the order of ids they lie side by side.
   */
  buckets(self: NodeId): Bucket[] {
    const buckets: Bucket[] = [];
    let from = 0;
    let to = this.#ids.length;
    for (let bits = 0; to - from > 1 || (to - from === 1 && this.#ids[from] !== self); ) {
      // All that are left share at least `bits` bits with `self` and lie in order, so their first difference is in a
      // bit after those which the first and the last of them have in common.
      const first = this.#ids[from] as NodeId;
      const last = this.#ids[to - 1] as NodeId;
      bits = Math.max(bits, Math.min(sharedBits(self, first), sharedBits(self, last)));
      const middle = this.#split(from, to, bits);
      const [start, end] = bitOf(self, bits) === 0 ? [middle, to] : [from, middle];
      if (end > start) {
        buckets.push({ bits, size: end - start, at: (index) => this.#ids[start + index] as NodeId });
      }
      if (bitOf(self, bits) === 0) to = middle;
      else from = middle;
      bits++;
    }
    return buckets;
  }

  /** Where those of the range begin that have a one in bit `bits`. */
  #split(from: number, to: number, bits: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bitOf(this.#ids[middle] as NodeId, bits) === 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #lowerBound(id: NodeId): number {
    let low = 0;
    let high = this.#ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePoints(this.#ids[middle] as NodeId, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The members that share exactly `bits` leading bits with a node. Good until the members change. */
export interface Bucket {
  readonly bits: number;
  readonly size: number;
  /** The member at `index`, 0 … `size` − 1, in the order of ids. */
  at(index: number): NodeId;
}
