import { Atom, atom, type Term, Tuple, tuple } from "../../etf/index.ts";
import { GenServer, noReply, type Reply } from "../../process/index.ts";

const initConnect = atom("init_connect");
const inSync = atom("in_sync");
const genCast = atom("$gen_cast");

export interface GlobalNames {
  /** What this node is called by another. */
  readonly nameFor: (node: string) => string;
  /** What a connected node is called here that calls itself so. */
  readonly nodeOf: (name: string) => string | undefined;
}

/**
 * OTP's process `global_name_server`, as far as it must be there (protocol version 8, `kernel/src/global.erl`).
 *
 * When a visible node comes up, `global` over there sends `init_connect` and waits for a negotiation, `global:sync/0`
 * with it, for ever. The answer is `in_sync` without a negotiation before: then the other node counts this one as synced and not as
 * known. So this node holds no names, is never asked for locks (a slow TypeScript process must not hold up the name
 * registration of a whole cluster), is not made known to third nodes, and no node is cut off for having lost it
 * (`prevent_overlapping_partitions`). Global names of processes here work: those who hold them monitor the pid.
 */
export class GlobalNameServer extends GenServer {
  #names: GlobalNames | undefined;

  override init(names: GlobalNames): void {
    this.#names = names;
  }

  /** `global:set_lock/2` with this node in its list, say: as where there is no `global`, nobody answers. */
  override handleCall(): Reply {
    return noReply;
  }

  override handleCast(request: Term): void {
    if (!(request instanceof Tuple) || request.length !== 4 || request.elements[0] !== initConnect) return;
    const [, , name] = request.elements;
    const node = name instanceof Atom ? this.#names?.nodeOf(name.name) : undefined;
    // Only to who is there: nobody may make this node dial others.
    if (node === undefined) return;
    const answer = tuple(inSync, atom(this.#names?.nameFor(node) ?? ""), false);
    this.self.send({ name: "global_name_server", node }, tuple(genCast, answer));
  }
}
