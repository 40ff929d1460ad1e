import { MeshError, toError } from "../base/errors.ts";
import { after, type Instant } from "../base/time.ts";
import { atom, type Pid, type Reference, type Term, tuple } from "../etf/index.ts";
import type { Ask } from "./asks.ts";
import type { Deadline } from "./deadlines.ts";
import { normal, ProcessExit, reasonOf } from "./exit.ts";
import { print } from "./group-leader.ts";
import type { Kernel } from "./kernel.ts";
import type { RemoteLink } from "./links.ts";
import { Mailbox } from "./mailbox.ts";
import { matches, type Pattern } from "./match.ts";
import type { Watch } from "./monitors.ts";
import type { Runnable } from "./scheduler.ts";
import type {
  DemonitorOptions,
  Destination,
  ProcessBody,
  ReceiveOptions,
  Self,
  SpawnOnOptions,
  SpawnOptions,
  TimeoutOptions,
} from "./types.ts";
import type { Wait } from "./wait.ts";

const mailboxLimit = tuple(atom("system_limit"), atom("mailbox"));
const ignore = (): void => undefined;

/**
 * One process: its mailbox and its waiting receive, and the records that the machines of the kernel keep about it. To
 * its function it shows itself as `Self`. 100,000 of them must be cheap, so whatever few processes have is made when needed.
 */
export class Process implements Self, Deadline, Runnable {
  readonly pid: Pid;
  readonly kernel: Kernel;
  /** Stream of its signals to other nodes, and the key of their order within: both follow from the pid. */
  readonly lane: number;
  readonly orderKey: number;
  trapExit = false;
  groupLeader: Pid;
  alive = true;
  exitReason: Term;
  name: string | undefined;
  mailboxHighWater: number;

  /** For processes that are part of the node: gets each message instead of a mailbox, and exit signals pass them by. */
  handler: ((message: Term) => void) | undefined;
  links: Set<Process> | undefined;
  remoteLinks: Map<string, RemoteLink> | undefined;
  /** The monitors that it holds, by number of their reference. */
  watches: Map<number, Watch> | undefined;
  watchedBy: Set<Watch> | undefined;
  /** Its questions without an answer, by number of their reference; `undefined`: it never asked. */
  asks: Map<number, Ask> | undefined;
  /** Everything it awaits but for `receive`. */
  waits: Set<Wait<never>> | undefined;
  /** Spawn requests without a reply. */
  spawning = 0;
  /** It called `monitorNode` or `monitorNodes`. */
  watchesNodes = false;
  exitCallbacks: Set<(reason: Term) => void> | undefined;
  /** Incoming streams that stopped for its mailbox. */
  pausedStreams: Set<string> | undefined;
  /** Senders of this node that wait for its mailbox. */
  crowd: Wait<void>[] | undefined;

  due: Instant | undefined;
  slot = -1;
  key = 0;
  order = 0;

  #body: ProcessBody | undefined;
  #mailbox: Mailbox | undefined;
  #crowded = false;
  /** The waiting receive. */
  #resolve: ((message: Term) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  #promise: Promise<Term> | undefined;
  #pattern: Pattern | undefined;
  /** How many messages of the mailbox the waiting receive has looked at. */
  #scanned = 0;
  /** It will look on in the next turn. */
  #deferred = false;

  constructor(kernel: Kernel, pid: Pid, number: number, groupLeader: Pid, body: ProcessBody | undefined) {
    this.kernel = kernel;
    this.pid = pid;
    this.lane = kernel.laneOf(number);
    this.orderKey = number;
    this.groupLeader = groupLeader;
    this.mailboxHighWater = kernel.options.mailboxHighWater;
    this.#body = body;
  }

  // --- What the kernel does with it ---

  get node(): string {
    return this.kernel.options.node;
  }

  get mailboxLength(): number {
    return this.#mailbox?.length ?? 0;
  }

  get mailboxBytes(): number {
    return this.#mailbox?.bytes ?? 0;
  }

