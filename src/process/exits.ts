import { Queue } from "../base/queue.ts";
import { atom, type Pid, type Term } from "../etf/index.ts";
import { exitMessage, kill, killed, normal, ProcessExit } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";

/** Stands for an exit reason that has no representation on the wire, or is too long. */
export const unspeakable = atom("unencodable_reason");

/** Exit signals, and what the end of a process means for the others. */
export class Exits {
  readonly #kernel: Kernel;
  /** Processes that have ended and whose links and monitors are still to be told: a queue, for chains of any length. */
  readonly #ended = new Queue<Process>();
  #telling = false;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** `exit/2`, sent by `from`. */
  exit(from: Process, to: Pid, reason: Term): void {
    const kernel = this.#kernel;
    if (!kernel.isLocal(to)) {
      kernel.signal(from, to.node, { type: "exit", from: from.pid, to, reason });
      return;
    }
    const process = kernel.find(to);
    if (process !== undefined) this.receive(process, from.pid, reason);
  }

  /** An `exit/2` signal arrives: `kill` cannot be trapped, and `normal` ends only the process that sent it. */
  receive(process: Process, from: Pid, reason: Term): void {
    // Not even `kill` ends what is part of the node.
    if (process.handler !== undefined) {
      if (process.trapExit && reason !== kill) process.deliver(exitMessage(from, reason), 0);
    } else if (reason === kill) this.terminate(process, killed);
    else if (process.trapExit) process.deliver(exitMessage(from, reason), 0);
    else if (reason !== normal || process.pid === from) this.terminate(process, reason);
  }

  /** A link of `process` broke. Here `kill` is a reason like any other. */
  linkBroke(process: Process, from: Pid, reason: Term): void {
    if (process.trapExit || process.handler !== undefined) process.deliver(exitMessage(from, reason), 0);
    else if (reason !== normal) this.terminate(process, reason);
  }

  /** Ends `process`: its name is free at once, then links and monitors are told. */
  terminate(process: Process, reason: Term): void {
    if (!process.alive) return;
    const kernel = this.#kernel;
    kernel.processes.delete(process.orderKey);
    kernel.names.release(process);
    process.end(reason);
    if (process.pausedStreams !== undefined) kernel.flow.resume(process);
    if (process.crowd !== undefined) kernel.flow.relieve(process);
    this.#ended.push(process);
    if (this.#telling) return;
    this.#telling = true;
    try {
      for (let next = this.#ended.shift(); next !== undefined; next = this.#ended.shift()) this.#tell(next);
    } finally {
      this.#telling = false;
    }
  }

  #tell(process: Process): void {
    const { exitReason: reason } = process;
    if (process.waits !== undefined) {
      const error = new ProcessExit(reason);
      for (const wait of process.waits) wait.fail(error);
      process.waits = undefined;
    }
    if (process.links !== undefined || process.remoteLinks !== undefined) {
      this.#kernel.links.ended(process, reason);
    }
    if (process.watches !== undefined || process.watchedBy !== undefined) {
      this.#kernel.monitors.ended(process, reason);
    }
    this.#kernel.nodes.ended(process);
    if (process.exitCallbacks === undefined) return;
    for (const callback of process.exitCallbacks) {
      try {
        callback(reason);
      } catch {
        // The callback of a dead process has nobody left to tell.
        this.#kernel.counters.failedCallbacks++;
      }
    }
    process.exitCallbacks = undefined;
  }
}
