import { MeshError } from "../base/errors.ts";
import { after } from "../base/time.ts";
import { atom, type Pid, type Term } from "../etf/index.ts";
import { describe, errorOf, ProcessExit, reasonOf } from "./exit.ts";
import type { Exported } from "./exports.ts";
import type { Kernel } from "./kernel.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";
import type { RpcCallSignal, RpcReplySignal, RpcStatus } from "./signals.ts";
import type { TimeoutOptions } from "./types.ts";
import type { Wait } from "./wait.ts";

/** Answers travel in a lane without messages, so that no full mailbox ever holds them up. */
const answerLane = 0;
const cancelled = atom("cancelled");

/** A call that waits for its answer. */
export interface RemoteCall {
  readonly what: string;
  readonly wait: Wait<Term>;
}

/** A call at work here. */
export interface ServedCall {
  /** The process that runs it, when it is one. */
  process: Process | undefined;
}

/** Calls of exported functions (RPC, 0x0B). */
export class Rpc {
  readonly #kernel: Kernel;
  #id = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  call(
    caller: Process,
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    { timeoutMs = 5_000 }: TimeoutOptions = {},
  ): Promise<Term> {
    const kernel = this.#kernel;
    const what = `${module}:${name}/${args.length} on ${node}`;
    const wait = kernel.wait<Term>(caller, what);
    const call: RemoteCall = { what, wait };
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      const due = after(kernel.now(), timeoutMs);
      wait.until(due);
      kernel.deadlineSet(due);
    }
    if (node === kernel.options.node) this.#callHere(caller, call, module, name, args);
    else this.#callThere(caller, node, call, { module, name, args });
    return wait.promise;
  }

  #callThere(
    caller: Process,
    node: string,
    call: RemoteCall,
    { module, name, args }: { module: string; name: string; args: readonly Term[] },
  ): void {
    const kernel = this.#kernel;
    const peer = kernel.peers.get(node);
    const id = ++this.#id;
    const leader = caller.groupLeader;
    try {
      kernel.options.sink.send(node, answerLane, id, {
        type: "rpcCall",
        id,
        leader,
        module,
        function: name,
        args,
      });
    } catch (error) {
      call.wait.fail(error as Error);
      return;
    }
    peer.calls.set(id, call);
    const forget = call.wait.onSettled;
    call.wait.onSettled = () => {
      forget?.();
      // Still there: no answer came, and nobody waits for one any more.
      if (!peer.calls.delete(id)) return;
      kernel.signalSurely(node, answerLane, id, { type: "rpcCancel", id });
    };
  }

  #callHere(caller: Process, call: RemoteCall, module: string, name: string, args: readonly Term[]): void {
    const served: ServedCall = { process: undefined };
    const forget = call.wait.onSettled;
    call.wait.onSettled = () => {
      forget?.();
      if (served.process?.alive === true) this.#kernel.exits.terminate(served.process, cancelled);
    };
    const exported = this.#kernel.exports.find(module, name);
    if (exported === undefined) return settle(call, "undef", undefined);
    this.#run(exported, args, caller.groupLeader, served, (status, value) => settle(call, status, value));
  }

  // --- Signals from other nodes ---

  onCall(peer: Peer, signal: RpcCallSignal): void {
    const kernel = this.#kernel;
    const { id } = signal;
    const exported = kernel.exports.find(signal.module, signal.function);
    if (exported === undefined) return this.#answer(peer, id, "undef", undefined);
    if (peer.servedRunning >= kernel.options.callsPerNodeMax || peer.served.has(id)) {
      kernel.counters.refusedCalls++;
      return this.#answer(peer, id, "limit", undefined);
    }
    const served: ServedCall = { process: undefined };
    peer.served.set(id, served);
    peer.servedRunning++;
    this.#run(exported, signal.args, signal.leader, served, (status, value) => {
      peer.servedRunning--;
      // Unless the caller has cancelled it, or its node went down.
      if (peer.served.get(id) === served) {
        peer.served.delete(id);
        this.#answer(peer, id, status, value);
      }
      kernel.peers.forget(peer);
    });
  }

  onCancel(peer: Peer, id: number): void {
    const served = peer.served.get(id);
    peer.served.delete(id);
    if (served?.process !== undefined) this.#kernel.exits.terminate(served.process, cancelled);
  }

  onReply(peer: Peer, signal: RpcReplySignal): void {
    const call = peer.calls.get(signal.id);
    if (call === undefined) return;
    peer.calls.delete(signal.id);
    settle(call, signal.status, signal.value);
  }

  onNodeDown(peer: Peer): void {
    const calls = [...peer.calls.values()];
    peer.calls.clear();
    for (const { what, wait } of calls) {
      wait.fail(new MeshError("PEER_UNREACHABLE", `${what}: the node is gone`));
    }
    for (const id of [...peer.served.keys()]) this.onCancel(peer, id);
  }

  // --- Running a function ---

  /** `done` is called once, perhaps before this returns. */
  #run(
    exported: Exported,
    args: readonly Term[],
    leader: Pid,
    served: ServedCall,
    done: (status: RpcStatus, value: Term) => void,
  ): void {
    if (exported.kind === "self") this.#runProcess(exported.body, args, leader, served, done);
    else void runPlain(exported.call, args, done);
  }

  #runProcess(
    body: (self: Process, ...args: readonly Term[]) => unknown,
    args: readonly Term[],
    groupLeader: Pid,
    served: ServedCall,
    done: (status: RpcStatus, value: Term) => void,
  ): void {
    let result: { readonly value: Term } | undefined;
    const run = async (self: unknown): Promise<void> => {
      result = { value: (await body(self as Process, ...args)) as Term };
    };
    try {
      const process = this.#kernel.spawn(undefined, run, { groupLeader });
      served.process = process;
      process.onExit((reason) => {
        served.process = undefined;
        if (result === undefined) done("error", reason);
        else done("ok", result.value);
      });
    } catch {
      done("limit", undefined);
    }
  }

  #answer(peer: Peer, id: number, status: RpcStatus, value: Term): void {
    const signal = { type: "rpcReply", id, status, value } as const;
    try {
      this.#kernel.options.sink.send(peer.node, answerLane, id, signal);
    } catch (error) {
      // What it returned is no term, or is too long: that is the answer then.
      const reason = reasonOf(error);
      this.#kernel.signalSurely(peer.node, answerLane, id, { ...signal, status: "error", value: reason });
    }
  }
}

async function runPlain(
  call: (...args: readonly Term[]) => unknown,
  args: readonly Term[],
  done: (status: RpcStatus, value: Term) => void,
): Promise<void> {
  let value: unknown;
  try {
    value = await call(...args);
  } catch (thrown) {
    done("error", reasonOf(thrown));
    return;
  }
  done("ok", value as Term);
}

function settle({ what, wait }: RemoteCall, status: RpcStatus, value: Term): void {
  switch (status) {
    case "ok":
      return wait.succeed(value);
    case "undef":
      return wait.fail(new MeshError("NOT_EXPORTED", `${what} is not exported`));
    case "limit":
      return wait.fail(new MeshError("LIMIT", `${what}: too many calls at work there`));
    case "error": {
      const cause = errorOf(value);
      const reason = cause instanceof ProcessExit ? `exited: ${describe(value)}` : describe(value);
      return wait.fail(new MeshError("REMOTE", `${what}: ${reason}`, { cause }));
    }
  }
}
