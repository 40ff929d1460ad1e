import { Schedule } from "../../base/schedule.ts";
import type { Instant } from "../../base/time.ts";

/** Something with a deadline. */
export interface Due {
  deadline(): Instant | undefined;
}

/** The one timer of many machines: `onDue` is called for each whose deadline has come. */
export class Deadlines<Item extends Due> {
  readonly #clock: () => Instant;
  readonly #onDue: (item: Item, now: Instant) => void;
  readonly #schedule = new Schedule<Item>();
  #timer: NodeJS.Timeout | undefined;
  #timerDue = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(clock: () => Instant, onDue: (item: Item, now: Instant) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Looks at the item's deadline anew: after every input to it that can change it. */
  watch(item: Item): void {
    if (this.#closed) return;
    this.#schedule.set(item, item.deadline());
    this.#arm();
  }

  forget(item: Item): void {
    this.#schedule.clear(item);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const due = this.#schedule.deadline();
    // A timer that goes off early finds nothing and is set anew: cheaper than moving it with every deadline.
    if (due === undefined || due >= this.#timerDue) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    const waitMs = Math.min(Math.max(0, Math.ceil(due - this.#clock())), 0x7fff_ffff);
    this.#timer = setTimeout(this.#fire, waitMs);
  }

  readonly #fire = (): void => {
    this.#timerDue = Number.POSITIVE_INFINITY;
    const now = this.#clock();
    for (let item = this.#schedule.expire(now); item !== undefined; item = this.#schedule.expire(now)) {
      this.#onDue(item, now);
      if (!this.#closed) this.#schedule.set(item, item.deadline());
    }
    if (!this.#closed) this.#arm();
  };
}
