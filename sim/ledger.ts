import type { DirectoryOutput, TraceResult } from "../src/mesh/index.ts";
import type { NodeId } from "../src/sim/index.ts";
import type { NodeWatcher } from "./node-host.ts";

/** A message between two nodes. `told`: its sender heard that it may be lost. */
interface Sent {
  readonly from: NodeId;
  readonly to: NodeId;
  fate: "open" | "delivered" | "told";
}

/** Where the nodes visited begin in FORWARD, and what each takes. */
const visitedOffset = 68;
const visitBytes = 6;

/** Keeps the books of a simulation: what was sent and what became of it, and what must never happen. */
export class Ledger implements NodeWatcher {
  readonly messages: Sent[] = [];
  readonly traces: TraceResult[] = [];
  /** Lookups that found something, and that found nothing. */
  found = 0;
  missed = 0;
  published = 0;
  /** Packets that left a node they had left before. */
  loops = 0;
  /** Links that one packet has crossed at most. */
  hopsMax = 0;
  /** Messages that arrived twice, or after a later one. */
  disordered = 0;
  readonly #open = new Map<string, Set<number>>();
  readonly #last = new Map<string, number>();

  /** Notes a message; returns what is to be sent. */
  message(from: NodeId, to: NodeId): Uint8Array {
    const token = this.messages.push({ from, to, fate: "open" }) - 1;
    const pair = `${from} ${to}`;
    const open = this.#open.get(pair) ?? new Set();
    this.#open.set(pair, open.add(token));
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, token);
    return bytes;
  }

  delivered(by: NodeId, from: NodeId, bytes: Uint8Array): void {
    const token = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    const message = this.messages[token];
    const pair = `${from} ${by}`;
    if (message === undefined || message.to !== by || message.from !== from) this.disordered++;
    else {
      if ((this.#last.get(pair) ?? -1) >= token) this.disordered++;
      this.#last.set(pair, token);
      this.#open.get(pair)?.delete(token);
      message.fate = "delivered";
    }
  }

  down(by: NodeId, peer: NodeId): void {
    const open = this.#open.get(`${by} ${peer}`) ?? [];
    for (const token of open) {
      const message = this.messages[token];
      if (message !== undefined) message.fate = "told";
    }
    this.#open.delete(`${by} ${peer}`);
  }

  directory(_by: NodeId, output: DirectoryOutput): void {
    if (output.type === "published") this.published++;
    else if (output.type === "found") {
      if (output.records.length > 0) this.found++;
      else this.missed++;
    }
  }

  traced(_by: NodeId, _token: number, result: TraceResult): void {
    this.traces.push(result);
  }

  forwarded(_by: NodeId, _to: NodeId, payload: Uint8Array): void {
    const count = payload[2] ?? 0;
    this.hopsMax = Math.max(this.hopsMax, count);
    const last = visitedOffset + (count - 1) * visitBytes;
    for (let offset = visitedOffset; offset < last; offset += visitBytes) {
      if (isSame(payload, offset, last)) this.loops++;
    }
  }

  /** Of the messages between nodes that suit: how many there were, how many arrived, of how many nobody heard. */
  count(suits: (message: Sent) => boolean): { sent: number; delivered: number; silent: number } {
    const messages = this.messages.filter(suits);
    return {
      sent: messages.length,
      delivered: messages.filter(({ fate }) => fate === "delivered").length,
      silent: messages.filter(({ fate }) => fate === "open").length,
    };
  }
}

function isSame(bytes: Uint8Array, a: number, b: number): boolean {
  for (let index = 0; index < visitBytes; index++) if (bytes[a + index] !== bytes[b + index]) return false;
  return true;
}
