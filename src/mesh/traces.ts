import { equal } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import { type Position, positionOf } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, type Instant } from "../base/time.ts";
import { Atom, atom, decode, encode, type Term, Tuple, tuple } from "../etf/index.ts";

/*
 * TRACE (0x2B), always forwarded in a box, also to neighbours. Id: an integer of 32 bits that cannot be guessed.
 *
 *   {trace, Id}
 *   {traced, Id, [{High, Low}]}   the nodes that the question had left, by the first 48 bits of their ids, 24 each
 */
const hopsMax = 255;

/** What came of a trace. */
export type TraceResult =
  | { readonly type: "traced"; readonly path: readonly Position[]; readonly rttMs: number }
  /** `by` says that it knew no way on. */
  | { readonly type: "stopped"; readonly reason: "no_route" | "busy"; readonly by: NodeId }
  | { readonly type: "silent" };

interface Trace {
  readonly token: number;
  readonly to: NodeId;
  readonly since: Instant;
  mark: Uint8Array;
}

const silentMs = 5_000;

/** Questions after the way to other nodes. */
export class Traces {
  readonly #random: Random;
  readonly #done: (token: number, result: TraceResult) => void;
  readonly #traces = new Map<number, Trace>();
  readonly #due = new Schedule<number>();

  constructor(random: Random, done: (token: number, result: TraceResult) => void) {
    this.#random = random;
    this.#done = done;
  }

  /** Begins one; returns what to send to `to`. */
  begin(token: number, to: NodeId, now: Instant): { readonly id: number; readonly payload: Uint8Array } {
    const id = this.#random.u32();
    this.#traces.set(id, { token, to, since: now, mark: new Uint8Array(0) });
    this.#due.set(id, after(now, silentMs));
    return { id, payload: encode(tuple(atom("trace"), id)) };
  }

  /** By which a failure names it: the end of what was sent. */
  sent(id: number, mark: Uint8Array): void {
    const trace = this.#traces.get(id);
    if (trace !== undefined) trace.mark = mark.slice();
  }

  /** TRACE from `from`, which has visited so many; returns the answer to send, if it is a question. */
  handle(
    from: NodeId,
    payload: Uint8Array,
    visited: readonly Position[],
    now: Instant,
  ): Uint8Array | undefined {
    const message = decodeTrace(payload);
    if (message.path === undefined) {
      const path = visited.map(({ high, low }) => tuple(high, low));
      return encode(tuple(atom("traced"), message.id, path));
    }
    const trace = this.#traces.get(message.id);
    if (trace?.to === from) {
      this.#end(message.id, { type: "traced", path: message.path, rttMs: now - trace.since });
    }
    return undefined;
  }

  onFailure(reason: "no_route" | "busy", mark: Uint8Array, by: NodeId): void {
    for (const [id, trace] of this.#traces) {
      if (equal(trace.mark, mark)) this.#end(id, { type: "stopped", reason, by });
    }
  }

  tick(now: Instant): void {
    for (let id = this.#due.expire(now); id !== undefined; id = this.#due.expire(now)) {
      this.#end(id, { type: "silent" });
    }
  }

  deadline(): Instant | undefined {
    return this.#due.deadline();
  }

  #end(id: number, result: TraceResult): void {
    const trace = this.#traces.get(id);
    if (trace === undefined) return;
    this.#traces.delete(id);
    this.#due.clear(id);
    this.#done(trace.token, result);
  }
}

/** Whether `id` may be the node that a trace names by its beginning. */
export function isAt(id: NodeId, { high, low }: Position): boolean {
  const position = positionOf(id);
  return position.high === high && position.low === low;
}

/** @throws MeshError `DECODE`. */
export function decodeTrace(payload: Uint8Array): {
  readonly id: number;
  readonly path: readonly Position[] | undefined;
} {
  const term = decode(payload);
  if (!(term instanceof Tuple)) throw wrong();
  const [type, given, path] = term.elements;
  const id = integer(given, 0xffff_ffff);
  const name = type instanceof Atom ? `${type.name} ${term.length}` : "";
  if (name === "trace 2") return { id, path: undefined };
  if (name !== "traced 3" || !Array.isArray(path) || path.length > hopsMax) throw wrong();
  return { id, path: (path as readonly Term[]).map(position) };
}

function position(term: Term): Position {
  if (!(term instanceof Tuple) || term.length !== 2) throw wrong();
  return { high: integer(term.elements[0], 0xff_ffff), low: integer(term.elements[1], 0xff_ffff) };
}

function integer(term: Term | undefined, most: number): number {
  if (typeof term === "number" && Number.isInteger(term) && term >= 0 && term <= most) return term;
  throw wrong();
}

function wrong(): MeshError {
  return new MeshError("DECODE", "not a TRACE message");
}
