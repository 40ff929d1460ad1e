import { Queue } from "../base/queue.ts";

export interface Runnable {
  run(): void;
}

/**
 * Shares the event loop. Processes go on in promise jobs, which run before anything else the loop has to do: two
 * processes that answer each other without end would let no packet in and no timer fire. So each wake-up takes from a
 * budget, and when that is spent the next ones wait for `later`, the next turn of the event loop.
 */
export class Scheduler {
  readonly #budget: number;
  readonly #later: (run: () => void) => void;
  readonly #fresh = new Queue<Runnable>();
  readonly #waiting = new Queue<Runnable>();
  #left: number;
  #freshScheduled = false;
  #laterScheduled = false;
  readonly #runFresh = (): void => this.#onFresh();

  constructor(budget: number, later: (run: () => void) => void) {
    this.#budget = budget;
    this.#left = budget;
    this.#later = later;
  }

  /** Takes one wake-up from this turn's budget; false when it is spent. */
  take(): boolean {
    return this.#left-- > 0;
  }

  /** Runs `runnable` in this turn, after what runs now, while there is budget. */
  soon(runnable: Runnable): void {
    this.#fresh.push(runnable);
    if (this.#freshScheduled) return;
    this.#freshScheduled = true;
    void Promise.resolve().then(this.#runFresh);
  }

  /** Runs `runnable` in the next turn. */
  nextTurn(runnable: Runnable): void {
    this.#waiting.push(runnable);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#laterScheduled) return;
    this.#laterScheduled = true;
    this.#later(() => this.#onTurn());
  }

  #onFresh(): void {
    this.#freshScheduled = false;
    // Those that join while we run wait for the next job: they take their turn behind the processes running now.
    for (let count = this.#fresh.length; count > 0; count--) {
      if (this.#left-- <= 0) {
        this.#schedule();
        return;
      }
      this.#fresh.shift()?.run();
    }
  }

  #onTurn(): void {
    this.#laterScheduled = false;
    this.#left = this.#budget;
    for (let count = this.#waiting.length; count > 0 && this.take(); count--) this.#waiting.shift()?.run();
    if (this.#waiting.length > 0) this.#schedule();
    if (this.#fresh.length > 0 && !this.#freshScheduled) {
      this.#freshScheduled = true;
      void Promise.resolve().then(this.#runFresh);
    }
  }
}
