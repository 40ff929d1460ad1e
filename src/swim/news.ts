import type { NodeId } from "../base/node-id.ts";
import { type NewsItem, newsHeaderBytes } from "./packet.ts";

interface Waiting {
  readonly item: NewsItem;
  readonly subject: NodeId;
  /** How often it was sent. */
  told: number;
  /** What has the lowest goes first: how often it was sent, and what it stands back for. */
  rank: number;
}

/** What is said of strangers lets other news go first so many times: anybody can invent them by the thousand. */
const strangersRank = 8;

/** Items that may be passed over because they do not fit, until a packet counts as full. */
const misfitsMax = 8;

/**
 * What this node passes on. Each packet takes what was told least often, the longest waiting first, and strangers behind
 * what is told for the first few times; what was told often enough is dropped, and so is what something newer has overtaken.
 */
export class News {
  readonly #max: number;
  /** By rank. */
  readonly #tiers: Set<Waiting>[] = [];
  readonly #bySubject = new Map<NodeId, Waiting[]>();
  #size = 0;
  dropped = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#size;
  }

  /** A new record of a member, or of a stranger: nothing that was said of it before matters any more. */
  putRecord(subject: NodeId, bytes: Uint8Array, isStranger = false): void {
    this.forget(subject);
    this.#put(subject, { kind: "record", bytes }, isStranger ? strangersRank : 0);
  }

  putAccusation(subject: NodeId, bytes: Uint8Array): void {
    this.#put(subject, { kind: "accusation", bytes }, 0);
  }

  /** Whether an own piece of news about `subject` still waits. */
  has(subject: NodeId): boolean {
    return this.#bySubject.has(subject);
  }

  forget(subject: NodeId): void {
    for (const waiting of this.#bySubject.get(subject) ?? []) {
      this.#tiers[waiting.rank]?.delete(waiting);
      this.#size--;
    }
    this.#bySubject.delete(subject);
  }

  /** What goes into the `room` bytes that a packet has left; each counts as told once more, and `toldMax` times is enough. */
  take(room: number, toldMax: number): NewsItem[] {
    const taken: Waiting[] = [];
    let left = room;
    let misfits = 0;
    for (let rank = 0; rank < this.#tiers.length && misfits < misfitsMax && left > newsHeaderBytes; rank++) {
      for (const waiting of this.#tiers[rank] ?? []) {
        const bytes = newsHeaderBytes + waiting.item.bytes.length;
        if (bytes <= left) {
          taken.push(waiting);
          left -= bytes;
        } else if (++misfits >= misfitsMax) break;
      }
    }
    for (const waiting of taken) {
      if (waiting.told + 1 >= toldMax) this.#remove(waiting);
      else {
        this.#tiers[waiting.rank]?.delete(waiting);
        waiting.told++;
        this.#tier(++waiting.rank).add(waiting);
      }
    }
    return taken.map(({ item }) => item);
  }

  #put(subject: NodeId, item: NewsItem, rank: number): void {
    if (this.#size >= this.#max) this.#dropLast();
    const waiting = { item, subject, told: 0, rank };
    this.#tier(rank).add(waiting);
    const same = this.#bySubject.get(subject);
    if (same === undefined) this.#bySubject.set(subject, [waiting]);
    else same.push(waiting);
    this.#size++;
  }

  #dropLast(): void {
    for (let rank = this.#tiers.length - 1; rank >= 0; rank--) {
      const [first] = this.#tiers[rank] ?? [];
      if (first === undefined) continue;
      this.#remove(first);
      this.dropped++;
      return;
    }
  }

  #remove(waiting: Waiting): void {
    this.#tiers[waiting.rank]?.delete(waiting);
    this.#size--;
    const others = this.#bySubject.get(waiting.subject)?.filter((other) => other !== waiting) ?? [];
    if (others.length === 0) this.#bySubject.delete(waiting.subject);
    else this.#bySubject.set(waiting.subject, others);
  }

  #tier(rank: number): Set<Waiting> {
    const tier = this.#tiers[rank] ?? new Set<Waiting>();
    this.#tiers[rank] = tier;
    return tier;
  }
}
