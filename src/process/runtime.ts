import type { Machine } from "../base/machine.ts";
import type { Instant } from "../base/time.ts";
import { Pid, type Reference, type Term } from "../etf/index.ts";
import { noconnection } from "./exit.ts";
import type { ExportedModule } from "./exports.ts";
import { startUser } from "./group-leader.ts";
import { Kernel, type ProcessCounters, type ProcessOutput } from "./kernel.ts";
import { type ProcessOptions, resolveProcessOptions } from "./options.ts";
import type { Process } from "./process.ts";
import { SignalRouter } from "./router.ts";
import type { Signal } from "./signals.ts";
import type {
  DemonitorOptions,
  Destination,
  ProcessBody,
  ProcessInfo,
  Self,
  SpawnOnOptions,
  SpawnOptions,
  TimeoutOptions,
} from "./types.ts";

/** What happens to the runtime. */
export type ProcessInput =
  /** A signal came from `node` in its stream number `stream`; `bytes` is the size of its payload on the wire. */
  | {
      readonly type: "signal";
      readonly node: string;
      readonly stream: number;
      readonly bytes: number;
      readonly signal: Signal;
    }
  /** The link to `node` is up. `creation`: its life, when the handshake told; pids of other lives are forged then. */
  | { readonly type: "nodeUp"; readonly node: string; readonly creation?: number }
  /** The link to `node` is lost, or could not be made: once for each `nodeUp` and for each failed attempt. */
  | { readonly type: "nodeDown"; readonly node: string; readonly reason?: Term }
  /** That lane, for which the sink said false, is below half of its high-water mark. */
  | { readonly type: "drained"; readonly node: string; readonly lane: number }
  | { readonly type: "tick" };

/**
 * The processes of one node. Signals from other nodes go in through `handle`; those to other nodes leave through the
 * sink at once. The node has a process of its own, which speaks for it in `send`, `monitor`, `link`, `rpc` and
 * `spawnOn`; what it receives (it traps exits) comes out as the output `message`.
 */
export class ProcessRuntime implements Machine<ProcessInput, ProcessOutput> {
  readonly #kernel: Kernel;
  readonly #router: SignalRouter;
  readonly #user: Process;
  readonly #self: Process;

  constructor(options: ProcessOptions) {
    this.#kernel = new Kernel(resolveProcessOptions(options));
    this.#router = new SignalRouter(this.#kernel);
    this.#user = startUser(this.#kernel);
    this.#kernel.user = this.#user.pid;
    this.#self = this.#kernel.create(undefined, this.#user.pid);
    this.#self.handler = (message) => this.#kernel.output({ type: "message", message });
    this.#self.trapExit = true;
  }

  // --- The machine ---

  handle(input: ProcessInput, now: Instant): void {
    const kernel = this.#kernel;
    kernel.handling = true;
    try {
      switch (input.type) {
        case "signal":
          this.#router.route(input.node, input.stream, input.bytes, input.signal);
          break;
        case "nodeUp":
          this.#onNodeUp(input.node, input.creation);
          break;
        case "nodeDown":
          this.#onNodeDown(input.node);
          break;
        case "drained":
          kernel.flow.onDrained(input.node, input.lane);
          break;
        case "tick":
          for (
            let due = kernel.deadlines.expire(now);
            due !== undefined;
            due = kernel.deadlines.expire(now)
          ) {
            due.onDue(now);
          }
          break;
        default:
          input satisfies never;
      }
    } finally {
      kernel.handling = false;
    }
  }

  poll(): ProcessOutput | undefined {
    return this.#kernel.outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#kernel.announceDeadline();
  }

