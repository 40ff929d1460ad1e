import type { NodeId } from "../base/node-id.ts";
import { after, type Instant } from "../base/time.ts";
import { retryDelayMs } from "./formulas.ts";

/** Where a node was last seen. What is worth keeping over a restart. */
export interface RememberedMember {
  readonly id: NodeId;
  /** `name@host:port`. */
  readonly name: string;
  readonly address: string;
}

interface Entry {
  readonly member: RememberedMember;
  readonly wasHeard: boolean;
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

  /**
   * Remembers it from now on. When there are too many, the one gone longest is forgotten; before others those that were
   * never heard themselves. Threat: inventions would push out all that there is to come back to.
   */
  add(
    { id, name, address, wasHeard }: RememberedMember & { readonly wasHeard: boolean },
    due: Instant,
    now: Instant,
  ): void {
    this.#entries.delete(id);
    if (this.#entries.size >= this.#max && !this.#makeRoom(wasHeard)) return;
    this.#entries.set(id, { member: { id, name, address }, wasHeard, since: now, due });
  }

  /** What the last life has known, the most useful first: as many of the first as there is room for. */
  addRemembered(members: readonly RememberedMember[], now: Instant): void {
    for (const member of members.slice(0, this.#max)) this.add({ ...member, wasHeard: true }, now, now);
  }

  delete(id: NodeId): void {
    this.#entries.delete(id);
  }

  remembered(): RememberedMember[] {
    return Array.from(this.#entries.values(), ({ member }) => member);
  }

  deadline(): Instant | undefined {
    let next: Instant | undefined;
    for (const { due } of this.#entries.values()) if (next === undefined || due < next) next = due;
    return next;
  }

  /** Who is to be tried next, of those whose time has come: the one that has waited longest for it. */
  take(now: Instant): RememberedMember | undefined {
    let next: Entry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.due <= now && (next === undefined || entry.due < next.due)) next = entry;
    }
    if (next === undefined) return undefined;
    next.due = after(now, retryDelayMs(now - next.since));
    return next.member;
  }

  #makeRoom(isForHeard: boolean): boolean {
    let [victim] = isForHeard ? this.#entries.keys() : [];
    for (const [id, { wasHeard }] of this.#entries) {
      if (wasHeard) continue;
      victim = id;
      break;
    }
    return victim !== undefined && this.#entries.delete(victim);
  }
}
