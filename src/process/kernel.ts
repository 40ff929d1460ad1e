import { MeshError } from "../base/errors.ts";
import { Queue } from "../base/queue.ts";
import type { Instant } from "../base/time.ts";
import { Pid, Reference, type Term } from "../etf/index.ts";
import { Asks } from "./asks.ts";
import { type Deadline, Deadlines } from "./deadlines.ts";
import { noconnection, ProcessExit } from "./exit.ts";
import { Exits } from "./exits.ts";
import { Exports } from "./exports.ts";
import { Flow } from "./flow.ts";
import { Links } from "./links.ts";
import { Monitors } from "./monitors.ts";
import { Nodes } from "./nodes.ts";
import type { ResolvedProcessOptions } from "./options.ts";
import { Peers } from "./peers.ts";
import { Process } from "./process.ts";
import { Registry } from "./registry.ts";
import { Rpc } from "./rpc.ts";
import { Scheduler } from "./scheduler.ts";
import type { Signal } from "./signals.ts";
import { Spawner } from "./spawn.ts";
import type { Destination, ProcessBody, SpawnOptions } from "./types.ts";
import { Wait } from "./wait.ts";

/** What the runtime wants done. */
export type ProcessOutput =
  /** A mailbox is over its marks (or below half of them again): stop (go on) reading this incoming stream. */
  | { readonly type: "pause" | "resume"; readonly node: string; readonly stream: number }
  /** Somebody wants to know when `node` goes down: connect, or answer with the input `nodeDown`. */
  | { readonly type: "connect"; readonly node: string }
  /** A signal that must not be lost could not be queued: close the link. */
  | { readonly type: "disconnect"; readonly node: string; readonly error: Error }
  /** A process threw, for the log. */
  | { readonly type: "crash"; readonly pid: Pid; readonly name: string | undefined; readonly reason: Term }
  /** The node's own process got a message: what `spawnOn`, `link` or `monitor` of the node itself brings. */
  | { readonly type: "message"; readonly message: Term };

export interface ProcessCounters {
  /** Signals by which a node spoke for a process that is not its own. */
  forged: number;
  /** Signals for another node, or for an earlier life of this one. */
  misrouted: number;
  /** Messages to nobody. */
  undelivered: number;
  /** Processes that exited because their mailbox was full. */
  mailboxOverflows: number;
  /** `onExit` callbacks that threw. */
  failedCallbacks: number;
  pauses: number;
  refusedLinks: number;
  refusedMonitors: number;
  refusedCalls: number;
  refusedSpawns: number;
  /** Signals that could not be queued, each the end of its link. */
  lostSignals: number;
}

/** Ids fill 28 bits, as old Erlang nodes expect, then the serial counts on. */
const idsPerSerial = 2 ** 28;
/** The first word of a reference has 18 bits that count, the second 32. */
const firstWords = 2 ** 18;

/** What the machines of the process runtime share: the process table, and each other. */
export class Kernel {
  readonly options: ResolvedProcessOptions;
  readonly deadlines = new Deadlines();
  readonly scheduler: Scheduler;
  readonly peers = new Peers();
  readonly names = new Registry();
  readonly exports = new Exports();
  readonly exits: Exits;
  readonly links: Links;
  readonly monitors: Monitors;
  readonly nodes: Nodes;
  readonly asks: Asks;
  readonly flow: Flow;
  readonly rpc: Rpc;
  readonly spawner: Spawner;
  readonly counters: ProcessCounters = {
    forged: 0,
    misrouted: 0,
    undelivered: 0,
    mailboxOverflows: 0,
    failedCallbacks: 0,
    pauses: 0,
    refusedLinks: 0,
    refusedMonitors: 0,
    refusedCalls: 0,
    refusedSpawns: 0,
    lostSignals: 0,
  };
  readonly processes = new Map<number, Process>();
  readonly outputs = new Queue<ProcessOutput>();
  /** Where output goes that no group leader of another node takes. Set by the runtime. */
  user!: Pid;
  /** True while `handle` runs, after which the driver polls anyway. */
  handling = false;
  #announced: Instant | undefined;
  #processNumber = 0;
  #referenceNumber = 0;

  constructor(options: ResolvedProcessOptions) {
    this.options = options;
    this.scheduler = new Scheduler(options.wakeUpsPerTurn, options.later);
    this.exits = new Exits(this);
    this.links = new Links(this);
    this.monitors = new Monitors(this);
    this.nodes = new Nodes(this);
    this.asks = new Asks(this);
    this.flow = new Flow(this);
    this.rpc = new Rpc(this);
    this.spawner = new Spawner(this);
  }

  // --- Effects ---

  output(output: ProcessOutput): void {
    this.outputs.push(output);
    if (!this.handling && this.outputs.length === 1) this.options.wake();
  }

  now(): Instant {
    return this.options.clock();
  }

  setDeadline(deadline: Deadline, due: Instant): void {
    this.deadlines.set(deadline, due);
    this.deadlineSet(due);
  }

