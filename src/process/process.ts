import { MeshError } from "../base/errors.ts";
import { after, type Instant } from "../base/time.ts";
import { atom, Pid, type Reference, type Term, tuple } from "../etf/index.ts";
import { normal, ProcessExit, reasonOf } from "./exit.ts";
import { print } from "./group-leader.ts";
import type { Kernel } from "./kernel.ts";
import type { RemoteLink } from "./links.ts";
import type { Watch } from "./monitors.ts";
import { Receiver, rejected } from "./receiver.ts";
import type {
  DemonitorOptions,
  Destination,
  ProcessBody,
  Self,
  SpawnOnOptions,
  SpawnOptions,
  TimeoutOptions,
} from "./types.ts";
import type { Wait } from "./wait.ts";

const mailboxLimit = tuple(atom("system_limit"), atom("mailbox"));

/**
 * One process: what it receives, and the records that the machines of the kernel keep about it. To its function it
 * shows itself as `Self`. 100,000 of them must be cheap, so whatever few processes have is made when needed.
 */
export class Process extends Receiver implements Self {
  /** Stream of its signals to other nodes, and the key of their order within: both follow from the pid. */
  readonly lane: number;
  readonly orderKey: number;
  trapExit = false;
  groupLeader: Pid;
  name: string | undefined;
  links: Set<Process> | undefined;
  remoteLinks: Map<string, RemoteLink> | undefined;
  /** The monitors that it holds, by number of their reference. */
  watches: Map<number, Watch> | undefined;
  watchedBy: Set<Watch> | undefined;
  /** Everything it awaits but for `receive`. */
  waits: Set<Wait<never>> | undefined;
  /** It called `monitorNode` or `monitorNodes`. */
  watchesNodes = false;
  exitCallbacks: Set<(reason: Term) => void> | undefined;
  /** Senders of this node that wait for its mailbox. */
  crowd: Wait<void>[] | undefined;

  #body: ProcessBody | undefined;

  constructor(kernel: Kernel, pid: Pid, number: number, groupLeader: Pid, body: ProcessBody | undefined) {
    super(kernel, pid);
    this.lane = kernel.laneOf(number);
    this.orderKey = number;
    this.groupLeader = groupLeader;
    this.#body = body;
  }

  // --- What the kernel does with it ---

  get node(): string {
    return this.kernel.options.node;
  }

  get status(): "starting" | "waiting" | "running" {
    if (this.#body !== undefined) return "starting";
    return this.isWaiting ? "waiting" : "running";
  }

  /** Starts it, or lets its deferred receive look on. */
  override run(): void {
    if (!this.alive) return;
    if (this.#body === undefined) super.run();
    else this.#start(this.#body);
  }

  /** The process is no more: whatever waits in it rejects. Called by `Exits` only. */
  end(reason: Term): void {
    this.alive = false;
    this.exitReason = reason;
    this.#body = undefined;
    this.endReceiving(reason);
  }

  protected override onStarved(): void {
    this.kernel.flow.resume(this);
  }

  protected override onRelieved(): void {
    this.kernel.flow.relieve(this);
  }

  protected override onOverflow(): void {
    this.kernel.counters.mailboxOverflows++;
    this.kernel.exits.terminate(this, mailboxLimit);
  }

  // --- Running ---

  #start(body: ProcessBody): void {
    this.#body = undefined;
    let result: unknown;
    try {
      result = body(this);
    } catch (thrown) {
      this.#threw(thrown);
      return;
    }
    if (!isThenable(result)) this.#returned();
    else {
      // Both callbacks are given at once, so that no rejection is left without a handler.
      result.then(
        () => this.#returned(),
        (thrown: unknown) => this.#threw(thrown),
      );
    }
  }

  #returned(): void {
    if (this.alive) this.kernel.exits.terminate(this, normal);
  }

