import { MeshError } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import { atom, decode, encode, Pid, Reference, type Term, tuple } from "../etf/index.ts";
import type { NamesNews, NamesRequest } from "../names/index.ts";
import { isDownMessage, type ProcessRuntime } from "../process/index.ts";

export interface GlobalNamesSetup {
  readonly runtime: Pick<ProcessRuntime, "node" | "monitor" | "demonitor" | "processInfo" | "send">;
  /** Gives the machine of names its input. What comes of it goes to `onNews`. */
  readonly request: (request: NamesRequest) => void;
  /** The node name of a member, as its record says, or of this node. */
  readonly nodeOf: (id: NodeId) => string | undefined;
}

/** A pid needs no more than a few hundred bytes. Threat: a value of 512 bytes that inflates to megabytes. */
const pidLimits = { depthMax: 1, inflatedBytesMax: 1_024, memoryBytesMax: 4_096 } as const;
const conflictTag = atom("global_name_conflict");

/** A request without an answer; the machine bounds them. */
type Waiting =
  | { readonly type: "register"; readonly registration: Registration; readonly settle: Settle<void> }
  | { readonly type: "whereis"; readonly settle: Settle<Pid | undefined> };

interface Settle<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: MeshError) => void;
}

interface Registration {
  readonly name: string;
  readonly pid: Pid;
  readonly ref: Reference;
}

/**
 * Global names for programs: the machine's tokens as promises, its values as pids. A registered process is monitored, by
 * the process of the node: its end frees the name.
 */
export class GlobalNames {
  readonly #setup: GlobalNamesSetup;
  readonly #waiting = new Map<number, Waiting>();
  readonly #byName = new Map<string, Registration>();
  /** References of monitors as text: all are of this node's present life. */
  readonly #byMonitor = new Map<string, Registration>();
  #token = 0;
  #closed = false;

  constructor(setup: GlobalNamesSetup) {
    this.#setup = setup;
  }

  /**
   * Gives a process of this node a name that all nodes of the mesh find. It may have several. A name is text of 1 to 255
   * bytes in UTF-8. The name ends with the process, with `unregister`, or by a conflict: then the process gets
   * `{global_name_conflict, Name}` (docs/names.md).
   * @throws MeshError `NO_PROCESS` no such process here, or it exited meanwhile; `NAME_TAKEN`; `LIMIT`; `TIMEOUT` the
   * directory does not answer; `CLOSED`.
   */
  async register(name: string, pid: Pid): Promise<void> {
    this.#mustBeOpen();
    const { runtime } = this.#setup;
    if (runtime.processInfo(pid) === undefined) {
      throw new MeshError("NO_PROCESS", `cannot register ${name}: ${String(pid)} is no process of this node`);
    }
    if (this.#byName.has(name)) throw taken(name, runtime.node);
    const registration = { name, pid, ref: runtime.monitor(pid) };
    this.#byName.set(name, registration);
    this.#byMonitor.set(String(registration.ref), registration);
    const value = encode(pid);
    await new Promise<void>((resolve, reject) => {
      this.#ask({ type: "register", registration, settle: { resolve, reject } }, (token) => {
        return { type: "register", token, name, value };
      });
    });
  }

  /** Frees a name of this node, or ends its registration (which then fails). @throws MeshError `NO_PROCESS` when this node has no such name; `CLOSED`. */
  unregister(name: string): void {
    this.#mustBeOpen();
    const registration = this.#byName.get(name);
    if (registration === undefined) {
      throw new MeshError("NO_PROCESS", `no process of this node is globally registered as ${name}`);
    }
    this.#forget(registration);
    this.#setup.request({ type: "unregister", name });
  }

  /** The process that has the name, on whatever node. @throws MeshError `LIMIT`, `TIMEOUT`, `CLOSED`. */
  async whereis(name: string): Promise<Pid | undefined> {
    this.#mustBeOpen();
    return await new Promise((resolve, reject) => {
      this.#ask({ type: "whereis", settle: { resolve, reject } }, (token) => {
        return { type: "whereis", token, name };
      });
    });
  }

  /** What the machine says. */
  onNews(news: NamesNews): void {
    if (news.type === "conflict") {
      this.#onConflict(news.name);
      return;
    }
    const waiting = this.#waiting.get(news.token);
    if (waiting === undefined) return;
    this.#waiting.delete(news.token);
    if (waiting.type === "register") this.#onRegistered(waiting, news);
    else if (news.type === "resolved") waiting.settle.resolve(this.#pidOf(news.holder));
    else if (news.type === "failed") waiting.settle.reject(news.error);
  }

  /** A message to the process of the node. True when it was for this object: the end of a registered process. */
  onMessage(message: Term): boolean {
    if (!isDownMessage(message)) return false;
    const ref: Term = message.elements[1];
    const registration = ref instanceof Reference ? this.#byMonitor.get(String(ref)) : undefined;
    if (registration === undefined) return false;
    // Threat: anybody can send a message that looks like that of a monitor.
    if (this.#setup.runtime.processInfo(registration.pid) !== undefined) return true;
    this.#forget(registration);
    this.#setup.request({ type: "unregister", name: registration.name });
    return true;
  }

  /** All that wait are rejected. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = new MeshError("CLOSED", "the node is closed");
    for (const { settle } of this.#waiting.values()) settle.reject(error);
    this.#waiting.clear();
    this.#byName.clear();
    this.#byMonitor.clear();
  }

  #ask(waiting: Waiting, request: (token: number) => NamesRequest): void {
    const token = this.#token++;
    this.#waiting.set(token, waiting);
    this.#setup.request(request(token));
  }

  #onRegistered(
    { registration, settle }: Extract<Waiting, { type: "register" }>,
    news: Exclude<NamesNews, { type: "conflict" }>,
  ): void {
    if (news.type === "registered") {
      settle.resolve();
      return;
    }
    const { name, pid } = registration;
    this.#forget(registration);
    if (news.type === "taken") settle.reject(taken(name, this.#setup.nodeOf(news.by) ?? news.by));
    else if (news.type === "failed") {
      // It was unregistered because its process ended, or by the program.
      const isGone = news.error.code === "CLOSED" && this.#setup.runtime.processInfo(pid) === undefined;
      settle.reject(isGone ? new MeshError("NO_PROCESS", `${String(pid)} exited`) : news.error);
    }
  }

  #onConflict(name: string): void {
    const registration = this.#byName.get(name);
    if (registration === undefined) return;
    this.#forget(registration);
    this.#setup.runtime.send(registration.pid, tuple(conflictTag, name));
  }

  #forget(registration: Registration): void {
    const { name, ref } = registration;
    if (this.#byName.get(name) !== registration) return;
    this.#byName.delete(name);
    this.#byMonitor.delete(String(ref));
    this.#setup.runtime.demonitor(ref, { flush: true });
  }

  /** Threat: a member that claims a name for what is no pid, or for a process of another node. Then nobody has the name. */
  #pidOf(holder: Extract<NamesNews, { type: "resolved" }>["holder"]): Pid | undefined {
    if (holder === undefined) return undefined;
    let pid: Term;
    try {
      pid = decode(holder.value, pidLimits);
    } catch {
      return undefined;
    }
    return pid instanceof Pid && pid.node === this.#setup.nodeOf(holder.owner) ? pid : undefined;
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new MeshError("CLOSED", "the node is closed");
  }
}

function taken(name: string, by: string): MeshError {
  return new MeshError("NAME_TAKEN", `the global name ${name} is taken by a process of ${by}`);
}
