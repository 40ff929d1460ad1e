import { MeshError } from "../base/errors.ts";
import type { Instant } from "../base/time.ts";
import type { Deadline, Deadlines } from "./deadlines.ts";

/**
 * An answer that somebody waits for, with a time-out: a promise that is settled once. Nobody needs to look at the
 * promise: its rejection is never an unhandled one.
 */
export class Wait<Value> implements Deadline {
  due: Instant | undefined;
  slot = -1;
  key = 0;
  order = 0;
  readonly promise: Promise<Value>;
  /** Called once when it is settled, whichever way. */
  onSettled: (() => void) | undefined;
  readonly #deadlines: Deadlines;
  #resolve!: (value: Value) => void;
  #reject!: (error: Error) => void;
  #settled = false;
  #expire: () => void;

  constructor(deadlines: Deadlines, what: string) {
    this.#deadlines = deadlines;
    this.promise = new Promise<Value>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.promise.catch(() => undefined);
    this.#expire = () => this.fail(new MeshError("TIMEOUT", `${what}: no answer in time`));
  }

  /** Time is over at `due`: the wait fails with MeshError `TIMEOUT`, unless `expire` does something else. */
  until(due: Instant, expire?: () => void): this {
    if (expire !== undefined) this.#expire = expire;
    // Not a number would put the deadlines of all others out of order.
    if (Number.isNaN(due)) this.fail(new RangeError("timeoutMs is not a number"));
    else this.#deadlines.set(this, due);
    return this;
  }

  succeed(value: Value): void {
    if (this.#settle()) this.#resolve(value);
  }

  fail(error: Error): void {
    if (this.#settle()) this.#reject(error);
  }

  onDue(): void {
    this.#expire();
  }

  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#deadlines.remove(this);
    this.onSettled?.();
    return true;
  }
}