  #threw(thrown: unknown): void {
    const reason = reasonOf(thrown);
    if (!(thrown instanceof ProcessExit)) {
      this.kernel.output({ type: "crash", pid: this.pid, name: this.name, reason });
    }
    if (this.alive) this.kernel.exits.terminate(this, reason);
  }

  // --- What its function can do ---

  send(to: Destination, message: Term): boolean {
    this.#mustLive();
    return this.kernel.send(this, this.#canonical(to), message);
  }

  /**
   * As `send`, to one that has asked. Threat: it asks and asks, and its node does not read. When nothing more is taken for
   * that node, its connection ends, since a signal of it is lost, and not this process, which others ask as well.
   */
  answer(to: Pid, message: Term): void {
    const { kernel } = this;
    try {
      this.send(to, message);
    } catch (error) {
      const isBehind = kernel.peers.find(to.node)?.blocked.has(this.lane) === true;
      if (!isBehind || !(error instanceof MeshError) || error.code !== "LIMIT") throw error;
      kernel.counters.lostSignals++;
      kernel.output({ type: "disconnect", node: to.node, error });
    }
  }

  drained(to: Destination): Promise<void> {
    return this.#attempt(() => this.kernel.flow.drained(this, this.#canonical(to)));
  }

  sleep(milliseconds: number): Promise<void> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    const wait = this.kernel.wait<void>(this, "sleep");
    wait.until(after(this.kernel.now(), milliseconds), () => wait.succeed());
    this.kernel.deadlineSet();
    return wait.promise;
  }

  spawn(body: ProcessBody, options?: SpawnOptions): Pid {
    this.#mustLive();
    return this.kernel.spawn(this, body, options).pid;
  }

  spawnLink(body: ProcessBody, options?: SpawnOptions): Pid {
    return this.spawn(body, { ...options, link: true });
  }

  spawnMonitor(body: ProcessBody, options?: SpawnOptions): { readonly pid: Pid; readonly ref: Reference } {
    const pid = this.spawn(body, options);
    return { pid, ref: this.monitor(pid) };
  }

  spawnOn(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: SpawnOnOptions,
  ): Promise<Pid> {
    return this.#attempt(() =>
      this.kernel.spawner.request(this, this.#node(node), module, name, args, options),
    );
  }

  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term> {
    return this.#attempt(() => this.kernel.rpc.call(this, this.#node(node), module, name, args, options));
  }

  link(pid: Pid): void {
    this.#mustLive();
    this.kernel.links.link(this, pid);
    this.#mustLive();
  }

  unlink(pid: Pid): void {
    this.#mustLive();
    this.kernel.links.unlink(this, pid);
  }

  monitor(target: Destination): Reference {
    this.#mustLive();
    return this.kernel.monitors.monitor(this, this.#canonical(target), this.kernel.makeReference());
  }

  demonitor(ref: Reference, options?: DemonitorOptions): boolean {
    this.#mustLive();
    return this.kernel.monitors.demonitor(this, ref, options?.flush ?? false);
  }

  monitorNode(node: string, flag = true): void {
    this.#mustLive();
    this.kernel.nodes.monitorNode(this, this.#node(node), flag);
  }

  monitorNodes(flag = true): void {
    this.#mustLive();
    this.kernel.nodes.monitorNodes(this, flag);
  }

  exit(reason: Term): never;
  exit(to: Pid, reason: Term): void;
  exit(...args: [Term] | [Pid, Term]): void {
    if (args.length === 1) throw new ProcessExit(args[0]);
    this.#mustLive();
    this.kernel.exits.exit(this, args[0], args[1]);
    // It may have been for this process.
    this.#mustLive();
  }

  onExit(callback: (reason: Term) => void): () => void {
    this.#mustLive();
    this.exitCallbacks ??= new Set();
    this.exitCallbacks.add(callback);
    return () => void this.exitCallbacks?.delete(callback);
  }

  registerName(name: string, pid: Pid): void {
    this.#mustLive();
    this.kernel.names.register(name, this.kernel.find(pid));
  }

  unregister(name: string): void {
    this.#mustLive();
    this.kernel.names.unregister(name);
  }

  whereis(name: string): Pid | undefined {
    return this.kernel.names.find(name)?.pid;
  }

  makeReference(): Reference {
    return this.kernel.makeReference();
  }

  now(): Instant {
    return this.kernel.now();
  }

  print(text: string): Promise<void> {
    return print(this, text);
  }

  ask(to: Destination, request: (ref: Reference) => Term, options?: TimeoutOptions): Promise<Term> {
    return this.#attempt(() => this.kernel.asks.ask(this, this.#canonical(to), request, options));
  }

  /** For what answers with a promise: its failures are all rejections. */
  #attempt<Value>(act: () => Promise<Value>): Promise<Value> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    try {
      return act();
    } catch (thrown) {
      return rejected(thrown);
    }
  }

  #canonical(to: Destination): Destination {
    if (typeof to === "string" || to instanceof Pid) return to;
    const node = this.#node(to.node);
    return node === to.node ? to : { name: to.name, node };
  }

  #node(name: string): string {
    return this.kernel.options.canonicalNode(name);
  }

  #mustLive(): void {
    if (!this.alive) throw new ProcessExit(this.exitReason);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
