/** Something that reads up to the budget of its link, and then waits. */
export interface Reader {
  read(): void;
}

/** Bytes of payload that cost as much as a frame. */
const frameCostShift = 12;

/**
 * What the streams of one link may cost together in a turn of the event loop, and whose turn is next. A frame costs
 * one, and one more for each 4 KiB of its payload.
 *
 * Threat: a peer whose small compressed frames become 16 MiB each, or who fills 128 lanes at once, would otherwise keep
 * everybody else in this process waiting for seconds.
 */
export class ReadTurns {
  readonly #budget: number;
  readonly #onWaiting: () => void;
  /** In the order in which they will read. */
  readonly #waiting = new Set<Reader>();
  #left: number;
  #asked = false;

  /** @param onWaiting call `next` in the next turn. */
  constructor(budget: number, onWaiting: () => void) {
    this.#budget = budget;
    this.#left = budget;
    this.#onWaiting = onWaiting;
  }

  /** Whether the budget of this turn is used up. */
  get over(): boolean {
    return this.#left <= 0;
  }

  /** Hot path: counts a frame. */
  spend(payloadBytes: number): void {
    this.#left -= 1 + (payloadBytes >>> frameCostShift);
  }

  /** `reader` reads in the next turn, after those who wait already. */
  wait(reader: Reader): void {
    this.#waiting.add(reader);
    if (this.#asked) return;
    this.#asked = true;
    this.#onWaiting();
  }

  /** The next turn. Those for whom the budget is not enough are first in the one after it. */
  next(): void {
    this.#left = this.#budget;
    this.#asked = false;
    for (const reader of this.#waiting) {
      this.#waiting.delete(reader);
      reader.read();
      if (this.#left <= 0) break;
    }
    if (this.#waiting.size === 0 || this.#asked) return;
    this.#asked = true;
    this.#onWaiting();
  }

  /** Nobody reads any more. */
  clear(): void {
    this.#waiting.clear();
  }
}
