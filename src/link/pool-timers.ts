import { Schedule } from "../base/schedule.ts";
import type { Instant } from "../base/time.ts";
import type { Node } from "./pool-nodes.ts";

/**
 * - `redial` the back-off of a wanted node is over
 * - `dial` its dial takes too long
 * - `grace` our own dial had its chance beside the peer's
 * - `probe` its link did not answer
 */
export type TimerKind = "redial" | "dial" | "grace" | "probe";

/** The timers of a pool: of each kind one for each node, by name. */
export class PoolTimers {
  /** A name has no space in it. */
  readonly #schedule = new Schedule<`${TimerKind} ${string}`>();

  set(kind: TimerKind, { name }: Pick<Node, "name">, due: Instant): void {
    this.#schedule.set(`${kind} ${name}`, due);
  }

  clear({ name }: Pick<Node, "name">, ...kinds: readonly TimerKind[]): void {
    for (const kind of kinds) this.#schedule.clear(`${kind} ${name}`);
  }

  isSet(kind: TimerKind, { name }: Pick<Node, "name">): boolean {
    return this.#schedule.get(`${kind} ${name}`) !== undefined;
  }

  deadline(): Instant | undefined {
    return this.#schedule.deadline();
  }

  /** Removes and returns the next one due at or before `now`. */
  expire(now: Instant): { readonly kind: TimerKind; readonly name: string } | undefined {
    const key = this.#schedule.expire(now);
    if (key === undefined) return undefined;
    const [kind, name] = key.split(" ") as [TimerKind, string];
    return { kind, name };
  }
}
