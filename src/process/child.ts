import { MeshError } from "../base/errors.ts";
import type { Pid, Term } from "../etf/index.ts";
import { isDownMessage, isExitMessage, isOrderly, kill, shutdown } from "./exit.ts";
import { matches } from "./match.ts";
import type { Self } from "./types.ts";

/** One child of a supervisor: Erlang's `child_spec()`. */
export interface ChildSpec {
  /** Unique within its supervisor. */
  readonly id: string;
  /**
   * Starts the child and links it with the supervisor, whose `self` this gets: `(self) => self.spawnLink(…)`, or
   * `(self) => GenServer.start(self, …)`. A throw is a failed start.
   */
  readonly start: (self: Self) => Pid | Promise<Pid>;
  /**
   * `permanent`: restarted whenever it exits. `transient`: only when it exits otherwise than with `normal`, `shutdown`
   * or `{shutdown, Term}`. `temporary`: never. Default `permanent`.
   */
  readonly restart?: "permanent" | "transient" | "temporary";
  /**
   * How it is ended: milliseconds to obey an exit signal `shutdown` before it is killed, `infinity`, or `kill` at once.
   * Default 5,000, for supervisors `infinity`.
   */
  readonly shutdown?: number | "infinity" | "kill";
  /** Default `worker`. */
  readonly type?: "worker" | "supervisor";
}

/** A child in the supervisor's books. */
export interface Child {
  readonly spec: ChildSpec;
  /** `undefined` while it does not run; `restarting` when a restart failed and is tried again. */
  pid: Pid | "restarting" | undefined;
}

/** Whether a child that exited with `reason` is to run again. */
export function wantsRestart({ restart = "permanent" }: ChildSpec, reason: Term): boolean {
  return restart === "permanent" || (restart === "transient" && !isOrderly(reason));
}

/** Ends a child in the way its specification says, and waits until it has ended. */
export async function endChild(self: Self, { spec, pid }: Child): Promise<void> {
  if (pid === undefined || pid === "restarting") return;
  const patience = spec.shutdown ?? (spec.type === "supervisor" ? "infinity" : 5_000);
  const ref = self.monitor(pid);
  // From here on the monitor tells the end; what the link told already must not be taken for another exit.
  self.unlink(pid);
  await discard(self, (message) => isExitMessage(message) && matches(pid, message.elements[1]));
  self.exit(pid, patience === "kill" ? kill : shutdown);
  const isDown = (message: Term): boolean => isDownMessage(message) && matches(ref, message.elements[1]);
  try {
    await self.receive(isDown, typeof patience === "number" ? { timeoutMs: patience } : {});
  } catch (error) {
    if (!isTimeout(error)) throw error;
    self.exit(pid, kill);
    await self.receive(isDown);
  }
}

async function discard(self: Self, unwanted: (message: Term) => boolean): Promise<void> {
  try {
    await self.receive(unwanted, { timeoutMs: 0 });
  } catch (error) {
    if (!isTimeout(error)) throw error;
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof MeshError && error.code === "TIMEOUT";
}
