import { compareDistance, type Point } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";

interface Candidate {
  readonly id: NodeId;
  state: "new" | "asked" | "answered" | "failed";
}

export interface LookupLimits {
  readonly bucketSize: number;
  readonly parallel: number;
  readonly queriesMax: number;
}

/** Candidates kept, in multiples of k: what is farther away than so many others will not be asked. */
const candidatesPerResult = 3;

/**
 * The walk towards a point: asks the nearest nodes known for nearer ones, α at a time, until the k nearest that are alive
 * have all answered. It says whom to ask and is told what came of it; asking is its owner's business.
 *
 * Bounded whatever is answered: candidates that are farther than the 3 k nearest are dropped, no node is asked twice, and
 * `queriesMax` ends it.
 */
export class Lookup {
  readonly target: Point;
  readonly #self: NodeId;
  readonly #limits: LookupLimits;
  readonly #candidates: Candidate[] = [];
  readonly #known = new Map<NodeId, Candidate>();
  #asking = 0;
  #queries = 0;

  constructor(target: Point, self: NodeId, start: readonly NodeId[], limits: LookupLimits) {
    this.target = target;
    this.#self = self;
    this.#limits = limits;
    this.add(start);
  }

  /** Questions asked so far. */
  get queries(): number {
    return this.#queries;
  }

  /** Somebody says that these exist. */
  add(ids: readonly NodeId[]): void {
    for (const id of ids) {
      if (id === this.#self || this.#known.has(id)) continue;
      const candidate: Candidate = { id, state: "new" };
      this.#known.set(id, candidate);
      this.#candidates.push(candidate);
    }
    this.#candidates.sort((a, b) => compareDistance(this.target, a.id, b.id));
    const most = candidatesPerResult * this.#limits.bucketSize;
    for (let index = this.#candidates.length - 1; index >= most; index--) {
      const candidate = this.#candidates[index] as Candidate;
      // One that is being asked is still waited for.
      if (candidate.state === "asked") continue;
      this.#candidates.splice(index, 1);
      this.#known.delete(candidate.id);
    }
  }

  /** Whom to ask now; counts as asked. */
  next(): NodeId | undefined {
    if (this.#asking >= this.#limits.parallel || this.#queries >= this.#limits.queriesMax) return undefined;
    let alive = 0;
    for (const candidate of this.#candidates) {
      if (candidate.state === "failed") continue;
      if (++alive > this.#limits.bucketSize) return undefined;
      if (candidate.state !== "new") continue;
      candidate.state = "asked";
      this.#asking++;
      this.#queries++;
      return candidate.id;
    }
    return undefined;
  }

  answered(id: NodeId): void {
    this.#settle(id, "answered");
  }

  failed(id: NodeId): void {
    this.#settle(id, "failed");
  }

  /** Nobody is being asked and nobody is left to ask: call after `next` said so. */
  get done(): boolean {
    return this.#asking === 0;
  }

  /** The nearest that answered, nearest first. */
  closest(): NodeId[] {
    const answered = this.#candidates.filter(({ state }) => state === "answered");
    return answered.slice(0, this.#limits.bucketSize).map(({ id }) => id);
  }

  #settle(id: NodeId, state: "answered" | "failed"): void {
    const candidate = this.#known.get(id);
    if (candidate?.state !== "asked") return;
    candidate.state = state;
    this.#asking--;
  }
}
