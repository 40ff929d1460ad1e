import type { Instant } from "./time.ts";

/**
 * A protocol core: no sockets, no clock, no `await`. Same inputs, same outputs, every run.
 * One driver runs every machine on real sockets; the simulator runs thousands on a virtual clock.
 */
export interface Machine<Input, Output> {
  /** Apply one input. Bad peer bytes become an output, never a throw. */
  handle(input: Input, now: Instant): void;
  /** The next effect to perform; call until `undefined`. */
  poll(): Output | undefined;
  /** When to send the next `tick`; `undefined` when nothing is pending. */
  deadline(): Instant | undefined;
}
