import type { Point } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import type { Buckets } from "./buckets.ts";
import { Lookup } from "./lookup.ts";
import type { KademliaMessage } from "./messages.ts";
import type { KademliaOptions } from "./options.ts";
import { type DirectoryRecord, supersedes } from "./record.ts";
import { Requests } from "./requests.ts";

/** A lookup that somebody wants made. */
export interface Errand {
  readonly target: Point;
  /** Nodes that must have records under `target`, for it to end before it has come nearest; `undefined` when nodes are looked for. */
  readonly holders: number | undefined;
  /** Its turn has come. */
  begin?(now: Instant): void;
  finish(walk: Walk, now: Instant): void;
}

/** A lookup under way, and what has been found so far. */
export class Walk {
  readonly errand: Errand;
  readonly lookup: Lookup;
  /** The best of each owner and kind so far. */
  readonly records = new Map<string, DirectoryRecord>();
  /** Who has records, and which. */
  readonly holders = new Map<NodeId, Set<Uint8Array>>();
  finished = false;

  constructor(errand: Errand, lookup: Lookup) {
    this.errand = errand;
    this.lookup = lookup;
  }

  /** Adds what `holder` has to what is known; returns how much it has shown so far. */
  collect(holder: NodeId, records: readonly DirectoryRecord[]): number {
    if (records.length === 0) return this.holders.get(holder)?.size ?? 0;
    const held = this.holders.get(holder) ?? new Set<Uint8Array>();
    this.holders.set(holder, held);
    for (const record of records) {
      const name = `${record.kind} ${record.owner}`;
      const before = this.records.get(name);
      if (before !== undefined && !supersedes(record, before)) {
        // The same in other bytes' clothes: compared by identity from here on.
        held.add(supersedes(before, record) ? record.bytes : before.bytes);
        continue;
      }
      if (before === undefined && this.records.size >= foundMax) continue;
      this.records.set(name, record);
      held.add(record.bytes);
    }
    return held.size;
  }
}

/** What an answer to a lookup brings, checked. */
export interface Findings {
  readonly nodes: readonly NodeId[];
  /** Records, when it was asked for them. */
  readonly records?: { readonly list: readonly DirectoryRecord[]; readonly more: boolean };
}

export interface LookupsSurroundings {
  readonly self: NodeId;
  readonly options: Required<KademliaOptions>;
  readonly random: Random;
  readonly buckets: Buckets;
  send(to: NodeId, message: KademliaMessage): void;
  /** What this node keeps itself. */
  kept(target: Point, now: Instant): readonly DirectoryRecord[];
}

/** Records that one lookup collects, at most. */
const foundMax = 4_096;
/** Lookups that wait for their turn, in multiples of those under way. */
const waitingPerLookup = 10;

/**
 * The lookups of a node: so many at a time, while others wait. Each asks the nodes that its walk names, again where one
 * has more to show, and ends when the walk does, when enough have the records, or when its time is over.
 */
export class Lookups {
  readonly #around: LookupsSurroundings;
  readonly #requests: Requests<Walk>;
  /** Threat: whoever answers at the last moment, each time with a little more, would hold a lookup up for hours. */
  readonly #ends = new Schedule<Walk>();
  readonly #asked = new Queue<Errand>();
  readonly #own = new Queue<Errand>();
  #isOwnTurn = false;
  #isStarting = false;
  #running = 0;

  constructor(around: LookupsSurroundings) {
    this.#around = around;
    this.#requests = new Requests(around.random, around.options.requestTimeoutMs);
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#asked.length;
  }

