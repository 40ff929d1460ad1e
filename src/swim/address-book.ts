import type { NodeId } from "../base/node-id.ts";
import { after, type Instant } from "../base/time.ts";
import { retryDelayMs } from "./formulas.ts";

/** Where a node was last seen. What is worth keeping over a restart. */
export interface RememberedMember {
  readonly id: NodeId;
  readonly address: string;
}

interface Entry {
  address: string;
  readonly since: Instant;
  due: Instant;
}

/**
 * Members that are gone, as addresses to try again: for ever, the longer they have been gone the more rarely. It is what heals a
 * partition in which each side has declared the other dead.
 */
export class AddressBook {
  readonly #max: number;
  readonly #entries = new Map<NodeId, Entry>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Remembers it from now on. When there are too many, the one gone longest is forgotten. */
  add({ id, address }: RememberedMember, due: Instant, now: Instant): void {
    this.#entries.delete(id);
    const [oldest] = this.#entries.size >= this.#max ? this.#entries.keys() : [];
    if (oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(id, { address, since: now, due });
  }

  delete(id: NodeId): void {
    this.#entries.delete(id);
  }

  remembered(): RememberedMember[] {
    return Array.from(this.#entries, ([id, { address }]) => ({ id, address }));
  }

  deadline(): Instant | undefined {
    let next: Instant | undefined;
    for (const { due } of this.#entries.values()) if (next === undefined || due < next) next = due;
    return next;
  }

  /** Who is to be tried next, of those whose time has come: the one that has waited longest for it. */
  take(now: Instant): RememberedMember | undefined {
    let next: [NodeId, Entry] | undefined;
    for (const candidate of this.#entries) {
      if (candidate[1].due <= now && (next === undefined || candidate[1].due < next[1].due)) next = candidate;
    }
    if (next === undefined) return undefined;
    const [id, entry] = next;
    entry.due = after(now, retryDelayMs(now - entry.since));
    return { id, address: entry.address };
  }
}