  get status(): "starting" | "waiting" | "running" {
    if (this.#body !== undefined) return "starting";
    return this.#resolve === undefined ? "running" : "waiting";
  }

  /**
   * It waits for something that only more input can bring: a message unlike those in the mailbox, or an answer. Then
   * its full mailbox must not hold up anything, or it would wait for ever.
   */
  get starved(): boolean {
    return (
      (this.#resolve !== undefined && !this.#deferred) || this.spawning > 0 || (this.asks?.size ?? 0) > 0
    );
  }

  /**
   * Puts a message into the mailbox, or gives it to the receive that waits for it.
   * @param bytes its size on the wire; 0 for messages of this node.
   * @returns false when the mailbox is over its high-water mark.
   */
  deliver(message: Term, bytes: number): boolean {
    if (!this.alive) return true;
    if (this.handler !== undefined) {
      this.handler(message);
      return true;
    }
    if (this.asks !== undefined && this.kernel.asks.take(this, message)) return true;
    if (this.#resolve !== undefined && !this.#deferred) {
      if (this.#wants(message)) {
        if (this.kernel.scheduler.take()) {
          this.#received(message);
          return true;
        }
        this.#deferred = true;
        this.kernel.scheduler.nextTurn(this);
      } else this.#scanned++;
      // A pattern that threw has ended the receive.
      if (!this.alive) return true;
    }
    this.#mailbox ??= new Mailbox();
    this.#mailbox.push(message, bytes);
    return this.#mailbox.length < this.mailboxHighWater && bytes === 0 ? true : this.#hasRoom(this.#mailbox);
  }

  /** Starts it, or lets its deferred receive look on. */
  run(): void {
    if (!this.alive) return;
    if (this.#body !== undefined) this.#start(this.#body);
    else if (this.#deferred) {
      this.#deferred = false;
      this.#lookOn();
    }
  }

  /** The process is no more: whatever waits in it rejects. Called by `Exits` only. */
  end(reason: Term): void {
    this.alive = false;
    this.exitReason = reason;
    this.#body = undefined;
    this.#mailbox = undefined;
    this.kernel.deadlines.remove(this);
    if (this.#reject !== undefined) this.#failReceive(new ProcessExit(reason));
  }

  /** Time is over for the waiting receive. */
  onDue(): void {
    if (this.#resolve !== undefined) this.#failReceive(new MeshError("TIMEOUT", "no such message in time"));
  }

  /** Removes the first message that `wanted` accepts. */
  discard(wanted: (message: Term) => boolean): boolean {
    for (let index = 0; index < this.mailboxLength; index++) {
      if (!wanted(this.#mailbox?.at(index))) continue;
      this.#take(index);
      if (index < this.#scanned) this.#scanned--;
      return true;
    }
    return false;
  }

  // --- Receiving ---

  receive(options?: ReceiveOptions): Promise<Term>;
  receive<Message extends Term>(pattern: Pattern<Message>, options?: ReceiveOptions): Promise<Message>;
  receive(first?: unknown, second?: ReceiveOptions): Promise<Term> {
    if (first === undefined && second === undefined) return this.#receive(undefined, undefined);
    if (second === undefined && isReceiveOptions(first)) return this.#receive(undefined, first.timeoutMs);
    return this.#receive(first as Pattern, second?.timeoutMs);
  }

  #receive(pattern: Pattern | undefined, timeoutMs: number | undefined): Promise<Term> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    if (this.#resolve !== undefined) {
      return rejected(new MeshError("UNSUPPORTED", "this process is already waiting in a receive"));
    }
    if (pattern === undefined && this.#mailbox !== undefined && this.#mailbox.length > 0) {
      // The common case: the first message, already there.
      if (this.kernel.scheduler.take()) return Promise.resolve(this.#take(0));
    }
    return this.#wait(pattern, timeoutMs);
  }

  #wait(pattern: Pattern | undefined, timeoutMs: number | undefined): Promise<Term> {
    this.#pattern = pattern;
    this.#scanned = 0;
    const promise = new Promise<Term>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#promise = promise;
    if (timeoutMs !== undefined && timeoutMs > 0) {
      this.kernel.setDeadline(this, after(this.kernel.now(), timeoutMs));
    }
    if (this.mailboxLength > 0 && !this.kernel.scheduler.take()) {
      this.#deferred = true;
      this.kernel.scheduler.nextTurn(this);
      if (timeoutMs === 0) this.kernel.setDeadline(this, this.kernel.now());
      return promise;
    }
    this.#lookOn();
    if (timeoutMs === 0 && this.#promise === promise) this.onDue();
    return promise;
  }

  /** The waiting receive looks at the messages that it has not seen. */
  #lookOn(): void {
    const mailbox = this.#mailbox;
    while (mailbox !== undefined && this.#resolve !== undefined && this.#scanned < mailbox.length) {
      const index = this.#scanned;
      if (this.#wants(mailbox.at(index))) {
        this.#received(this.#take(index));
        return;
      }
      this.#scanned = index + 1;
    }
    if (this.pausedStreams !== undefined && this.starved) this.kernel.flow.resume(this);
  }

  /** Whether the waiting receive takes `message`. A predicate that throws makes the receive reject. */
  #wants(message: Term): boolean {
    if (this.#pattern === undefined) return true;
    try {
      return matches(this.#pattern, message);
    } catch (thrown) {
      if (this.#reject !== undefined) this.#failReceive(toError(thrown));
      return false;
    }
  }

  #received(message: Term): void {
    const resolve = this.#resolve;
    this.#endReceive();
    resolve?.(message);
  }

  #failReceive(error: Error): void {
    const reject = this.#reject;
    // The function may have dropped the promise; that must not become an unhandled rejection.
    this.#promise?.catch(ignore);
    this.#endReceive();
    reject?.(error);
  }

  #endReceive(): void {
    this.#resolve = undefined;
    this.#reject = undefined;
    this.#promise = undefined;
    this.#pattern = undefined;
    this.#deferred = false;
    if (this.due !== undefined) this.kernel.deadlines.clear(this);
  }

  /** Takes the message at `index` out of the mailbox. */
  #take(index: number): Term {
    const mailbox = this.#mailbox as Mailbox;
    const message = mailbox.take(index);
    if (this.#crowded && this.#isRelieved(mailbox)) {
      this.#crowded = false;
      this.kernel.flow.relieve(this);
    }
    return message;
  }

  /** Whether the mailbox is below its marks; ends the process when it is beyond its bounds. */
  #hasRoom(mailbox: Mailbox): boolean {
    const { mailboxHighWaterBytes, mailboxMax, mailboxMaxBytes } = this.kernel.options;
    if (mailbox.length < this.mailboxHighWater && mailbox.bytes < mailboxHighWaterBytes) return true;
    this.#crowded = true;
    if (mailbox.length <= mailboxMax && mailbox.bytes <= mailboxMaxBytes) return false;
    this.kernel.counters.mailboxOverflows++;
    this.kernel.exits.terminate(this, mailboxLimit);
    return true;
  }

  #isRelieved(mailbox: Mailbox): boolean {
    const { mailboxHighWaterBytes } = this.kernel.options;
    return mailbox.length * 2 <= this.mailboxHighWater && mailbox.bytes * 2 <= mailboxHighWaterBytes;
  }

  get crowded(): boolean {
    return this.#crowded;
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
    return this.kernel.send(this, to, message);
  }

  drained(to: Destination): Promise<void> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    return this.kernel.flow.drained(this, to);
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
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    return this.kernel.spawner.request(this, node, module, name, args, options);
  }

  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    return this.kernel.rpc.call(this, node, module, name, args, options);
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
    return this.kernel.monitors.monitor(this, target, this.kernel.makeReference());
  }

  demonitor(ref: Reference, options?: DemonitorOptions): boolean {
    this.#mustLive();
    return this.kernel.monitors.demonitor(this, ref, options?.flush ?? false);
  }

  monitorNode(node: string, flag = true): void {
    this.#mustLive();
    this.kernel.nodes.monitorNode(this, node, flag);
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

  print(text: string): Promise<void> {
    return print(this, text);
  }

  ask(to: Destination, request: (ref: Reference) => Term, options?: TimeoutOptions): Promise<Term> {
    if (!this.alive) return rejected(new ProcessExit(this.exitReason));
    return this.kernel.asks.ask(this, to, request, options);
  }

  #mustLive(): void {
    if (!this.alive) throw new ProcessExit(this.exitReason);
  }
}

function isReceiveOptions(value: unknown): value is ReceiveOptions {
  if (typeof value !== "object" || value === null) return false;
  return Object.getPrototypeOf(value) === Object.prototype;
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

/** A rejection that may go unnoticed. */
function rejected(error: Error): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(ignore);
  return promise;
}
