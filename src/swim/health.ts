/**
 * How well this node itself is, as far as it can tell: Lifeguard's local health multiplier (§IV.A). A node that is slow to
 * read its socket finds others silent; one that notices so asks more slowly and waits longer instead of accusing them.
 */
export class LocalHealth {
  readonly #max: number;
  #score = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** 0 is healthy. */
  get score(): number {
    return this.#score;
  }

  /** How much longer than a healthy node this one waits, 1 … `healthMax` + 1. */
  get multiplier(): number {
    return this.#score + 1;
  }

  /** Evidence: positive for worse, negative for better. */
  note(change: number): void {
    this.#score = Math.min(this.#max, Math.max(0, this.#score + change));
  }
}
