import { MeshError } from "../base/errors.ts";
import { Atom, atom, Pid, type Term, Tuple, tuple } from "../etf/index.ts";
import type { ChildSpec } from "./child.ts";
import { describe } from "./exit.ts";
import { type Caller, GenServer, type StartOptions } from "./gen-server.ts";
import { type SupervisorOptions, SupervisorServer, startChildRequest } from "./supervisor-server.ts";
import type { Destination } from "./types.ts";

/** One entry of `whichChildren`. */
export interface ChildState {
  readonly id: string;
  /** `restarting`: a restart failed and is tried again. `undefined`: it does not run. */
  readonly pid: Pid | "restarting" | undefined;
  readonly type: "worker" | "supervisor";
}

const whichChildrenRequest = atom("which_children");

/** Processes that start processes, watch over them and restart them: Erlang's `supervisor`. */
export const Supervisor = {
  /**
   * Starts a supervisor and its children. With a child that cannot be started, those before it are ended, and the
   * reason is `{shutdown, {failed_to_start_child, Id, Reason}}`.
   * @throws ProcessExit with that reason; MeshError `LIMIT` when the name is taken; RangeError for bad options.
   */
  start(caller: Caller, options: SupervisorOptions, start?: StartOptions): Promise<Pid> {
    return GenServer.start(caller, SupervisorServer, [options], start);
  },

  /** The children in the order of their start. */
  async whichChildren(caller: Caller, supervisor: Destination): Promise<ChildState[]> {
    const children = await GenServer.call(caller, supervisor, whichChildrenRequest, forEver);
    return (children as readonly Tuple[]).map(({ elements: [id, pid, type] }) => ({
      id: id instanceof Atom ? id.name : (id as string),
      pid: pid instanceof Pid ? pid : pid instanceof Atom ? "restarting" : undefined,
      type: type instanceof Atom && type.name === "supervisor" ? "supervisor" : "worker",
    }));
  },

  /**
   * Adds a child behind the others and starts it. Only for supervisors of this node: a specification holds a function.
   * @throws MeshError `REMOTE` when it cannot be started (it is not added then), or there is a child with this id.
   */
  async startChild(caller: Caller, supervisor: Destination, spec: ChildSpec): Promise<Pid> {
    return (await command(caller, supervisor, startChildRequest(spec))) as Pid;
  },

  /** Ends a child; its specification stays, unless it is temporary. @throws MeshError `REMOTE` when there is none. */
  async terminateChild(caller: Caller, supervisor: Destination, id: string): Promise<void> {
    await command(caller, supervisor, tuple(atom("terminate_child"), id));
  },

  /** Starts a child that was ended. @throws MeshError `REMOTE` when there is none, it runs, or cannot be started. */
  async restartChild(caller: Caller, supervisor: Destination, id: string): Promise<Pid> {
    return (await command(caller, supervisor, tuple(atom("restart_child"), id))) as Pid;
  },

  /** Forgets a child that does not run. @throws MeshError `REMOTE` when there is none, or it runs. */
  async deleteChild(caller: Caller, supervisor: Destination, id: string): Promise<void> {
    await command(caller, supervisor, tuple(atom("delete_child"), id));
  },
} as const;

const forEver = { timeoutMs: Number.POSITIVE_INFINITY } as const;

/** `ok` and `{ok, Value}` are answers, `{error, Reason}` is an error. */
async function command(caller: Caller, supervisor: Destination, request: Term): Promise<Term> {
  const reply = await GenServer.call(caller, supervisor, request, forEver);
  if (!(reply instanceof Tuple)) return undefined;
  const [status, value] = reply.elements;
  if (status instanceof Atom && status.name === "ok") return value;
  throw new MeshError("REMOTE", `supervisor: ${describe(value)}`);
}
