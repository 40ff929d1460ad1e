/** Nearer deadlines (the pacing of a bulk transfer) are met by the next turn: a timer of Node's takes a millisecond. */
const nearMs = 0.25;
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
    if (delayMs < nearMs) this.#immediate = setImmediate(this.#fire);
    // Rounded up: Node rounds down, and a timer that fires early would spin until it is due.
    else this.#timer = setTimeout(this.#fire, Math.min(Math.ceil(delayMs), farMs));
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#due = Number.POSITIVE_INFINITY;
  }

  readonly #fire = (): void => {
    this.#due = Number.POSITIVE_INFINITY;
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#onFire();
  };
}