  #onNodeUp(node: string, creation: number | undefined): void {
    const peer = this.#kernel.peers.get(node);
    if (peer.up) this.#onNodeDown(node);
    const fresh = this.#kernel.peers.get(node);
    fresh.up = true;
    fresh.creation = creation;
    this.#kernel.nodes.onNodeUp(node);
  }

  #onNodeDown(node: string): void {
    const kernel = this.#kernel;
    const peer = kernel.peers.find(node);
    if (peer === undefined) return;
    const wasUp = peer.up;
    peer.up = false;
    peer.creation = undefined;
    kernel.flow.onNodeDown(node);
    kernel.rpc.onNodeDown(peer);
    kernel.spawner.onNodeDown(peer);
    kernel.links.onNodeDown(peer);
    kernel.monitors.onNodeDown(peer);
    kernel.nodes.onNodeDown(peer, wasUp);
    kernel.peers.forget(peer);
  }

  // --- What a node offers ---

  get node(): string {
    return this.#kernel.options.node;
  }

  /** The process of the node itself. */
  get self(): Self {
    return this.#self;
  }

  get counters(): Readonly<ProcessCounters> {
    return this.#kernel.counters;
  }

  /** Nodes with a link. */
  nodes(): string[] {
    return this.#kernel.peers.up().map((peer) => peer.node);
  }

  spawn(body: ProcessBody, options?: SpawnOptions): Pid {
    return this.#self.spawn(body, options);
  }

  /** @throws MeshError `NO_PROCESS` for a name not registered here, `ENCODE`, `LIMIT`. */
  send(to: Destination, message: Term): boolean {
    return this.#self.send(to, message);
  }

  drained(to: Destination): Promise<void> {
    return this.#self.drained(to);
  }

  registerName(name: string, pid: Pid): void {
    this.#self.registerName(name, pid);
  }

  unregister(name: string): void {
    this.#self.unregister(name);
  }

  whereis(name: string): Pid | undefined {
    return this.#self.whereis(name);
  }

  /** All registered names. */
  registered(): string[] {
    return this.#kernel.names.names();
  }

  /** All live processes. */
  processes(): Pid[] {
    return Array.from(this.#kernel.processes.values(), (process) => process.pid);
  }

  /** `undefined` when there is no such process here. */
  processInfo(pid: Pid): ProcessInfo | undefined {
    const process = this.#kernel.find(pid);
    if (process === undefined) return undefined;
    return {
      pid: process.pid,
      name: process.name,
      status: process.status,
      messageQueueLength: process.mailboxLength,
      messageQueueBytes: process.mailboxBytes,
      links: this.#kernel.links.of(process),
      monitors: Array.from(process.watches?.values() ?? [], (watch) => watch.object),
      monitoredBy: Array.from(process.watchedBy ?? [], ({ watcher }) =>
        watcher instanceof Pid ? watcher : watcher.pid,
      ),
      trapExit: process.trapExit,
      groupLeader: process.groupLeader,
    };
  }

  /** Exports functions to other nodes, in place of those exported under `name` before. See `withSelf`. */
  exportModule(name: string, module: ExportedModule): void {
    this.#kernel.exports.set(name, module);
  }

  unexportModule(name: string): void {
    this.#kernel.exports.delete(name);
  }

  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term> {
    return this.#self.rpc(node, module, name, args, options);
  }

  spawnOn(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: SpawnOnOptions,
  ): Promise<Pid> {
    return this.#self.spawnOn(node, module, name, args, options);
  }

  monitor(target: Destination): Reference {
    return this.#self.monitor(target);
  }

  demonitor(ref: Reference, options?: DemonitorOptions): boolean {
    return this.#self.demonitor(ref, options);
  }

  monitorNode(node: string, flag?: boolean): void {
    this.#self.monitorNode(node, flag);
  }

  monitorNodes(flag?: boolean): void {
    this.#self.monitorNodes(flag);
  }

  /** Sends an exit signal (`exit/2`). */
  exit(to: Pid, reason: Term): void {
    this.#self.exit(to, reason);
  }

  /** The group leader of a process of this node; `undefined` when there is no such process. */
  groupLeader(of: Pid): Pid | undefined {
    return this.#kernel.find(of)?.groupLeader;
  }

  /** Makes `leader` the group leader of a process, here or on another node. */
  setGroupLeader(leader: Pid, of: Pid): void {
    const kernel = this.#kernel;
    if (kernel.isLocal(of)) {
      const process = kernel.find(of);
      if (process !== undefined) process.groupLeader = leader;
    } else kernel.signal(this.#self, of.node, { type: "groupLeader", from: this.#self.pid, to: of, leader });
  }

  /** Ends all processes, with the reason `noconnection` for their links elsewhere, as when a node goes down. */
  close(): void {
    for (const process of [...this.#kernel.processes.values()]) {
      this.#kernel.exits.terminate(process, noconnection);
    }
  }
}
