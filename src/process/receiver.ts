import { MeshError, toError } from "../base/errors.ts";
import { after, type Instant } from "../base/time.ts";
import type { Pid, Term } from "../etf/index.ts";
import type { Ask } from "./asks.ts";
import type { Deadline } from "./deadlines.ts";
import { ProcessExit } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import { Mailbox } from "./mailbox.ts";
import { matches, type Pattern } from "./match.ts";
import type { Runnable } from "./scheduler.ts";
import type { ReceiveOptions } from "./types.ts";

const ignore = (): void => undefined;

/** The receiving half of a process: its mailbox and the one receive that may be waiting for a message. */
export abstract class Receiver implements Deadline, Runnable {
  readonly pid: Pid;
  readonly kernel: Kernel;
  alive = true;
  exitReason: Term;
  /** For processes that are part of the node: gets each message instead of a mailbox, and exit signals pass them by. */
  handler: ((message: Term, node: string | undefined) => void) | undefined;
  mailboxHighWater: number;
  /** Its questions without an answer, by number of their reference; `undefined`: it never asked. */
  asks: Map<number, Ask> | undefined;
  /** Spawn requests without a reply. */
  spawning = 0;
  /** Incoming streams that stopped for its mailbox. */
  pausedStreams: Set<string> | undefined;

  due: Instant | undefined;
  slot = -1;
  key = 0;
  order = 0;

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

  constructor(kernel: Kernel, pid: Pid) {
    this.kernel = kernel;
    this.pid = pid;
    this.mailboxHighWater = kernel.options.mailboxHighWater;
  }

  /** It waits for a message that is not in the mailbox. */
  protected abstract onStarved(): void;
  /** The mailbox, once over its high-water mark, is below half of it. */
  protected abstract onRelieved(): void;
  /** The mailbox is beyond its bounds. */
  protected abstract onOverflow(): void;

  get mailboxLength(): number {
    return this.#mailbox?.length ?? 0;
  }

  get mailboxBytes(): number {
    return this.#mailbox?.bytes ?? 0;
  }

  /** The mailbox went over its high-water mark, and has not come below half of it since. */
  get crowded(): boolean {
    return this.#crowded;
  }

  get isWaiting(): boolean {
    return this.#resolve !== undefined;
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
   * @param node the node that it came from; `undefined` for this one.
   * @returns false when the mailbox is over its high-water mark.
   */
  deliver(message: Term, bytes: number, node?: string): boolean {
    if (!this.alive) return true;
    if (this.asks !== undefined && this.kernel.asks.take(this.asks, message)) return true;
    if (this.handler !== undefined) {
      this.handler(message, node);
      return true;
    }
    if (this.#resolve !== undefined && !this.#deferred && this.#offer(message)) return true;
    this.#mailbox ??= new Mailbox();
    this.#mailbox.push(message, bytes);
    return this.#mailbox.length < this.mailboxHighWater && bytes === 0 ? true : this.#hasRoom(this.#mailbox);
  }

  /** Gives `message` to the waiting receive, if that wants it and there is time in this turn. */
  #offer(message: Term): boolean {
    const wanted = this.#wants(message);
    // The pattern, which is the user's code, may have changed everything.
    if (this.#resolve === undefined) return !this.alive;
    if (!wanted) this.#scanned = this.mailboxLength + 1;
    else if (this.kernel.scheduler.take()) {
      this.#received(message);
      return true;
    } else this.#defer();
    return false;
  }

  /** Lets the deferred receive look on. */
  run(): void {
    if (!this.#deferred) return;
    this.#deferred = false;
    this.#lookOn();
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

  /** The process is no more. */
  protected endReceiving(reason: Term): void {
    this.#mailbox = undefined;
    this.kernel.deadlines.remove(this);
    if (this.#reject !== undefined) this.#failReceive(new ProcessExit(reason));
  }

  /** Its receive is to go on in the next turn. */
  #defer(): void {
    this.#deferred = true;
    this.kernel.scheduler.nextTurn(this);
  }

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
    if (this.handler !== undefined) {
      return rejected(
        new MeshError("UNSUPPORTED", "the node's own process has no mailbox: see the event message"),
      );
    }
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      return rejected(new RangeError(`timeoutMs must not be ${timeoutMs}`));
    }
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
    if (this.mailboxLength > 0 && !this.kernel.scheduler.take() && timeoutMs !== 0) {
      this.#defer();
      return promise;
    }
    this.#lookOn();
    if (timeoutMs === 0 && this.#promise === promise) {
      // A process that only ever looks must not stop the event loop either.
      if (this.kernel.scheduler.take()) this.onDue();
      else this.kernel.setDeadline(this, this.kernel.now());
    }
    return promise;
  }

  /** The waiting receive looks at the messages that it has not seen. */
  #lookOn(): void {
    while (this.#resolve !== undefined && this.#scanned < this.mailboxLength) {
      const index = this.#scanned;
      if (this.#wants(this.#mailbox?.at(index))) {
        this.#received(this.#take(index));
        return;
      }
      this.#scanned = index + 1;
    }
    if (this.pausedStreams !== undefined && this.starved) this.onStarved();
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

  #failReceive(failure: Error): void {
    const reject = this.#reject;
    // The function may have dropped the promise; that must not become an unhandled rejection.
    this.#promise?.catch(ignore);
    this.#endReceive();
    reject?.(failure);
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
      this.onRelieved();
    }
    return message;
  }

  /** Whether the mailbox is below its marks; ends the process when it is beyond its bounds. */
  #hasRoom(mailbox: Mailbox): boolean {
    const { mailboxHighWaterBytes, mailboxMax, mailboxMaxBytes } = this.kernel.options;
    if (mailbox.length < this.mailboxHighWater && mailbox.bytes < mailboxHighWaterBytes) return true;
    this.#crowded = true;
    if (mailbox.length <= mailboxMax && mailbox.bytes <= mailboxMaxBytes) return false;
    this.onOverflow();
    return true;
  }

  #isRelieved(mailbox: Mailbox): boolean {
    const { mailboxHighWaterBytes } = this.kernel.options;
    return mailbox.length * 2 <= this.mailboxHighWater && mailbox.bytes * 2 <= mailboxHighWaterBytes;
  }
}

function isReceiveOptions(value: unknown): value is ReceiveOptions {
  if (typeof value !== "object" || value === null) return false;
  return Object.getPrototypeOf(value) === Object.prototype;
}

/** A rejection that may go unnoticed. */
export function rejected(failure: unknown): Promise<never> {
  const promise = Promise.reject(failure);
  promise.catch(ignore);
  return promise;
}
