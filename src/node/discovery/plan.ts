import type { Machine } from "../../base/machine.ts";
import { Queue } from "../../base/queue.ts";
import type { Random } from "../../base/random.ts";
import { Schedule } from "../../base/schedule.ts";
import { after, type Instant } from "../../base/time.ts";
import { backoffMs } from "../../link/index.ts";

/** Between two rounds of mDNS or DNS, and between two looks at a bootstrap address that is reached, give or take a tenth. */
const roundMs = 30_000;
/** Wait before the second attempt at a bootstrap address, doubled each time up to a round. */
const retryMs = 1_000;

export type PlanInput = { readonly type: "start" } | { readonly type: "tick" };

/**
 * - `try` the bootstrap address of this index, which is not reached
 * - `browse` by mDNS
 * - `lookUp` in DNS
 */
export type PlanOutput =
  | { readonly type: "try"; readonly index: number }
  | { readonly type: "browse" }
  | { readonly type: "lookUp" };

export interface PlanOptions {
  /** How many bootstrap addresses there are. */
  readonly bootstrap: number;
  readonly mdns: boolean;
  readonly dns: boolean;
  /** Whether the bootstrap address of this index leads to a node there is a link with. */
  readonly isReached: (index: number) => boolean;
  readonly random: Random;
}

/**
 * What discovery does when: each strategy has its own time, and nothing one of them does, or does not manage to do, moves
 * that of another. A bootstrap address is tried for ever: at first every second or so, then less and less often.
 */
export class DiscoveryPlan implements Machine<PlanInput, PlanOutput> {
  readonly #options: PlanOptions;
  readonly #schedule = new Schedule<number | "browse" | "lookUp">();
  readonly #outputs = new Queue<PlanOutput>();
  /** Attempts in a row, by index. */
  readonly #attempts: number[];

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#attempts = Array.from({ length: options.bootstrap }, () => 0);
  }

  handle(input: PlanInput, now: Instant): void {
    if (input.type === "start") {
      for (const index of this.#attempts.keys()) this.#schedule.set(index, now);
      if (this.#options.mdns) this.#schedule.set("browse", now);
      if (this.#options.dns) this.#schedule.set("lookUp", now);
    }
    for (let due = this.#schedule.expire(now); due !== undefined; due = this.#schedule.expire(now)) {
      if (typeof due === "number") this.#onAddress(due, now);
      else {
        this.#outputs.push({ type: due });
        this.#schedule.set(due, after(now, this.#roundMs()));
      }
    }
  }

  poll(): PlanOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#schedule.deadline();
  }

  #onAddress(index: number, now: Instant): void {
    if (this.#options.isReached(index)) {
      this.#attempts[index] = 0;
      this.#schedule.set(index, after(now, this.#roundMs()));
      return;
    }
    const attempts = (this.#attempts[index] ?? 0) + 1;
    this.#attempts[index] = attempts;
    this.#outputs.push({ type: "try", index });
    this.#schedule.set(
      index,
      after(now, backoffMs(attempts, retryMs, roundMs, this.#options.random.float())),
    );
  }

  /** Nodes started together must not all ask at the same time for ever. */
  #roundMs(): number {
    return roundMs * (0.9 + 0.2 * this.#options.random.float());
  }
}
