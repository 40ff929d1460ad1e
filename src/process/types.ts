import type { Instant } from "../base/time.ts";
import type { Pid, Reference, Term } from "../etf/index.ts";
import type { Pattern } from "./match.ts";

/** Whom to send to or monitor: a process, a name registered here, or a name registered on a node. */
export type Destination = Pid | string | { readonly name: string; readonly node: string };

/** The code of a process: it exits with `normal` when it returns, and with what it throws (`reasonOf`) otherwise. */
export type ProcessBody = (self: Self) => unknown;

export interface SpawnOptions {
  /** Links the new process with the one that spawns it. Default false. */
  readonly link?: boolean;
  /** Registered under this name from the start. */
  readonly name?: string;
  /** Default: that of the process that spawns it. */
  readonly groupLeader?: Pid;
  /** This process's own bound, see `ProcessLimits`. */
  readonly mailboxHighWater?: number;
}

export interface ReceiveOptions {
  /** Milliseconds until the receive rejects with MeshError `TIMEOUT`; 0 only looks. Default: for ever. */
  readonly timeoutMs?: number;
}

export interface TimeoutOptions {
  /** Milliseconds until MeshError `TIMEOUT`. Default 5,000. */
  readonly timeoutMs?: number;
}

export interface SpawnOnOptions extends TimeoutOptions {
  /** Links the new process with the caller. Default false. */
  readonly link?: boolean;
  /** The caller monitors the new process, by a reference of `makeReference()` if it wants to know it. Default false. */
  readonly monitor?: boolean | Reference;
}

export interface DemonitorOptions {
  /** Also removes the monitor's `DOWN` from the mailbox, if it is there. Default false. */
  readonly flush?: boolean;
}

export interface ProcessInfo {
  readonly pid: Pid;
  readonly name: string | undefined;
  /** `waiting` in a receive; `running` everything else, also awaiting something outside. */
  readonly status: "starting" | "waiting" | "running";
  readonly messageQueueLength: number;
  readonly messageQueueBytes: number;
  readonly links: readonly Pid[];
  readonly monitors: readonly Destination[];
  readonly monitoredBy: readonly Pid[];
  readonly trapExit: boolean;
  readonly groupLeader: Pid;
}

/**
 * What a process can do: the argument of its function. Once the process has exited, everything here throws
 * or rejects with ProcessExit.
 */
export interface Self {
  readonly pid: Pid;
  /** Name of this node. */
  readonly node: string;
  /** False from the moment on at which the process exited, though its function may still be running. */
  readonly alive: boolean;
  /** Whether exit signals become `{'EXIT', From, Reason}` messages. Default false. */
  trapExit: boolean;
  /** The process that prints for this one. Inherited by the processes that it spawns. */
  groupLeader: Pid;

  /**
   * The first message. One receive at a time.
   * @throws MeshError `TIMEOUT` when time is over, `UNSUPPORTED` when another receive of this process is waiting.
   */
  receive(options?: ReceiveOptions): Promise<Term>;
  /**
   * The first message that `pattern` describes; the others stay, in their order. A pattern that is a plain object
   * needs `options` behind it, to be told from options.
   */
  receive<Message extends Term>(pattern: Pattern<Message>, options?: ReceiveOptions): Promise<Message>;
  /** Lets `milliseconds` pass. */
  sleep(milliseconds: number): Promise<void>;

  /**
   * Sends a message; never waits. Sending to nobody is no error, but for a name that is not registered here.
   *
   * A message to a process of this node is handed over as it is: do not change it afterwards.
   *
   * @returns false when the receiver has enough for now: a sender of many messages should then await `drained(to)`.
   * @throws MeshError `NO_PROCESS` for an unregistered name (Erlang: `badarg`), `ENCODE`, `LIMIT`.
   */
  send(to: Destination, message: Term): boolean;
  /** Resolves once the receiver wants more. */
  drained(to: Destination): Promise<void>;

  /** Starts a process. It begins to run when the caller next waits. @throws MeshError `LIMIT`. */
  spawn(body: ProcessBody, options?: SpawnOptions): Pid;
  spawnLink(body: ProcessBody, options?: SpawnOptions): Pid;
  spawnMonitor(body: ProcessBody, options?: SpawnOptions): { readonly pid: Pid; readonly ref: Reference };
  /**
   * Starts a process on another node (or this one) that runs an exported function.
   * @throws MeshError `NOT_EXPORTED`, `LIMIT`, `PEER_UNREACHABLE`, `TIMEOUT`.
   */
  spawnOn(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: SpawnOnOptions,
  ): Promise<Pid>;
  /**
   * Calls an exported function of another node (or this one).
   * @throws MeshError `REMOTE` when it threw (`cause` has what), `NOT_EXPORTED`, `LIMIT`, `PEER_UNREACHABLE`, `TIMEOUT`.
   */
  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term>;

  /** When one of the two exits, the other gets an exit signal. A dead `pid` is one that exited with `noproc`. */
  link(pid: Pid): void;
  /** Afterwards no exit signal through the link arrives any more. */
  unlink(pid: Pid): void;
  /** `{'DOWN', Ref, process, Pid | {Name, Node}, Reason}` arrives once when the process exits, or at once if there is none. */
  monitor(target: Destination): Reference;
  /** @returns whether the monitor was still there, as `demonitor(Ref, [info])` does. */
  demonitor(ref: Reference, options?: DemonitorOptions): boolean;
  /** `{nodedown, Node}` arrives when the link to the node is lost, or cannot be made. With false: takes one such call back. */
  monitorNode(node: string, flag?: boolean): void;
  /** `{nodeup, Node}` and `{nodedown, Node}` arrive for every node. With false: no more. */
  monitorNodes(flag?: boolean): void;

  /** Ends this process: throws ProcessExit. */
  exit(reason: Term): never;
  /** Sends an exit signal (`exit/2`). */
  exit(to: Pid, reason: Term): void;
  /** Calls back when this process exits, to stop what it is doing outside. @returns a function that takes it back. */
  onExit(callback: (reason: Term) => void): () => void;

  /** @throws MeshError `NO_PROCESS` (no such process here), `LIMIT` (name taken, or process already named): Erlang's `badarg`. */
  registerName(name: string, pid: Pid): void;
  unregister(name: string): void;
  whereis(name: string): Pid | undefined;
  makeReference(): Reference;
  /** The node's clock: milliseconds, monotonic, from an arbitrary zero. */
  now(): Instant;

  /** Prints through the group leader, wherever that lives. Resolves when it has answered. */
  print(text: string): Promise<void>;
  /** Sends what `request` makes of a fresh reference and gives the answer tagged with it; see `GenServer.call`. */
  ask(to: Destination, request: (ref: Reference) => Term, options?: TimeoutOptions): Promise<Term>;
}
