import { after } from "../base/time.ts";
import { Atom, Pid, Reference, type Term, Tuple } from "../etf/index.ts";
import { isDownMessage } from "./exit.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";
import type { Destination, TimeoutOptions } from "./types.ts";
import type { Wait } from "./wait.ts";

/** In the third word of a reference: what comes tagged with it is an answer, welcome once and never a message. */
const askFlag = 1;

export interface Ask {
  readonly ref: Reference;
  readonly what: string;
  readonly wait: Wait<Term>;
}

/**
 * Questions: a message with a fresh reference to a process that is monitored under it, and the answer tagged with the
 * reference: `{Ref, Reply}`, as `gen_server` answers, or `{io_reply, Ref, Reply}`. Answers never enter the mailbox: no
 * search through it for them, and one that comes too late is dropped (as with Erlang's process aliases).
 */
export class Asks {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  ask(
    process: Process,
    to: Destination,
    request: (ref: Reference) => Term,
    { timeoutMs = 5_000 }: TimeoutOptions = {},
  ): Promise<Term> {
    const kernel = this.#kernel;
    const what = `question to ${nameOf(to)}`;
    const ref = kernel.makeReference(askFlag);
    const wait = kernel.wait<Term>(process, what);
    const number = kernel.referenceNumber(ref) ?? -1;
    const asks = (process.asks ??= new Map<number, Ask>());
    asks.set(number, { ref, what, wait });
    const forget = wait.onSettled;
    wait.onSettled = () => {
      forget?.();
      asks.delete(number);
      if (process.alive) kernel.monitors.demonitor(process, ref, false);
    };
    try {
      kernel.monitors.monitor(process, to, ref);
      // Whoever is not there was reported just now.
      if (asks.has(number)) kernel.send(process, to, request(ref));
    } catch (error) {
      wait.fail(error as Error);
      return wait.promise;
    }
    if (asks.has(number) && timeoutMs !== Number.POSITIVE_INFINITY) {
      const due = after(kernel.now(), timeoutMs);
      wait.until(due);
      kernel.deadlineSet(due);
    }
    if (process.pausedStreams !== undefined) kernel.flow.resume(process);
    return wait.promise;
  }

  /** Takes `message` when it belongs to one of the questions, or to one that is settled already. */
  take(asks: ReadonlyMap<number, Ask>, message: Term): boolean {
    if (!(message instanceof Tuple) || message.length < 2) return false;
    const [first, second] = message.elements;
    if (isDownMessage(message)) {
      const ask = this.#find(asks, second);
      ask?.wait.fail(this.#kernel.exitError(ask.what, message.elements[4]));
      return isAnswer(this.#kernel, second);
    }
    const answersTag = first instanceof Atom && first.name === "io_reply" ? second : first;
    if (!isAnswer(this.#kernel, answersTag)) return false;
    this.#find(asks, answersTag)?.wait.succeed(message.elements[message.length - 1]);
    return true;
  }

  #find(asks: ReadonlyMap<number, Ask>, ref: Term): Ask | undefined {
    if (!(ref instanceof Reference)) return undefined;
    const number = this.#kernel.referenceNumber(ref);
    return number === undefined ? undefined : asks.get(number);
  }
}

function isAnswer(kernel: Kernel, tag: Term): boolean {
  if (!(tag instanceof Reference) || tag.ids[2] !== askFlag) return false;
  return kernel.referenceNumber(tag) !== undefined;
}

function nameOf(to: Destination): string {
  if (typeof to === "string") return to;
  return to instanceof Pid ? to.toString() : `${to.name} on ${to.node}`;
}
