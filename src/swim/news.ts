import type { NodeId } from "../base/node-id.ts";
import { type NewsItem, newsHeaderBytes } from "./packet.ts";

interface Waiting {
  readonly item: NewsItem;
  readonly subject: NodeId;
  /** How often it was sent. */
  told: number;
}

/** Items that may be passed over because they do not fit, until a packet counts as full. */
const misfitsMax = 8;

/**
 * What this node passes on. Each packet takes what was told least often, the longest waiting first; what was told often
 * enough is dropped, and so is what something newer has overtaken.
 */
export class News {
  readonly #max: number;
  /** By how often they were told. */
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

  /** A new record of a member: nothing that was said of it before matters any more. */
  putRecord(subject: NodeId, bytes: Uint8Array): void {
    this.forget(subject);
    this.#put(subject, { kind: "record", bytes });
  }

  putAccusation(subject: NodeId, bytes: Uint8Array): void {
    this.#put(subject, { kind: "accusation", bytes });
  }

  /** Whether an own piece of news about `subject` still waits. */
  has(subject: NodeId): boolean {
    return this.#bySubject.has(subject);
  }

  forget(subject: NodeId): void {
    for (const waiting of this.#bySubject.get(subject) ?? []) {
      this.#tiers[waiting.told]?.delete(waiting);
      this.#size--;
    }
    this.#bySubject.delete(subject);
  }

  /** What goes into the `room` bytes that a packet has left; each counts as told once more, and `toldMax` times is enough. */
  take(room: number, toldMax: number): NewsItem[] {
    const taken: Waiting[] = [];
    let left = room;
    let misfits = 0;
    for (let told = 0; told < this.#tiers.length && misfits < misfitsMax && left > newsHeaderBytes; told++) {
      for (const waiting of this.#tiers[told] ?? []) {
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
        this.#tiers[waiting.told]?.delete(waiting);
        waiting.told++;
        this.#tier(waiting.told).add(waiting);
      }
    }
    return taken.map(({ item }) => item);
  }

  #put(subject: NodeId, item: NewsItem): void {
    if (this.#size >= this.#max) this.#dropMostTold();
    const waiting = { item, subject, told: 0 };
    this.#tier(0).add(waiting);
    const same = this.#bySubject.get(subject);
    if (same === undefined) this.#bySubject.set(subject, [waiting]);
    else same.push(waiting);
    this.#size++;
  }

  #dropMostTold(): void {
    for (let told = this.#tiers.length - 1; told >= 0; told--) {
      const [first] = this.#tiers[told] ?? [];
      if (first === undefined) continue;
      this.#remove(first);
      this.dropped++;
      return;
    }
  }

  #remove(waiting: Waiting): void {
    this.#tiers[waiting.told]?.delete(waiting);
    this.#size--;
    const others = this.#bySubject.get(waiting.subject)?.filter((other) => other !== waiting) ?? [];
    if (others.length === 0) this.#bySubject.delete(waiting.subject);
    else this.#bySubject.set(waiting.subject, others);
  }

  #tier(told: number): Set<Waiting> {
    const tier = this.#tiers[told] ?? new Set<Waiting>();
    this.#tiers[told] = tier;
    return tier;
  }
}
