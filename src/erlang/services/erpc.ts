import { MeshError } from "../../base/errors.ts";
import { Atom, atom, Reference, type Term, tuple } from "../../etf/index.ts";
import { type ExportedModule, ProcessExit, RemoteError, type Self, withSelf } from "../../process/index.ts";

const returned = atom("return");
const thrown = atom("throw");
const exited = atom("exit");
const failed = atom("error");
const undef = atom("undef");
const systemLimit = atom("system_limit");
const badarg = atom("badarg");

/** How a call of an exported function ended, in Erlang's three classes of exceptions. */
export type Outcome =
  | { readonly kind: "return"; readonly value: Term }
  | { readonly kind: "throw" | "exit"; readonly reason: Term }
  | { readonly kind: "error"; readonly reason: Term; readonly stack: Term };

/**
 * Calls a function that this node exports. What is thrown that is no Error is a `throw` with that value, as in Erlang; an
 * Error is an `exit` with the reason with which a process would have exited: `{error, {Class, Message, Stack}}`.
 */
export async function callExported(self: Self, module: Term, name: Term, args: Term): Promise<Outcome> {
  if (!(module instanceof Atom) || !(name instanceof Atom) || !Array.isArray(args)) {
    return { kind: "error", reason: badarg, stack: [] };
  }
  try {
    const options = { timeoutMs: Number.POSITIVE_INFINITY };
    return { kind: "return", value: await self.rpc(self.node, module.name, name.name, args, options) };
  } catch (error) {
    // This process has ended: nobody asks any more.
    if (!(error instanceof MeshError)) throw error;
    if (error.code === "NOT_EXPORTED") {
      return { kind: "error", reason: undef, stack: [tuple(module, name, args, [])] };
    }
    if (error.code === "LIMIT") return { kind: "error", reason: systemLimit, stack: [] };
    return failure(error.cause);
  }
}

function failure(cause: unknown): Outcome {
  if (cause instanceof RemoteError) {
    const lines = (cause.stack ?? "").split("\n").slice(1);
    return { kind: "exit", reason: tuple(failed, tuple(cause.name, cause.message, lines)) };
  }
  const reason = cause instanceof ProcessExit ? cause.reason : undefined;
  const elements =
    reason instanceof Object && "elements" in reason ? (reason.elements as readonly Term[]) : [];
  const [tag, value] = elements;
  if (elements.length === 2 && tag === atom("nocatch")) return { kind: "throw", reason: value };
  return { kind: "exit", reason };
}

/**
 * OTP's module `erpc`, as far as other nodes spawn its functions: `erpc:call`, `erpc:cast` and all that is built on them,
 * `rpc:call`, `rpc:cast` and `rpc:multicall` included, work on what this node exports.
 */
export const erpcModule: ExportedModule = {
  execute_call: withSelf(async (self: Self, tag: Term, module: Term, name: Term, args: Term) => {
    if (!(tag instanceof Reference)) self.exit(badarg);
    const outcome = await callExported(self, module, name, args);
    switch (outcome.kind) {
      case "return":
        return self.exit(tuple(tag, returned, outcome.value));
      case "throw":
        return self.exit(tuple(tag, thrown, outcome.reason));
      case "exit":
        return self.exit(tuple(tag, exited, outcome.reason));
      case "error":
        return self.exit(tuple(tag, failed, outcome.reason, outcome.stack));
      default:
        return outcome satisfies never;
    }
  }),
  execute_cast: withSelf(async (self: Self, module: Term, name: Term, args: Term) => {
    const outcome = await callExported(self, module, name, args);
    if (outcome.kind !== "return") self.exit(outcome.reason);
  }),
};
