import { canonicalNodeName } from "../base/node-name.ts";
import type { Instant } from "../base/time.ts";
import { monotonicNow } from "../io/clock.ts";
import { soon } from "../io/soon.ts";
import {
  type ProcessInput,
  type ProcessOptions,
  type ProcessOutput,
  ProcessRuntime,
} from "../process/index.ts";
import { Deadlines } from "./links/deadlines.ts";

type Driven = "sink" | "clock" | "wake" | "later";

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
      canonicalNode: canonicalNodeName,
      ...options,
      clock: monotonicNow,
      wake: () => this.#drainSoon(),
      later: setImmediate,
    });
  }

  /** Hot path: outputs are performed at once, since one may stop the stream that is being read; the timer can wait. */
  handle(input: ProcessInput, now: Instant = monotonicNow()): void {
    this.runtime.handle(input, now);
    this.#performAll();
    this.#drainSoon();
  }

  /** Ends all processes. */
  close(): void {
    this.runtime.close();
    this.#deadlines.close();
  }

  /** Once for all that happens now, and not in its midst: `wake` comes from the middle of what a process is doing. */
  #drainSoon(): void {
    if (this.#draining) return;
    this.#draining = true;
    soon(this.#drain);
  }

  readonly #drain = (): void => {
    this.#draining = false;
    this.#performAll();
    this.#deadlines.watch(this.runtime);
  };

  #performAll(): void {
    for (let output = this.runtime.poll(); output !== undefined; output = this.runtime.poll()) {
      this.#perform(output);
    }
  }
}
