import { hex } from "../../base/text.ts";
import {
  Atom,
  atom,
  encode,
  equals,
  type Pid,
  type Reference,
  type Term,
  Tuple,
  tuple,
} from "../../etf/index.ts";
import { type From, GenServer, isDownMessage, type Reply } from "../../process/index.ts";

const initConnect = atom("init_connect");
const inSync = atom("in_sync");
const genCast = atom("$gen_cast");
const error = atom("error");
const notsup = atom("notsup");

/** Processes that hold locks, each counted for each of its locks. */
const holdersMax = 1_000;

export interface GlobalNames {
  /** What this node is called by another. */
  readonly nameFor: (node: string) => string;
  /** What a connected node is called here that calls itself so. */
  readonly nodeOf: (name: string) => string | undefined;
}

/** A resource that is locked. The same requester may lock it again, for another process. */
interface Lock {
  readonly requester: string;
  readonly holders: { readonly pid: Pid; readonly ref: Reference }[];
}

/**
 * OTP's process `global_name_server`, as far as it must be there (protocol version 8, `kernel/src/global.erl`).
 *
 * When a visible node comes up, `global` over there sends `init_connect` and waits for a negotiation, and `global:sync/0`
 * waits with it, for ever. The answer here is `in_sync` without a negotiation before it: then the other node counts this
 * one as synced, and not as known. So this node holds no names and is asked for no locks when one is registered (a
 * slow TypeScript process must not hold up a whole cluster), is not made known to third nodes, and nobody is cut off from
 * anybody for having lost it (`prevent_overlapping_partitions`). Global names of processes here work: those who
 * hold them monitor the pid.
 *
 * Locks that somebody wants here by name (`global:set_lock(Id, [node() | nodes()])`) are kept, until deleted or their
 * holder is gone.
 */
export class GlobalNameServer extends GenServer {
  readonly #locks = new Map<string, Lock>();
  #holders = 0;
  #names: GlobalNames | undefined;

  override init(names: GlobalNames): void {
    this.#names = names;
  }

  override handleCall(request: Term, { pid }: From): Reply {
    const [kind, id] = request instanceof Tuple ? request.elements : [request];
    const name = kind instanceof Atom ? kind.name : undefined;
    if (name === "get_protocol_version") return 8;
    if (!(id instanceof Tuple) || id.length !== 2) return tuple(error, notsup);
    const [resource, requester] = id.elements.map((term: Term) => hex(encode(term))) as [string, string];
    if (name === "set_lock") return this.#lock(resource, requester, pid);
    if (name !== "del_lock") return tuple(error, notsup);
    const lock = this.#locks.get(resource);
    if (lock?.requester === requester) {
      this.#release(resource, lock, ({ pid: holder }) => equals(holder, pid));
    }
    return true;
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

  override handleInfo(message: Term): void {
    if (!isDownMessage(message)) return;
    const [, gone] = message.elements;
    for (const [resource, lock] of this.#locks) {
      this.#release(resource, lock, ({ ref }) => equals(ref, gone));
    }
  }

  #lock(resource: string, requester: string, pid: Pid): boolean {
    const lock = this.#locks.get(resource);
    if (lock !== undefined && lock.requester !== requester) return false;
    if (lock?.holders.some((holder) => equals(holder.pid, pid)) === true) return true;
    // Threat: locks without end, or one with holders without end. A full table is a lock that somebody else holds.
    if (this.#holders >= holdersMax) return false;
    this.#holders++;
    const holder = { pid, ref: this.self.monitor(pid) };
    if (lock === undefined) this.#locks.set(resource, { requester, holders: [holder] });
    else lock.holders.push(holder);
    return true;
  }

  #release(resource: string, { holders }: Lock, whose: (holder: Lock["holders"][number]) => boolean): void {
    const index = holders.findIndex(whose);
    const [holder] = index < 0 ? [] : holders.splice(index, 1);
    if (holder === undefined) return;
    this.#holders--;
    this.self.demonitor(holder.ref, { flush: true });
    if (holders.length === 0) this.#locks.delete(resource);
  }
}
