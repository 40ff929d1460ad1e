import type { Writer } from "../base/writer.ts";
import { Atom, atom, type Pid, Reference, type Term, Tuple, tuple } from "../etf/index.ts";
import type { RpcCallSignal, RpcReplySignal, RpcStatus, Signal } from "../process/signals.ts";
import { encodeControl } from "./control.ts";
import type { NodeNames } from "./names.ts";

const returned = atom("return");
const thrown = atom("throw");
const exited = atom("exit");
const failed = atom("error");
const undef = atom("undef");
const nocatch = atom("nocatch");

interface Call {
  readonly id: number;
  /** Marks the result in the exit reason of the process that runs the function. */
  readonly tag: Reference;
  readonly module: string;
  readonly function: string;
}

export interface ErlangCallsSetup {
  readonly makeReference: () => Reference;
  /** The process that calls: any of this node, it gets nothing. */
  readonly caller: Pid;
}

/**
 * Our calls of functions on an Erlang node. That knows no RPC signal: as `erpc:call/5` does, a call spawns
 * `erpc:execute_call(Tag, Module, Function, Args)` there, monitored, and its result is the reason for which that process
 * exits: `{Tag, return, Value}`, `{Tag, throw | exit, Reason}` or `{Tag, error, Reason, Stack}`.
 */
export class ErlangCalls {
  readonly #setup: ErlangCallsSetup;
  /** By the reference of the spawn request, which is the monitor's. */
  readonly #calls = new Map<string, Call>();
  readonly #references = new Map<number, string>();

  constructor(setup: ErlangCallsSetup) {
    this.#setup = setup;
  }

  /** Calls without an answer. */
  get size(): number {
    return this.#calls.size;
  }

  /** Appends the packet that makes the call. @throws MeshError `ENCODE`; nothing is remembered then. */
  encode(signal: RpcCallSignal, names: NodeNames, writer: Writer): void {
    const { id, leader, module, function: name, args } = signal;
    const ref = this.#setup.makeReference();
    const tag = this.#setup.makeReference();
    encodeControl(
      {
        type: "spawnRequest",
        ref,
        from: this.#setup.caller,
        leader,
        module: "erpc",
        function: "execute_call",
        args: [tag, atom(module), atom(name), args],
        link: false,
        monitor: true,
      },
      names,
      writer,
    );
    const key = keyOf(ref);
    this.#calls.set(key, { id, tag, module, function: name });
    this.#references.set(id, key);
  }

  /** Nobody waits for the answer of call `id` any more. As with `erpc:call`, the function goes on over there. */
  cancel(id: number): void {
    const key = this.#references.get(id);
    this.#references.delete(id);
    if (key !== undefined) this.#calls.delete(key);
  }

  /** What `signal` of the peer is to the runtime: an answer, nothing, or what it was. */
  translate(signal: Signal): Signal | undefined {
    if (signal.type !== "spawnReply" && signal.type !== "down") return signal;
    const key = keyOf(signal.ref);
    const call = this.#calls.get(key);
    if (call === undefined) return signal;
    if (signal.type === "spawnReply") {
      if (typeof signal.result !== "string") return undefined;
      return this.#answer(key, call, "limit", undefined);
    }
    const [status, value] = outcome(call, signal.reason);
    return this.#answer(key, call, status, value);
  }

  #answer(key: string, { id }: Call, status: RpcStatus, value: Term): RpcReplySignal {
    this.#calls.delete(key);
    this.#references.delete(id);
    return { type: "rpcReply", id, status, value };
  }
}

function outcome(call: Call, reason: Term): [RpcStatus, Term] {
  if (!(reason instanceof Tuple)) return ["error", reason];
  const [tag, kind, value, stack] = reason.elements;
  if (!(tag instanceof Reference) || keyOf(tag) !== keyOf(call.tag)) return ["error", reason];
  if (kind === returned) return ["ok", value];
  if (kind === thrown) return ["error", tuple(nocatch, value)];
  if (kind === exited) return ["error", value];
  if (kind !== failed) return ["error", reason];
  if (value === undef && isCalled(call, stack)) return ["undef", undefined];
  // What a process exits with that fails so.
  return ["error", reason.length === 4 ? tuple(value, stack) : value];
}

/** Whether it is the called function itself that is not there. */
function isCalled({ module, function: name }: Call, stack: Term): boolean {
  const first: Term = Array.isArray(stack) ? (stack as readonly Term[])[0] : undefined;
  if (!(first instanceof Tuple)) return false;
  const [foundModule, foundName] = first.elements;
  return (
    foundModule instanceof Atom &&
    foundModule.name === module &&
    foundName instanceof Atom &&
    foundName.name === name
  );
}

function keyOf({ ids, creation, node }: Reference): string {
  return `${ids.join(".")}.${creation}@${node}`;
}
