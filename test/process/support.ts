import { MeshError } from "../../src/base/errors.ts";
import { at } from "../../src/base/time.ts";
import { Writer } from "../../src/base/writer.ts";
import type { Term } from "../../src/etf/index.ts";
import {
  decodeSignal,
  encodeSignal,
  type ProcessLimits,
  type ProcessOutput,
  ProcessRuntime,
  type Self,
  type Signal,
  signalFrame,
} from "../../src/process/index.ts";

interface Packet {
  readonly from: string;
  readonly to: string;
  readonly lane: number;
  readonly type: number;
  readonly payload: Uint8Array;
}

/** Some nodes in memory, joined by links whose lanes deliver in order, and otherwise when the script says so. */
export class Network {
  readonly nodes = new Map<string, ProcessRuntime>();
  readonly outputs = new Map<string, ProcessOutput[]>();
  readonly printed = new Map<string, string>();
  /** Every signal ever sent, as the receiver decoded it. */
  readonly log: { readonly from: string; readonly to: string; readonly signal: Signal }[] = [];
  now = 0;
  /** Lanes (`from>to/lane`) that refuse more than this many packets. */
  laneMax = Number.POSITIVE_INFINITY;
  readonly #lanes = new Map<string, Packet[]>();
  readonly #refused = new Set<string>();
  readonly #paused = new Set<string>();
  readonly #cut = new Set<string>();
  readonly #turns: (() => void)[] = [];

  add(node: string, limits: ProcessLimits = {}, creation = 1): ProcessRuntime {
    const runtime = new ProcessRuntime({
      node,
      creation,
      sink: { send: (to, lane, _key, signal) => this.#send(node, to, lane, signal) },
      clock: () => at(this.now),
      wake: () => undefined,
      later: (run) => void this.#turns.push(run),
      print: (text) => void this.printed.set(node, (this.printed.get(node) ?? "") + text),
      ...limits,
    });
    this.nodes.set(node, runtime);
    this.outputs.set(node, this.outputs.get(node) ?? []);
    return runtime;
  }

  /** Joins two nodes by a link. */
  connect(a: string, b: string): void {
    this.#cut.delete(pair(a, b));
    this.#input(a, { type: "nodeUp", node: b });
    this.#input(b, { type: "nodeUp", node: a });
  }

  /** Takes the link away, with all that is under way in it. */
  disconnect(a: string, b: string): void {
    this.#cut.add(pair(a, b));
    for (const key of this.#lanes.keys()) {
      if (key.startsWith(`${a}>${b}/`) || key.startsWith(`${b}>${a}/`)) this.#lanes.delete(key);
    }
    this.#input(a, { type: "nodeDown", node: b });
    this.#input(b, { type: "nodeDown", node: a });
  }

  /** Lets everything happen that can happen: processes run, signals arrive (lanes in turn), until nothing moves. */
  async settle(pick: (count: number) => number = () => 0): Promise<void> {
    for (let idle = false; !idle; ) {
      await jobs();
      this.#drainOutputs();
      const ready = [...this.#lanes].filter(([key, packets]) => packets.length > 0 && !this.#paused.has(key));
      const next = ready[pick(ready.length)]?.[0];
      if (next !== undefined) this.#deliver(next);
      const turn = this.#turns.splice(0);
      for (const run of turn) run();
      idle = next === undefined && turn.length === 0;
    }
  }

  /** Lets `milliseconds` pass. */
  async pass(milliseconds: number): Promise<void> {
    await this.settle();
    const end = this.now + milliseconds;
    for (;;) {
      const deadlines = [...this.nodes.values()].map(
        (runtime) => runtime.deadline() ?? Number.POSITIVE_INFINITY,
      );
      const next = Math.min(...deadlines);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      for (const node of this.nodes.keys()) this.#input(node, { type: "tick" });
      await this.settle();
    }
    this.now = end;
  }

  /** Packets that wait in lanes. */
  get queued(): number {
    return [...this.#lanes.values()].reduce((sum, packets) => sum + packets.length, 0);
  }

  /** Hands `signal` to node `to` as if `from` had sent it. */
  inject(from: string, to: string, signal: Signal, bytes = 100): void {
    this.#input(to, { type: "signal", node: from, stream: 1, bytes, signal });
  }

  outputsOf(node: string, type: ProcessOutput["type"]): ProcessOutput[] {
    this.#drainOutputs();
    return (this.outputs.get(node) ?? []).filter((output) => output.type === type);
  }

  #send(from: string, to: string, lane: number, signal: Signal): boolean {
    const writer = new Writer();
    encodeSignal(signal, writer);
    if (writer.length > 2 ** 24) throw new MeshError("LIMIT", "payload_too_large");
    // As with real links, signals to a node that is down lead to a dial, and a failed one to `nodeDown`.
    if (this.#cut.has(pair(from, to)) || !this.nodes.has(to)) {
      this.#turns.push(() => this.#input(from, { type: "nodeDown", node: to }));
      return true;
    }
    const key = `${from}>${to}/${lane}`;
    const packets = this.#lanes.get(key) ?? [];
    this.#lanes.set(key, packets);
    packets.push({ from, to, lane, type: signalFrame(signal), payload: writer.take() });
    if (packets.length < this.laneMax) return true;
    this.#refused.add(key);
    return false;
  }

  #deliver(key: string): void {
    const packets = this.#lanes.get(key) ?? [];
    const packet = packets.shift();
    if (packet === undefined) return;
    const { from, to, lane, type, payload } = packet;
    const signal = decodeSignal(type, payload);
    this.log.push({ from, to, signal });
    this.#input(to, { type: "signal", node: from, stream: lane, bytes: payload.length, signal });
    if (packets.length * 2 <= this.laneMax && this.#refused.delete(key)) {
      this.#input(from, { type: "drained", node: to, lane });
    }
  }

  #input(node: string, input: Parameters<ProcessRuntime["handle"]>[0]): void {
    this.nodes.get(node)?.handle(input, at(this.now));
    this.#drainOutputs();
  }

