import { type Atom, atom, format, type Term, Tuple, tuple } from "../etf/index.ts";

export const normal = atom("normal");
export const kill = atom("kill");
export const killed = atom("killed");
export const noproc = atom("noproc");
export const noconnection = atom("noconnection");
export const shutdown = atom("shutdown");

const error = atom("error");
const nocatch = atom("nocatch");
const exitTag = atom("EXIT");
const downTag = atom("DOWN");
const processTag = atom("process");

const stackLinesMax = 20;
const stackLineLength = 200;

/**
 * The end of a process. `self.exit(reason)` throws it; whatever waits on a process that has been ended rejects with
 * it, so that `finally` blocks run.
 */
export class ProcessExit extends Error {
  override readonly name = "ProcessExit";
  /** Exit reason, as linked and monitoring processes get it. */
  readonly reason: Term;

  constructor(reason: Term) {
    super(`process exits: ${describe(reason)}`);
    this.reason = reason;
  }
}

/** What a function on another node threw, as `cause` of a MeshError `REMOTE`. `stack` is the stack over there. */
export class RemoteError extends Error {
  override readonly name: string;

  constructor(className: string, message: string, stackLines: readonly string[]) {
    super(message);
    this.name = className;
    this.stack = [`${className}: ${message}`, ...stackLines].join("\n");
  }
}

const descriptionLength = 200;

/** The first words of a reason, for messages to people. */
export function describe(reason: Term): string {
  const failure = thrownError(reason);
  if (failure !== undefined) return `${failure.name}: ${failure.message}`.slice(0, descriptionLength);
  try {
    return format(reason).slice(0, descriptionLength);
  } catch {
    return "a reason that is no term";
  }
}

/**
 * The exit reason for what a process threw.
 *
 * - `ProcessExit`: its reason.
 * - An `Error`: `{error, {Class, Message, StackLines}}`, all of it text, at most 20 lines of 200 characters.
 * - Anything else: `{nocatch, Value}`, as Erlang says for a `throw` that nobody catches; a value that is no term as text.
 */
export function reasonOf(thrown: unknown): Term {
  if (thrown instanceof ProcessExit) return thrown.reason;
  if (thrown instanceof Error) return errorTerm(thrown);
  const isTerm = typeof thrown !== "function" && typeof thrown !== "symbol";
  return tuple(nocatch, isTerm ? (thrown as Term) : String(thrown));
}

function errorTerm(thrown: Error): Term {
  const lines = (typeof thrown.stack === "string" ? thrown.stack : "")
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, stackLinesMax)
    .map((line) => line.slice(0, stackLineLength));
  return tuple(error, tuple(className(thrown), thrown.message, lines));
}

function className(thrown: Error): string {
  return thrown.name === "Error" ? (thrown.constructor?.name ?? "Error") : thrown.name;
}

/** The error that a reason stands for: `RemoteError` for what an Error became, `ProcessExit` otherwise. */
export function errorOf(reason: Term): Error {
  return thrownError(reason) ?? new ProcessExit(reason);
}

function thrownError(reason: Term): RemoteError | undefined {
  if (!(reason instanceof Tuple) || reason.elements[0] !== error) return undefined;
  const details = reason.elements[1];
  if (!(details instanceof Tuple)) return undefined;
  const [name, message, lines] = details.elements;
  if (typeof name !== "string" || typeof message !== "string" || !Array.isArray(lines)) return undefined;
  return new RemoteError(
    name,
    message,
    lines.filter((line: Term): line is string => typeof line === "string"),
  );
}

/** `normal`, `shutdown` and `{shutdown, Term}` end a process without anything having gone wrong. */
export function isOrderly(reason: Term): boolean {
  if (reason === normal || reason === shutdown) return true;
  return reason instanceof Tuple && reason.length === 2 && reason.elements[0] === shutdown;
}

/** `{'EXIT', From, Reason}`: what a process that traps exits gets. */
export function exitMessage(from: Term, reason: Term): Term {
  return new Tuple([exitTag, from, reason]);
}

/** `{'DOWN', Ref, process, Object, Reason}`: what a monitor gives. */
export function downMessage(ref: Term, object: Term, reason: Term): Tuple {
  return new Tuple([downTag, ref, processTag, object, reason]);
}

/** Whether `message` is an exit message; `[, from, reason] = message.elements`. */
export function isExitMessage(message: Term): message is Tuple<readonly [Atom, Term, Term]> {
  return message instanceof Tuple && message.length === 3 && message.elements[0] === exitTag;
}

/** Whether `message` is a monitor's; `[, ref, , object, reason] = message.elements`. */
export function isDownMessage(message: Term): message is Tuple<readonly [Atom, Term, Atom, Term, Term]> {
  return message instanceof Tuple && message.length === 5 && message.elements[0] === downTag;
}
