import { type Point, type Position, positionOf, xorDistance } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";
import { Schedule } from "../base/schedule.ts";
import { at, type Instant } from "../base/time.ts";
import { type DirectoryRecord, supersedes } from "./record.ts";

/** What became of a record that was to be kept. `full`: a quota. */
export type StoreResult = "stored" | "known" | "older" | "full";

interface Entry {
  readonly record: DirectoryRecord;
  readonly until: Instant;
  /** The neighbour it came by: whose quota it uses. */
  readonly via: NodeId;
}

export interface StoreLimits {
  readonly recordsMax: number;
  readonly recordsPerKeyMax: number;
  readonly recordsPerOwnerMax: number;
  readonly recordsPerPeerMax: number;
}

/**
 * Records kept for others, until they expire. Threat: filling it. So there is a quota for each owner, for each neighbour
 * that brings records and for each key, and when all is full the records farthest from this node go first: those are the
 * ones that other nodes should keep.
 */
export class RecordStore {
  readonly #limits: StoreLimits;
  readonly #byKey = new Map<Point, Map<string, Entry>>();
  /** Keys, the farthest first: a schedule is a queue by a number, and here the number is a distance. */
  readonly #farthest = new Schedule<Point>();
  readonly #position: Position;
  readonly #perOwner = new Counts();
  readonly #perPeer = new Counts();
  #size = 0;

  constructor(self: NodeId, limits: StoreLimits) {
    this.#position = positionOf(self);
    this.#limits = limits;
  }

  get size(): number {
    return this.#size;
  }

  put(record: DirectoryRecord, via: NodeId, until: Instant): StoreResult {
    const records = this.#byKey.get(record.key) ?? new Map<string, Entry>();
    const name = nameOf(record);
    const before = records.get(name);
    if (before !== undefined) {
      if (supersedes(before.record, record)) return "older";
      const known = !supersedes(record, before.record);
      // The same again lasts as long as whoever keeps it longest says.
      if (known && before.until >= until) return "known";
      this.#perPeer.add(before.via, -1);
      this.#perPeer.add(via, 1);
      records.set(name, { record, until, via });
      return known ? "known" : "stored";
    }
    if (
      this.#perOwner.of(record.owner) >= this.#limits.recordsPerOwnerMax ||
      this.#perPeer.of(via) >= this.#limits.recordsPerPeerMax ||
      records.size >= this.#limits.recordsPerKeyMax ||
      (this.#size >= this.#limits.recordsMax && !this.#makeRoom(record.key))
    )
      return "full";
    this.#byKey.set(record.key, records);
    this.#farthest.set(record.key, at(-this.#distance(record.key)));
    records.set(name, { record, until, via });
    this.#perOwner.add(record.owner, 1);
    this.#perPeer.add(via, 1);
    this.#size++;
    return "stored";
  }

  /** What is kept in place of an older `record`. */
  newer(record: DirectoryRecord): DirectoryRecord | undefined {
    const kept = this.#byKey.get(record.key)?.get(nameOf(record))?.record;
    return kept !== undefined && supersedes(kept, record) ? kept : undefined;
  }

  /** All under `key`, in the order of their owners' first appearance. */
  get(key: Point, now: Instant): DirectoryRecord[] {
    const records = this.#byKey.get(key);
    if (records === undefined) return [];
    return [...records.values()].filter(({ until }) => until > now).map(({ record }) => record);
  }

  /** Drops what has expired. */
  sweep(now: Instant): void {
    for (const [key, records] of this.#byKey) {
      for (const [name, { until }] of records) if (until <= now) this.#delete(key, records, name);
    }
  }

  /** Drops a record that is farther from this node than `key`, if there is one. */
  #makeRoom(key: Point): boolean {
    const farthest = this.#farthest.expire(at(-this.#distance(key) - 1));
    const records = farthest === undefined ? undefined : this.#byKey.get(farthest);
    if (farthest === undefined || records === undefined) return false;
    this.#farthest.set(farthest, at(-this.#distance(farthest)));
    for (const name of records.keys()) {
      this.#delete(farthest, records, name);
      return true;
    }
    return false;
  }

  /** From this node, by the first 48 bits, which is all that is needed to tell near from far. */
  #distance(key: Point): number {
    return xorDistance(this.#position, positionOf(key));
  }

  #delete(key: Point, records: Map<string, Entry>, name: string): void {
    const entry = records.get(name);
    if (entry === undefined) return;
    records.delete(name);
    if (records.size === 0) {
      this.#byKey.delete(key);
      this.#farthest.clear(key);
    }
    this.#perOwner.add(entry.record.owner, -1);
    this.#perPeer.add(entry.via, -1);
    this.#size--;
  }
}

function nameOf({ kind, owner }: DirectoryRecord): string {
  return `${kind} ${owner}`;
}

class Counts {
  readonly #counts = new Map<NodeId, number>();

  of(id: NodeId): number {
    return this.#counts.get(id) ?? 0;
  }

  add(id: NodeId, change: number): void {
    const count = this.of(id) + change;
    if (count === 0) this.#counts.delete(id);
    else this.#counts.set(id, count);
  }
}
