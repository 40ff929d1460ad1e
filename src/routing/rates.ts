import type { NodeId } from "../base/node-id.ts";
import type { Instant } from "../base/time.ts";

/** Neighbours remembered: more than there are links. */
const neighboursMax = 4_096;

/** So many a second for each neighbour, and a second's worth at once: a token bucket. */
export class Rates {
  readonly #perSecond: number;
  readonly #buckets = new Map<NodeId, { left: number; at: Instant }>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether one more is allowed; then it counts. */
  take(via: NodeId, now: Instant): boolean {
    const bucket = this.#buckets.get(via) ?? { left: this.#perSecond, at: now };
    bucket.left = Math.min(this.#perSecond, bucket.left + ((now - bucket.at) * this.#perSecond) / 1_000);
    bucket.at = now;
    if (!this.#buckets.has(via) && this.#buckets.size >= neighboursMax) this.#buckets.clear();
    this.#buckets.set(via, bucket);
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }
}
