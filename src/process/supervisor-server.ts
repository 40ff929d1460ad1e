import { utf8Text } from "../base/text.ts";
import type { Instant } from "../base/time.ts";
import { Atom, atom, Pid, type Term, Tuple, tuple } from "../etf/index.ts";
import { type Child, type ChildSpec, endChild, wantsRestart } from "./child.ts";
import { isExitMessage, ProcessExit, reasonOf, shutdown } from "./exit.ts";
import { GenServer, type Reply } from "./gen-server.ts";
import { samePid } from "./match.ts";

export interface SupervisorOptions {
  /**
   * What is restarted when a child exits: `one_for_one` that child, `one_for_all` all of them, `rest_for_one` that child
   * and those started after it. Default `one_for_one`.
   */
  readonly strategy?: "one_for_one" | "one_for_all" | "rest_for_one";
  /** More restarts than this within `periodMs`, and the supervisor ends all children and exits with `shutdown`. Default 1. */
  readonly intensity?: number;
  /** Milliseconds, > 0. Default 5,000. */
  readonly periodMs?: number;
  /** Started in this order, ended in the reverse. Default none. */
  readonly children?: readonly ChildSpec[];
}

const ok = atom("ok");
const error = atom("error");
const notFound = tuple(error, atom("not_found"));
const running = tuple(error, atom("running"));
const restarting = atom("restarting");
const startChild = atom("start_child");
const tryAgain = atom("$try_again_restart");

/** A specification in a message: only for supervisors of the same node, as it holds a function. */
export function startChildRequest(spec: ChildSpec): Term {
  return tuple(startChild, spec as unknown as Term);
}

/** The process behind `Supervisor`. It answers the calls of OTP's `supervisor` module, too. */
export class SupervisorServer extends GenServer {
  /** In the order of their start. */
  #children: Child[] = [];
  #options: Required<SupervisorOptions> = resolve({});
  /** When there were restarts, within the last period. */
  #restarts: Instant[] = [];

  override async init(options: SupervisorOptions): Promise<void> {
    this.#options = resolve(options);
    this.self.trapExit = true;
    this.#children = this.#options.children.map((spec) => ({ spec, pid: undefined }));
    const failed = await this.#startAll(this.#children);
    if (failed === undefined) return;
    await this.#end(this.#children);
    const { child, reason } = failed;
    const details = tuple(atom("failed_to_start_child"), child.spec.id, reason);
    throw new ProcessExit(tuple(shutdown, details));
  }

  override async handleCall(request: Term): Promise<Reply> {
    if (request instanceof Atom) return this.#onQuestion(request.name);
    if (!(request instanceof Tuple) || request.length !== 2) return tuple(error, request);
    const [command, argument] = request.elements;
    if (command === startChild) return this.#startChild(argument as unknown as ChildSpec);
    const id = idOf(argument);
    const child = this.#children.find(({ spec }) => spec.id === id);
    if (child === undefined) return notFound;
    switch (command instanceof Atom ? command.name : "") {
      case "terminate_child":
        await this.#end([child]);
        return ok;
      case "restart_child":
        return this.#restartChild(child);
      case "delete_child":
        if (child.pid !== undefined) return child.pid === "restarting" ? tuple(error, restarting) : running;
        this.#remove(child);
        return ok;
      default:
        return tuple(error, request);
    }
  }

  override async handleCast(request: Term): Promise<void> {
    if (!(request instanceof Tuple) || request.elements[0] !== tryAgain) return;
    const child = this.#children.find(({ spec }) => spec.id === request.elements[1]);
    if (child?.pid === "restarting") await this.#restart(child);
  }

