import type { Random } from "../../base/random.ts";
import { after, type Instant } from "../../base/time.ts";
import { backoffMs } from "../../link/index.ts";

export interface FailuresBounds {
  /** Wait before the second dial in a row, milliseconds; it doubles with each. */
  readonly baseMs: number;
  /** The longest wait, milliseconds. */
  readonly maxMs: number;
  /** Nodes that are remembered; beyond it the oldest is forgotten. */
  readonly rememberedMax: number;
}

/** Dials that failed, so that a program that goes on sending to a node that is not there does not dial it without end. */
export class Failures {
  readonly #bounds: FailuresBounds;
  readonly #random: Random;
  readonly #nodes = new Map<string, { readonly count: number; readonly notBefore: Instant }>();

  constructor(bounds: FailuresBounds, random: Random) {
    this.#bounds = bounds;
    this.#random = random;
  }

  failed(node: string, now: Instant): void {
    const { baseMs, maxMs, rememberedMax } = this.#bounds;
    const count = (this.#nodes.get(node)?.count ?? 0) + 1;
    this.#nodes.delete(node);
    this.#nodes.set(node, {
      count,
      notBefore: after(now, backoffMs(count, baseMs, maxMs, this.#random.float())),
    });
    if (this.#nodes.size <= rememberedMax) return;
    for (const oldest of this.#nodes.keys()) {
      this.#nodes.delete(oldest);
      break;
    }
  }

  succeeded(node: string): void {
    this.#nodes.delete(node);
  }

  /** How long to wait before the next dial, milliseconds. */
  waitMs(node: string, now: Instant): number {
    const { notBefore } = this.#nodes.get(node) ?? {};
    return notBefore === undefined ? 0 : Math.max(0, notBefore - now);
  }
}