  deadline(): Instant | undefined {
    return earliest(this.#requests.deadline(), this.#ends.deadline());
  }

  tick(now: Instant): void {
    for (const { to, task } of this.#requests.expire(now)) {
      this.#around.buckets.fail(to);
      task?.lookup.failed(to);
      if (task !== undefined) this.#advance(task, now);
    }
    for (let walk = this.#ends.expire(now); walk !== undefined; walk = this.#ends.expire(now)) {
      this.#end(walk, now);
    }
  }

  /** Something that was asked of this node. False when too much waits already. */
  begin(errand: Errand, now: Instant): boolean {
    const { lookupsMax } = this.#around.options;
    if (this.#running >= lookupsMax && this.#asked.length >= waitingPerLookup * lookupsMax) return false;
    this.#asked.push(errand);
    this.#startNext(now);
    return true;
  }

  /** Something of its own, which waits as long as it takes; it has every second turn. */
  beginOwn(errand: Errand, now: Instant): void {
    this.#own.push(errand);
    this.#startNext(now);
  }

  /** Sends records to be kept; its answer belongs to no lookup. */
  store(to: NodeId, keepMs: number, records: readonly Uint8Array[], now: Instant): void {
    const id = this.#requests.add(to, undefined, now);
    this.#around.send(to, { type: "store", id, keepMs, records });
  }

  /** `id` will not answer. */
  lose(id: NodeId, now: Instant): void {
    for (const { task } of this.#requests.lose(id)) {
      task?.lookup.failed(id);
      if (task !== undefined) this.#advance(task, now);
    }
  }

  /** The question that `from` answers: of which walk, `undefined` for a `store`. False when there is none. */
  answered(from: NodeId, id: number): Walk | undefined | false {
    const request = this.#requests.answer(from, id);
    return request === undefined ? false : request.task;
  }

  onFindings(walk: Walk, from: NodeId, { nodes, records }: Findings, now: Instant): void {
    if (walk.finished) return;
    walk.lookup.add(nodes);
    if (records !== undefined) {
      const before = walk.holders.get(from)?.size ?? 0;
      const had = walk.collect(from, records.list);
      // Whoever says that there is more and gives nothing new is not asked again.
      if (records.more && had > before && had < foundMax && walk.records.size < foundMax) {
        this.#ask(walk, from, had, now);
        return;
      }
    }
    walk.lookup.answered(from);
    this.#advance(walk, now);
  }

  /** A loop, since each may end as soon as it has begun: thousands that wait would be as many calls deep. */
  #startNext(now: Instant): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    while (this.#running < this.#around.options.lookupsMax) {
      const [first, second] = this.#isOwnTurn ? [this.#own, this.#asked] : [this.#asked, this.#own];
      this.#isOwnTurn = !this.#isOwnTurn;
      const errand = first.shift() ?? second.shift();
      if (errand === undefined) break;
      this.#start(errand, now);
    }
    this.#isStarting = false;
  }

  #start(errand: Errand, now: Instant): void {
    const { self, options, buckets } = this.#around;
    this.#running++;
    errand.begin?.(now);
    const start = buckets.closest(errand.target, options.bucketSize);
    const walk = new Walk(errand, new Lookup(errand.target, self, start, options));
    if (errand.holders !== undefined) walk.collect(self, this.#around.kept(errand.target, now));
    this.#ends.set(walk, after(now, options.lookupTimeoutMs));
    this.#advance(walk, now);
  }

  #advance(walk: Walk, now: Instant): void {
    if (walk.finished) return;
    if (walk.holders.size < (walk.errand.holders ?? Infinity)) {
      for (let to = walk.lookup.next(); to !== undefined; to = walk.lookup.next())
        this.#ask(walk, to, 0, now);
      if (!walk.lookup.done) return;
    }
    this.#end(walk, now);
  }

  #end(walk: Walk, now: Instant): void {
    walk.finished = true;
    this.#ends.clear(walk);
    this.#running--;
    walk.errand.finish(walk, now);
    this.#startNext(now);
  }

  #ask(walk: Walk, to: NodeId, skip: number, now: Instant): void {
    const id = this.#requests.add(to, walk, now);
    const { target, holders } = walk.errand;
    this.#around.send(
      to,
      holders !== undefined ? { type: "get", id, target, skip } : { type: "find", id, target },
    );
  }
}