  #drainOutputs(): void {
    for (const [node, runtime] of this.nodes) {
      for (let output = runtime.poll(); output !== undefined; output = runtime.poll()) {
        this.outputs.get(node)?.push(output);
        if (output.type === "pause") this.#paused.add(`${output.node}>${node}/${output.stream}`);
        if (output.type === "resume") this.#paused.delete(`${output.node}>${node}/${output.stream}`);
        if (output.type === "connect" && !this.nodes.has(output.node)) {
          this.#turns.push(() =>
            this.#input(node, { type: "nodeDown", node: (output as { node: string }).node }),
          );
        }
      }
    }
  }
}

function pair(a: string, b: string): string {
  return [a, b].sort().join("|");
}

/** Lets all promise jobs run: those that jobs make, too. */
function jobs(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export const nodeA = "a@host:1";
export const nodeB = "b@host:2";
export const nodeC = "c@host:3";

/** Two nodes with a link. */
export function pairOfNodes(limits: ProcessLimits = {}): {
  network: Network;
  a: ProcessRuntime;
  b: ProcessRuntime;
} {
  const network = new Network();
  const a = network.add(nodeA, limits);
  const b = network.add(nodeB, limits);
  network.connect(nodeA, nodeB);
  return { network, a, b };
}

/** A process that does what it is told and keeps what it gets. */
export class Puppet {
  self!: Self;
  readonly inbox: Term[] = [];
  /** Why it exited. */
  reason: { readonly value: Term } | undefined;

  static async on(network: Network, runtime: ProcessRuntime, { trapExit = false } = {}): Promise<Puppet> {
    const puppet = new Puppet();
    runtime.spawn(async (self) => {
      puppet.self = self;
      self.trapExit = trapExit;
      self.onExit((value) => {
        puppet.reason = { value };
      });
      for (;;) puppet.inbox.push(await self.receive());
    });
    await network.settle();
    return puppet;
  }

  get pid() {
    return this.self.pid;
  }
}
