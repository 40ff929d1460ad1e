import { Atom, atom, Pid, type Term, Tuple, tuple } from "../../etf/index.ts";
import { type From, GenServer, noReply, type Reply, type Self } from "../../process/index.ts";
import { callExported } from "./erpc.ts";

const badrpc = atom("badrpc");
const exitTag = atom("EXIT");
const rex = atom("rex");
const ignored = atom("ignored");
const featuresReply = atom("features_reply");

/**
 * OTP's process `rex`, which served `rpc` before there was `erpc` and still does for C nodes and `rpc:block_call`. OTP also
 * asks it which features a node has.
 */
export class Rex extends GenServer {
  #nameFor: (node: string) => string = String;

  /** @param nameFor what this node is called by another. */
  override init(nameFor: (node: string) => string): void {
    this.#nameFor = nameFor;
  }

  override handleCall(request: Term, from: From): Reply {
    const call = callOf(request, ["call", "block_call"]);
    if (call === undefined) return tuple(badrpc, ignored);
    this.#run(call, (result) => this.reply(from, result));
    return noReply;
  }

  override handleCast(request: Term): void {
    const call = callOf(request, ["cast"]);
    if (call !== undefined) this.#run(call, () => undefined);
  }

  override handleInfo(message: Term): void {
    if (!(message instanceof Tuple) || message.length !== 2) return;
    const [from, request] = message.elements;
    if (!(from instanceof Pid)) return;
    if (request === atom("features_request")) {
      this.self.send(from, tuple(featuresReply, atom(this.#nameFor(from.node)), [atom("erpc")]));
      return;
    }
    // C nodes.
    const call = callOf(request, ["call"]);
    if (call !== undefined) this.#run(call, (result) => this.self.send(from, tuple(rex, result)));
  }

  /** In a process of its own, so that a slow function holds up no other call. */
  #run({ module, name, args, leader }: Call, done: (result: Term) => void): void {
    const body = async (self: Self): Promise<void> => {
      const outcome = await callExported(self, module, name, args);
      switch (outcome.kind) {
        case "return":
          return done(outcome.value);
        case "throw":
          return done(outcome.reason);
        case "exit":
          return done(tuple(badrpc, tuple(exitTag, outcome.reason)));
        case "error":
          return done(tuple(badrpc, tuple(exitTag, tuple(outcome.reason, outcome.stack))));
        default:
          return outcome satisfies never;
      }
    };
    this.self.spawn(body, leader instanceof Pid ? { groupLeader: leader } : {});
  }
}

interface Call {
  readonly module: Term;
  readonly name: Term;
  readonly args: Term;
  readonly leader: Term;
}

/** `{call, Module, Function, Args, GroupLeader}`. */
function callOf(request: Term, kinds: readonly string[]): Call | undefined {
  if (!(request instanceof Tuple) || request.length !== 5) return undefined;
  const [kind, module, name, args, leader] = request.elements;
  return kind instanceof Atom && kinds.includes(kind.name) ? { module, name, args, leader } : undefined;
}
