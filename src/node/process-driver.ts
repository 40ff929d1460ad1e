import { canonicalNodeName } from "../base/node-name.ts";
import { monotonicNow } from "../io/clock.ts";
import {
  type ProcessInput,
  type ProcessOptions,
  type ProcessOutput,
  ProcessRuntime,
} from "../process/index.ts";
import { Deadlines } from "./links/deadlines.ts";

type Driven = "sink" | "clock" | "wake" | "later" | "canonicalNode";

/** Runs a process runtime in the event loop: its deadlines on one timer, its outputs to `perform`. */
export class ProcessDriver {
  readonly runtime: ProcessRuntime;
  readonly #perform: (output: ProcessOutput) => void;
  readonly #deadlines = new Deadlines<ProcessRuntime>(monotonicNow, () => this.handle({ type: "tick" }));
  #draining = false;

  constructor(
    options: Omit<ProcessOptions, Driven> & Pick<ProcessOptions, "sink">,
    perform: (output: ProcessOutput) => void,
  ) {
    this.#perform = perform;
    this.runtime = new ProcessRuntime({
      ...options,
      clock: monotonicNow,
      wake: () => this.#drainSoon(),
      later: setImmediate,
      canonicalNode: canonicalNodeName,
    });
  }

  handle(input: ProcessInput): void {
    this.runtime.handle(input, monotonicNow());
    this.#drain();
  }

  /** Ends all processes. */
  close(): void {
    this.runtime.close();
    this.#deadlines.close();
  }

  /** Not at once: `wake` comes from the middle of what a process is doing. */
  #drainSoon(): void {
    if (this.#draining) return;
    this.#draining = true;
    queueMicrotask(() => this.#drain());
  }

  #drain(): void {
    this.#draining = false;
    for (let output = this.runtime.poll(); output !== undefined; output = this.runtime.poll())
      this.#perform(output);
    this.#deadlines.watch(this.runtime);
  }
}
