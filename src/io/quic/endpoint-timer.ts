/** Later than this by the loop's own millisecond grid does not matter; nearer deadlines are met by the next turn. */
const nearMs = 1;
/** The longest delay that `setTimeout` takes. */
const farMs = 2 ** 31 - 1;

/** The one timer of an endpoint. Arming it for later than it is armed does nothing: it fires, and is armed again. */
export class EndpointTimer {
  readonly #onFire: () => void;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #due = Number.POSITIVE_INFINITY;

  constructor(onFire: () => void) {
    this.#onFire = onFire;
  }

  /** Fire after `delayMs`; a negative delay means never. */
  arm(delayMs: number): void {
    if (delayMs < 0) return;
    const due = performance.now() + delayMs;
    if (due >= this.#due) return;
    this.stop();
    this.#due = due;
    if (delayMs < nearMs) this.#immediate = setImmediate(() => this.#fire());
    else this.#timer = setTimeout(() => this.#fire(), Math.min(delayMs, farMs));
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#due = Number.POSITIVE_INFINITY;
  }

  #fire(): void {
    this.#due = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#onFire();
  }
}