  /** Tells the driver about a deadline at `due` when it is earlier than the one it knows. */
  deadlineSet(due: Instant | undefined = this.deadlines.next()): void {
    if (due === undefined || this.handling) return;
    if (this.#announced !== undefined && this.#announced <= due) return;
    this.#announced = due;
    this.options.wake();
  }

  /** The next deadline, which the driver knows from now on. */
  announceDeadline(): Instant | undefined {
    this.#announced = this.deadlines.next();
    return this.#announced;
  }

  /** Something that `owner` awaits: fails when it exits. */
  wait<Value>(owner: Process, what: string): Wait<Value> {
    const wait = new Wait<Value>(this.deadlines, what);
    const waits = (owner.waits ??= new Set());
    const entry = wait as unknown as Wait<never>;
    waits.add(entry);
    wait.onSettled = () => waits.delete(entry);
    return wait;
  }

  // --- Processes ---

  spawn(parent: Process | undefined, body: ProcessBody, options: SpawnOptions = {}): Process {
    const process = this.create(body, options.groupLeader ?? parent?.groupLeader ?? this.user);
    if (options.mailboxHighWater !== undefined) process.mailboxHighWater = options.mailboxHighWater;
    if (options.name !== undefined) {
      try {
        this.names.register(options.name, process);
      } catch (error) {
        this.exits.terminate(process, undefined);
        throw error;
      }
    }
    if (options.link === true && parent !== undefined) this.links.link(parent, process.pid);
    this.scheduler.soon(process);
    return process;
  }

  /** A process that does not run yet; without `body` it never will. */
  create(body: ProcessBody | undefined, groupLeader: Pid | undefined): Process {
    if (this.processes.size >= this.options.processesMax) {
      throw new MeshError("LIMIT", `${this.options.processesMax} processes are alive already`);
    }
    const number = ++this.#processNumber;
    const { node, creation } = this.options;
    const pid = new Pid(node, number % idsPerSerial, Math.floor(number / idsPerSerial), creation);
    const process = new Process(this, pid, number, groupLeader ?? pid, body);
    this.processes.set(number, process);
    return process;
  }

  /** The live process of this node with this pid. */
  find(pid: Pid): Process | undefined {
    const { node, creation } = this.options;
    if (pid.creation !== creation || pid.node !== node) return undefined;
    const process = this.processes.get(this.numberOf(pid));
    // An id beyond 28 bits, made up by a peer, could pass for another serial.
    return process !== undefined && process.pid.id === pid.id ? process : undefined;
  }

  /** The number of the process that has, or had, this pid. */
  numberOf(pid: Pid): number {
    return pid.serial * idsPerSerial + pid.id;
  }

  isLocal(pid: Pid): boolean {
    return pid.node === this.options.node;
  }

  /** The stream for the signals of a process, which also those for a process long dead must take. */
  laneOf(number: number): number {
    return 1 + (number % (this.options.lanes - 1));
  }

  makeReference(flags = 0): Reference {
    const number = this.#referenceNumber++;
    const ids = [number % firstWords, Math.floor(number / firstWords), flags];
    return new Reference(this.options.node, this.options.creation, ids);
  }

  /** The number of a reference made here; `undefined` for all others. */
  referenceNumber(ref: Reference): number | undefined {
    const { node, creation } = this.options;
    if (ref.creation !== creation || ref.ids.length !== 3 || ref.node !== node) return undefined;
    return (ref.ids[1] as number) * firstWords + (ref.ids[0] as number);
  }

  // --- Sending ---

  /** @throws MeshError `NO_PROCESS`, `ENCODE`, `LIMIT`. */
  send(from: Process, to: Destination, message: Term): boolean {
    if (to instanceof Pid) {
      if (to.node !== this.options.node) {
        return this.signal(from, to.node, { type: "send", from: from.pid, to, message });
      }
      return this.#deliver(this.find(to), message);
    }
    if (typeof to === "string") {
      const process = this.names.find(to);
      if (process === undefined) throw new MeshError("NO_PROCESS", `no process is registered as ${to}`);
      return process.deliver(message, 0);
    }
    if (to.node === this.options.node) return this.#deliver(this.names.find(to.name), message);
    return this.signal(from, to.node, { type: "regSend", from: from.pid, name: to.name, message });
  }

  #deliver(to: Process | undefined, message: Term): boolean {
    if (to !== undefined) return to.deliver(message, 0);
    this.counters.undelivered++;
    return true;
  }

  /** A signal that `from` wants to send; its failure is the sender's. */
  signal(from: Process, node: string, signal: Signal): boolean {
    const open = this.options.sink.send(node, from.lane, from.orderKey, signal);
    if (!open) this.peers.get(node).block(from.lane);
    return open;
  }

  /**
   * A signal that others rely on. When the links cannot take it, the link is given up: then both sides get
   * `noconnection`, which is true, where silence would not be.
   */
  signalSurely(node: string, lane: number, key: number, signal: Signal): void {
    try {
      this.options.sink.send(node, lane, key, signal);
    } catch (error) {
      this.counters.lostSignals++;
      this.output({ type: "disconnect", node, error: error as Error });
    }
  }

  /** As `signalSurely`, with a reason that may be too long or no term: then `fallback` goes instead. */
  signalReason(node: string, lane: number, key: number, signal: Signal, fallback: Signal): void {
    try {
      this.options.sink.send(node, lane, key, signal);
    } catch {
      this.signalSurely(node, lane, key, fallback);
    }
  }

  /** The error for a process that cannot be reached any more, or exited. */
  exitError(what: string, reason: Term): Error {
    const cause = new ProcessExit(reason);
    if (reason === noconnection)
      return new MeshError("PEER_UNREACHABLE", `${what}: its node is gone`, { cause });
    return new MeshError("NO_PROCESS", `${what}: ${cause.message}`, { cause });
  }
}
