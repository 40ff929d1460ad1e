import { MeshError, toError } from "../base/errors.ts";
import { after } from "../base/time.ts";
import { type Atom, atom, equals, Pid, type Reference, type Term, Tuple, tuple } from "../etf/index.ts";
import { isDownMessage, isExitMessage, kill, normal, ProcessExit, reasonOf } from "./exit.ts";
import { matches, samePid } from "./match.ts";
import type { Process } from "./process.ts";
import type { Destination, Self, SpawnOptions, TimeoutOptions } from "./types.ts";

const genCall = atom("$gen_call");
const genCast = atom("$gen_cast");
const system = atom("system");
const terminateTag = atom("terminate");
const ok = atom("ok");
const error = atom("error");
const unknownSystemMessage = atom("unknown_system_msg");
const start = atom("$macula_start");

/** What `handleCall` returns to answer later, with `this.reply`. */
export const noReply: unique symbol = Symbol("no reply");

/** Who asked, for `this.reply`: Erlang's `{Pid, Tag}`. */
export interface From {
  readonly pid: Pid;
  readonly tag: Term;
}

export type Reply = Term | typeof noReply;

export interface StartOptions extends TimeoutOptions, Pick<SpawnOptions, "name" | "groupLeader"> {
  /** Links the server with the process that starts it. Default true, as `start_link`. */
  readonly link?: boolean;
}

/** Who starts or calls a server: a process by its `self`, or a node. */
export type Caller = Self | { readonly self: Self };

/** A class of servers. */
export type GenServerClass<Args extends readonly unknown[]> = new () => GenServer & {
  init(...args: Args): unknown;
};

/**
 * A process that answers requests one by one and keeps state in its fields: Erlang's `gen_server`, with whose messages
 * it works, so that Erlang processes can call it and be called. Override what is needed.
 *
 * ```ts
 * class Counter extends GenServer {
 *   #count = 0;
 *   override handleCall(request: Term): Reply { return request === "next" ? ++this.#count : this.#count; }
 * }
 * const counter = await GenServer.start(node, Counter, [], { name: "counter" });
 * await GenServer.call(node, "counter", "next"); // 1
 * ```
 */
export abstract class GenServer {
  /** The server's own process; there from `init` on. */
  protected self!: Self;
  #stop: { readonly reason: Term } | undefined;

  /** Called first, with the arguments of `start`, which waits for it. What it throws is what `start` rejects with. */
  init(..._args: never[]): unknown {
    return undefined;
  }

  /**
   * A request of `call`. Returns the answer, or `noReply` when `this.reply(from, …)` gives it later. A throw ends the server.
   */
  handleCall(_request: Term, _from: From): Reply | Promise<Reply> {
    throw new ProcessExit(atom("bad_call"));
  }

  /** A request of `cast`. */
  handleCast(_request: Term): unknown {
    throw new ProcessExit(atom("bad_cast"));
  }

  /** Any other message. The default drops it. */
  handleInfo(_message: Term): unknown {
    return undefined;
  }

  /**
   * Called last: after `stop`, after a throw, and when the process that started the server exits. An exit signal ends the
   * server without it, unless `self.trapExit` is set.
   */
  terminate(_reason: Term): unknown {
    return undefined;
  }

  // --- What they can use ---

  /** Ends the server when the function that is being called has returned, after its answer. */
  protected stop(reason: Term = normal): void {
    this.#stop ??= { reason };
  }

  /** Answers a call. */
  protected reply(from: From, reply: Term): void {
    // Each `Self` is one.
    (this.self as Process).answer(from.pid, tuple(from.tag, reply));
  }

  // --- For those who use servers ---

