import type { NodeId } from "../base/node-id.ts";
import { after, type Instant } from "../base/time.ts";

/** Most members passed over at a time; beyond that the oldest gets another chance. */
const avoidedMax = 1_024;

/** Members that could not be reached or did not want to be, for a while. */
export class Avoided {
  readonly #until = new Map<NodeId, Instant>();
  readonly #avoidMs: number;

  constructor(avoidMs: number) {
    this.#avoidMs = avoidMs;
  }

  add(id: NodeId, now: Instant): void {
    this.#until.delete(id);
    this.#until.set(id, after(now, this.#avoidMs));
    if (this.#until.size <= avoidedMax) return;
    for (const oldest of this.#until.keys()) {
      this.#until.delete(oldest);
      return;
    }
  }

  has(id: NodeId, now: Instant): boolean {
    const until = this.#until.get(id);
    if (until === undefined) return false;
    if (now < until) return true;
    this.#until.delete(id);
    return false;
  }

  forget(id: NodeId): void {
    this.#until.delete(id);
  }
}
