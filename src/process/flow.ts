import { Pid } from "../etf/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import type { Destination } from "./types.ts";
import type { Wait } from "./wait.ts";

/**
 * Back-pressure. A mailbox over its mark stops the incoming stream whose message was too many, so the streams of other
 * senders go on; QUIC's flow control then stops the sending node's lane, and `send` says so to the sender.
 */
export class Flow {
  readonly #kernel: Kernel;
  /** The streams that stand still, each with the processes that stopped it. */
  readonly #paused = new Map<string, { node: string; stream: number; by: Set<Process> }>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The mailbox of `process` is full: stops the stream, unless the process needs more to go on. */
  pause(process: Process, node: string, stream: number): void {
    if (!process.alive || process.starved) return;
    const key = `${stream}/${node}`;
    let paused = this.#paused.get(key);
    if (paused === undefined) {
      paused = { node, stream, by: new Set() };
      this.#paused.set(key, paused);
      this.#kernel.counters.pauses++;
      this.#kernel.output({ type: "pause", node, stream });
    }
    paused.by.add(process);
    (process.pausedStreams ??= new Set()).add(key);
  }

  /** Lets go on what `process` stopped. */
  resume(process: Process): void {
    const keys = process.pausedStreams;
    process.pausedStreams = undefined;
    for (const key of keys ?? []) {
      const paused = this.#paused.get(key);
      if (paused === undefined) continue;
      paused.by.delete(process);
      if (paused.by.size > 0) continue;
      this.#paused.delete(key);
      this.#kernel.output({ type: "resume", node: paused.node, stream: paused.stream });
    }
  }

  /** The mailbox of `process` has room again, or is gone. */
  relieve(process: Process): void {
    if (process.pausedStreams !== undefined) this.resume(process);
    const waiting = process.crowd;
    process.crowd = undefined;
    for (const wait of waiting ?? []) wait.succeed();
  }

  /** Resolves when `from` may go on sending to `to`. */
  drained(from: Process, to: Destination): Promise<void> {
    const node = typeof to === "string" ? this.#kernel.options.node : to.node;
    const waiting = node === this.#kernel.options.node ? this.#crowdAt(to) : this.#laneTo(node, from.lane);
    if (waiting === undefined) return Promise.resolve();
    const wait = this.#kernel.wait<void>(from, "drained");
    waiting.push(wait);
    return wait.promise;
  }

  #crowdAt(to: Destination): Wait<void>[] | undefined {
    const process =
      to instanceof Pid
        ? this.#kernel.find(to)
        : this.#kernel.names.find(typeof to === "string" ? to : to.name);
    if (process?.crowded !== true) return undefined;
    return (process.crowd ??= []);
  }

  #laneTo(node: string, lane: number): Wait<void>[] | undefined {
    return this.#kernel.peers.find(node)?.blocked.get(lane);
  }

  onDrained(node: string, lane: number): void {
    const peer = this.#kernel.peers.find(node);
    const waiting = peer?.blocked.get(lane);
    peer?.blocked.delete(lane);
    for (const wait of waiting ?? []) wait.succeed();
  }

  /** Its streams and lanes are gone. */
  onNodeDown(node: string): void {
    for (const [key, paused] of this.#paused) {
      if (paused.node !== node) continue;
      this.#paused.delete(key);
      for (const process of paused.by) process.pausedStreams?.delete(key);
    }
    for (const lane of [...(this.#kernel.peers.find(node)?.blocked.keys() ?? [])]) this.onDrained(node, lane);
  }
}