  /**
   * Starts a server and waits until its `init` is done. When that fails, the caller is told here and only here.
   * @throws ProcessExit with the reason when `init` failed; MeshError `LIMIT` when the name is taken, `TIMEOUT`.
   */
  static async start<Args extends readonly unknown[]>(
    caller: Caller,
    serverClass: GenServerClass<Args>,
    args: Args,
    { link = true, timeoutMs = Number.POSITIVE_INFINITY, ...options }: StartOptions = {},
  ): Promise<Pid> {
    const starter = selfOf(caller);
    const parent = link ? starter.pid : undefined;
    const pid = starter.spawn((self) => new serverClass().#run(self, args, parent), { ...options, link });
    try {
      // The server answers when it is ready; the monitor tells when it dies before.
      await starter.ask(pid, (ref) => tuple(start, tuple(starter.pid, ref), null), { timeoutMs });
    } catch (failure) {
      if (failure instanceof MeshError && failure.code === "TIMEOUT") {
        starter.unlink(pid);
        starter.exit(pid, kill);
      }
      throw failure instanceof MeshError && failure.cause instanceof ProcessExit ? failure.cause : failure;
    }
    return pid;
  }

  /**
   * Asks a server, of this node or another, TypeScript or Erlang (`gen_server:call/3`).
   * @throws MeshError `TIMEOUT`; `NO_PROCESS` when it is not there or dies before it answers (`cause.reason` tells why);
   *   `PEER_UNREACHABLE`.
   */
  static call(caller: Caller, to: Destination, request: Term, options?: TimeoutOptions): Promise<Term> {
    const self = selfOf(caller);
    return self.ask(to, (ref) => tuple(genCall, tuple(self.pid, ref), request), options);
  }

  /** Tells a server something without an answer (`gen_server:cast/2`). Nobody being there is no error. */
  static cast(caller: Caller, to: Destination, request: Term): void {
    const self = selfOf(caller);
    self.send(typeof to === "string" ? { name: to, node: self.node } : to, tuple(genCast, request));
  }

  /**
   * Ends a server and waits for its end (`gen_server:stop/3`). `timeoutMs` bounds both together.
   * @throws MeshError as `call`; `NO_PROCESS` also when it ends with another reason.
   */
  static stop(
    caller: Caller,
    to: Destination,
    reason: Term = normal,
    { timeoutMs = 5_000 }: TimeoutOptions = {},
  ): Promise<void> {
    const starter = selfOf(caller);
    // A process of its own waits for the end: in the caller's mailbox no message of it is ever seen.
    return new Promise((resolve, reject) => {
      starter.spawn(async (self) => {
        try {
          resolve(await stopAndWait(self, to, reason, timeoutMs));
        } catch (failure) {
          reject(toError(failure));
        }
      });
    });
  }

  // --- The process ---

  async #run(self: Self, args: readonly unknown[], parent: Pid | undefined): Promise<void> {
    this.self = self;
    try {
      // `start` knows, by the types, what this class's `init` takes.
      await (this.init as (...args: unknown[]) => unknown).call(this, ...args);
    } catch (thrown) {
      if (self.alive && parent !== undefined) self.unlink(parent);
      throw thrown;
    }
    let reason: Term;
    try {
      reason = await this.#serve(parent);
    } catch (thrown) {
      // Ended by a signal, a process does nothing more.
      if (self.alive) await this.terminate(reasonOf(thrown));
      throw thrown;
    }
    await this.terminate(reason);
    self.exit(reason);
  }

  /** Handles messages until there is a reason to stop. */
  async #serve(parent: Pid | undefined): Promise<Term> {
    while (this.#stop === undefined) {
      const message = await this.self.receive();
      if (parent !== undefined && isExitOf(message, parent)) return message.elements[2];
      await this.#handle(message);
    }
    return this.#stop.reason;
  }

  async #handle(message: Term): Promise<void> {
    const [tag, first, second] = message instanceof Tuple ? message.elements : [];
    const length = message instanceof Tuple ? message.length : 0;
    if (length === 2 && tag === genCast) {
      await this.handleCast(first);
      return;
    }
    const from =
      length === 3 && (tag === genCall || tag === system || tag === start) ? asFrom(first) : undefined;
    if (from === undefined) await this.handleInfo(message);
    else if (tag === start) this.reply(from, ok);
    else if (tag === system) this.#onSystem(second, from);
    else {
      const reply = await this.handleCall(second, from);
      if (reply !== noReply) this.reply(from, reply);
    }
  }

  /** Of OTP's system messages `terminate` is understood; others are refused as OTP refuses those it does not know. */
  #onSystem(request: Term, from: From): void {
    if (request instanceof Tuple && request.length === 2 && request.elements[0] === terminateTag) {
      this.reply(from, ok);
      this.stop(request.elements[1]);
    } else this.reply(from, tuple(error, tuple(unknownSystemMessage, request)));
  }
}

/** As OTP's `sys:terminate`: the server answers `ok` first, then ends. */
async function stopAndWait(self: Self, to: Destination, reason: Term, timeoutMs: number): Promise<void> {
  const target = typeof to === "string" ? { name: to, node: self.node } : to;
  const due = after(self.now(), timeoutMs);
  const ref = self.monitor(target);
  const request = (tag: Reference): Term => tuple(system, tuple(self.pid, tag), tuple(terminateTag, reason));
  try {
    await self.ask(target, request, { timeoutMs });
  } catch (failure) {
    // It ended without the answer.
    if (!(failure instanceof MeshError && failure.cause instanceof ProcessExit)) throw failure;
    if (equals(failure.cause.reason, reason)) return;
    throw failure;
  }
  const isEnd = (message: Term): message is Tuple =>
    isDownMessage(message) && matches(ref, message.elements[1]);
  const { elements } = await self.receive(isEnd, { timeoutMs: Math.max(0, due - self.now()) });
  const ended = elements[4];
  if (equals(ended, reason)) return;
  const cause = new ProcessExit(ended);
  throw new MeshError("NO_PROCESS", `it was to end with another reason: ${cause.message}`, { cause });
}

function selfOf(caller: Caller): Self {
  return "self" in caller ? caller.self : caller;
}

function asFrom(term: Term | undefined): From | undefined {
  if (!(term instanceof Tuple) || term.length !== 2) return undefined;
  const [pid, tag] = term.elements;
  return pid instanceof Pid ? { pid, tag } : undefined;
}

function isExitOf(message: Term, pid: Pid): message is Tuple<readonly [Atom, Term, Term]> {
  return isExitMessage(message) && message.elements[1] instanceof Pid && samePid(message.elements[1], pid);
}