  override async handleInfo(message: Term): Promise<void> {
    if (!isExitMessage(message)) return;
    const [, from, reason] = message.elements;
    const child = this.#children.find(
      ({ pid }) => pid instanceof Pid && from instanceof Pid && samePid(pid, from),
    );
    if (child === undefined) return;
    child.pid = undefined;
    if (wantsRestart(child.spec, reason)) await this.#restart(child);
    else if (child.spec.restart === "temporary") this.#remove(child);
  }

  override async terminate(): Promise<void> {
    await this.#end(this.#children);
  }

  // --- Requests ---

  #onQuestion(question: string): Term {
    const type = ({ spec }: Child): Atom => atom(spec.type ?? "worker");
    if (question === "which_children") {
      return this.#children.map((child) => {
        const pid = child.pid === "restarting" ? restarting : child.pid;
        return tuple(child.spec.id, pid, type(child), atom("dynamic"));
      });
    }
    if (question !== "count_children") return tuple(error, atom(question));
    const supervisors = this.#children.filter((child) => child.spec.type === "supervisor").length;
    return [
      tuple(atom("specs"), this.#children.length),
      tuple(atom("active"), this.#children.filter(({ pid }) => pid instanceof Pid).length),
      tuple(atom("supervisors"), supervisors),
      tuple(atom("workers"), this.#children.length - supervisors),
    ];
  }

  async #startChild(spec: ChildSpec): Promise<Term> {
    // A term from elsewhere is no specification: there is no function in it.
    if (typeof spec !== "object" || spec === null || typeof spec.start !== "function") {
      return tuple(error, atom("invalid_child_spec"));
    }
    const present = this.#children.find((child) => child.spec.id === spec.id);
    if (present?.pid instanceof Pid) return tuple(error, tuple(atom("already_started"), present.pid));
    if (present !== undefined) return tuple(error, atom("already_present"));
    const child: Child = { spec, pid: undefined };
    const reason = await this.#start(child);
    if (reason !== undefined) return tuple(error, reason.value);
    this.#children.push(child);
    return tuple(ok, child.pid as Pid);
  }

  async #restartChild(child: Child): Promise<Term> {
    if (child.pid !== undefined) return child.pid === "restarting" ? tuple(error, restarting) : running;
    const reason = await this.#start(child);
    return reason === undefined ? tuple(ok, child.pid as unknown as Pid) : tuple(error, reason.value);
  }

  // --- Restarting ---

  async #restart(child: Child): Promise<void> {
    if (!this.#mayRestart()) {
      this.stop(shutdown);
      return;
    }
    const affected = this.#affectedBy(child);
    await this.#end(affected.filter((other) => other !== child));
    const failed = await this.#startAll(affected.filter((other) => this.#children.includes(other)));
    if (failed === undefined) return;
    // It counts as another restart, after whatever else is in the mailbox: as OTP does.
    failed.child.pid = "restarting";
    GenServer.cast(this.self, this.self.pid, tuple(tryAgain, failed.child.spec.id));
  }

  #affectedBy(child: Child): Child[] {
    if (this.#options.strategy === "one_for_one") return [child];
    return this.#options.strategy === "one_for_all"
      ? this.#children
      : this.#children.slice(this.#children.indexOf(child));
  }

  /** Notes a restart; false when there have been too many. */
  #mayRestart(): boolean {
    const now = this.self.now();
    this.#restarts = this.#restarts.filter((then) => now - then <= this.#options.periodMs);
    this.#restarts.push(now);
    return this.#restarts.length <= this.#options.intensity;
  }

  // --- Children ---

  /** Starts `children` in order, up to the first that fails. */
  async #startAll(
    children: readonly Child[],
  ): Promise<{ readonly child: Child; readonly reason: Term } | undefined> {
    for (const child of children) {
      const failed = await this.#start(child);
      if (failed !== undefined) return { child, reason: failed.value };
    }
    return undefined;
  }

  /** Why it could not be started, if so. */
  async #start(child: Child): Promise<{ readonly value: Term } | undefined> {
    try {
      child.pid = await child.spec.start(this.self);
      return undefined;
    } catch (thrown) {
      if (!this.self.alive) throw thrown;
      child.pid = undefined;
      return { value: reasonOf(thrown) };
    }
  }

  /** Ends `children` in the reverse of their order. Temporary ones are forgotten. */
  async #end(children: readonly Child[]): Promise<void> {
    for (const child of children.toReversed()) {
      await endChild(this.self, child);
      child.pid = undefined;
      if (child.spec.restart === "temporary") this.#remove(child);
    }
  }

  #remove(child: Child): void {
    this.#children = this.#children.filter((other) => other !== child);
  }
}

/** The id that a request names: text, or from Erlang an atom or a binary. */
function idOf(term: Term): string | undefined {
  if (term instanceof Atom) return term.name;
  if (typeof term === "string") return term;
  try {
    return term instanceof Uint8Array ? utf8Text(term) : undefined;
  } catch {
    // No text, so nobody's id.
    return undefined;
  }
}

/** @throws RangeError */
function resolve(given: SupervisorOptions): Required<SupervisorOptions> {
  const options = {
    strategy: "one_for_one" as const,
    intensity: 1,
    periodMs: 5_000,
    children: [],
    ...given,
  };
  if (!Number.isInteger(options.intensity) || options.intensity < 0) {
    throw new RangeError(`intensity must be a whole number, not ${options.intensity}`);
  }
  if (!(options.periodMs > 0)) throw new RangeError(`periodMs must be above 0, not ${options.periodMs}`);
  if (new Set(options.children.map((spec) => spec.id)).size !== options.children.length) {
    throw new RangeError("children of one supervisor must have different ids");
  }
  return options;
}
