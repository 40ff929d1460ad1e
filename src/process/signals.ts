import type { Pid, Reference, Term } from "../etf/index.ts";

/**
 * What travels between processes of different nodes (Erlang reference manual, "Processes", §"Signals"). The names of
 * registered processes, modules and functions are text here and atoms on the wire.
 */
export type Signal =
  | SendSignal
  | RegSendSignal
  | ExitSignal
  | LinkExitSignal
  | DownSignal
  | LinkSignal
  | UnlinkSignal
  | UnlinkAckSignal
  | MonitorSignal
  | DemonitorSignal
  | GroupLeaderSignal
  | RpcCallSignal
  | RpcReplySignal
  | RpcCancelSignal
  | SpawnRequestSignal
  | SpawnReplySignal;

/** A message to a process. */
export interface SendSignal {
  readonly type: "send";
  readonly from: Pid;
  readonly to: Pid;
  readonly message: Term;
}

/** A message to a registered name. */
export interface RegSendSignal {
  readonly type: "regSend";
  readonly from: Pid;
  readonly name: string;
  readonly message: Term;
}

/** `exit/2`. */
export interface ExitSignal {
  readonly type: "exit";
  readonly from: Pid;
  readonly to: Pid;
  readonly reason: Term;
}

/** A link broke because `from` exited, or never was. */
export interface LinkExitSignal {
  readonly type: "linkExit";
  readonly from: Pid;
  readonly to: Pid;
  readonly reason: Term;
}

/** A monitored process exited. `from` is what was monitored: a pid, or a registered name. */
export interface DownSignal {
  readonly type: "down";
  readonly from: Pid | string;
  readonly to: Pid;
  readonly ref: Reference;
  readonly reason: Term;
}

export interface LinkSignal {
  readonly type: "link";
  readonly from: Pid;
  readonly to: Pid;
}

/**
 * `id` comes back in the acknowledgement; until then exits through the link, and new links by the peer, are void.
 * Erlang nodes may count up to 2^64 − 1.
 */
export interface UnlinkSignal {
  readonly type: "unlink";
  readonly id: number | bigint;
  readonly from: Pid;
  readonly to: Pid;
}

export interface UnlinkAckSignal {
  readonly type: "unlinkAck";
  readonly id: number | bigint;
  readonly from: Pid;
  readonly to: Pid;
}

export interface MonitorSignal {
  readonly type: "monitor";
  readonly from: Pid;
  readonly to: Pid | string;
  readonly ref: Reference;
}

export interface DemonitorSignal {
  readonly type: "demonitor";
  readonly from: Pid;
  readonly to: Pid | string;
  readonly ref: Reference;
}

/** `leader` becomes the group leader of `to`. */
export interface GroupLeaderSignal {
  readonly type: "groupLeader";
  readonly from: Pid;
  readonly to: Pid;
  readonly leader: Pid;
}

/** `id` is unique among the calls of the calling node's life. */
export interface RpcCallSignal {
  readonly type: "rpcCall";
  readonly id: number;
  readonly leader: Pid;
  readonly module: string;
  readonly function: string;
  readonly args: readonly Term[];
}

/**
 * How a call ended.
 *
 * - `ok` it returned `value`.
 * - `error` it threw, or its process exited: `value` is the reason (see `exit.ts`).
 * - `undef` module or function is not exported.
 * - `limit` the callee has too many calls of this node at work.
 */
export type RpcStatus = "ok" | "error" | "undef" | "limit";

export interface RpcReplySignal {
  readonly type: "rpcReply";
  readonly id: number;
  readonly status: RpcStatus;
  readonly value: Term;
}

/** Nobody waits for the answer any more. */
export interface RpcCancelSignal {
  readonly type: "rpcCancel";
  readonly id: number;
}

/** `ref` identifies the request and, with `monitor`, becomes the monitor. */
export interface SpawnRequestSignal {
  readonly type: "spawnRequest";
  readonly ref: Reference;
  readonly from: Pid;
  readonly leader: Pid;
  readonly module: string;
  readonly function: string;
  readonly args: readonly Term[];
  readonly link: boolean;
  readonly monitor: boolean;
  /**
   * What becomes of a function that is not exported: `refused` is a reply with `undef` and no process, `exits` (what Erlang nodes
   * expect) a process that exits with `{undef, [{Module, Function, Args, []}]}`. Default `refused`.
   */
  readonly undefined?: "refused" | "exits";
}

/** `result` is the new process, or why there is none. */
export interface SpawnReplySignal {
  readonly type: "spawnReply";
  readonly ref: Reference;
  readonly to: Pid;
  readonly link: boolean;
  readonly monitor: boolean;
  readonly result: Pid | SpawnError;
}

export type SpawnError = "undef" | "limit";

/** Where signals to other nodes go. The links implement it. */
export interface SignalSink {
  /**
   * Hands `signal` to the link towards `node`, which encodes it at once.
   *
   * @param lane which of the link's streams: signals of one lane arrive in order.
   * @param key within the lane, only signals of one key (one sender) need to keep their order.
   * @returns false when that lane is over its high-water mark: the sender should wait for the input `drained`.
   * @throws MeshError `ENCODE` or `LIMIT`; nothing was queued then.
   */
  send(node: string, lane: number, key: number, signal: Signal): boolean;
}
