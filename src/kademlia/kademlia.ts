import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import { compareDistance, type Point } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import { Buckets } from "./buckets.ts";
import { Lookup } from "./lookup.ts";
import {
  decodeMessage,
  encodeMessage,
  type KademliaMessage,
  recordsBytesMax,
  recordsMax,
} from "./messages.ts";
import type { KademliaOptions } from "./options.ts";
import { type DirectoryRecord, readRecord, signRecord, supersedes } from "./record.ts";
import { Requests } from "./requests.ts";
import { RecordStore } from "./store.ts";

export type KademliaInput =
  | { readonly type: "memberUp"; readonly id: NodeId }
  | { readonly type: "memberDown"; readonly id: NodeId }
  /** LOOKUP from a node. `via`: the neighbour whose link it came over, which is all that is certain. */
  | { readonly type: "message"; readonly from: NodeId; readonly via: NodeId; readonly payload: Uint8Array }
  /** What was sent to `id` could not be delivered: it need not be waited for. */
  | { readonly type: "unreachable"; readonly id: NodeId }
  /**
   * Find the records under `key`; `found` answers under the same `token`. `holders`: nodes that must have some for the lookup
   * to end before it has come nearest, ≥ 1; `Infinity` asks all of the k nearest. Default `holdersWanted`.
   */
  | { readonly type: "get"; readonly token: number; readonly key: Point; readonly holders?: number }
  /** Find the nodes nearest to `target`; `nodes` answers. */
  | { readonly type: "find"; readonly token: number; readonly target: Point }
  /** Say something in the directory, and go on saying it until it is withdrawn. `published` answers each time. */
  | {
      readonly type: "publish";
      readonly kind: number;
      readonly key: Point;
      readonly value: Uint8Array;
      readonly ttlMs: number;
    }
  | { readonly type: "withdraw"; readonly kind: number; readonly key: Point }
  | { readonly type: "tick" };

export type KademliaOutput =
  /** Send LOOKUP to a node, over the link or forwarded; may be lost. */
  | { readonly type: "send"; readonly to: NodeId; readonly payload: Uint8Array }
  | {
      readonly type: "found";
      readonly token: number;
      readonly records: readonly DirectoryRecord[];
      /** Nodes asked. */
      readonly queries: number;
    }
  | {
      readonly type: "nodes";
      readonly token: number;
      readonly ids: readonly NodeId[];
      readonly queries: number;
    }
  /** Given to so many nodes, perhaps this one among them. */
  | { readonly type: "published"; readonly kind: number; readonly key: Point; readonly copies: number }
  /** Too many lookups, or records of our own. */
  | { readonly type: "refused"; readonly input: KademliaInput; readonly error: MeshError };

/** What surrounds the machine. */
export interface KademliaSetup {
  readonly self: NodeId;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  readonly random: Random;
  /** Milliseconds since 1970 at `now`: records expire by it. */
  readonly wallClock: (now: Instant) => number;
  /** Whether there is such a member. Threat: anybody can make up ids, and keys to own records with. */
  readonly isMember: (id: NodeId) => boolean;
}

interface Task {
  readonly lookup: Lookup;
  readonly purpose:
    | { readonly type: "get"; readonly token: number; readonly holders: number }
    | { readonly type: "find"; readonly token: number }
    | { readonly type: "publish"; readonly record: DirectoryRecord };
  /** The best of each owner and kind so far. */
  readonly records: Map<string, DirectoryRecord>;
  /** Who has records, and which. */
  readonly holders: Map<NodeId, Set<Uint8Array>>;
  finished: boolean;
}

interface Own {
  readonly kind: number;
  readonly key: Point;
  readonly ttlMs: number;
  value: Uint8Array;
  sequence: number;
  due: Instant;
  withdrawn: boolean;
}

/** Records that one lookup collects, at most. */
const foundMax = 4_096;
const sweepMs = 10_000;
/** Lookups that wait for their turn, in multiples of those under way. */
const waitingPerLookup = 10;

/**
 * Kademlia: who is near to a point, and a directory of signed records kept by the k nodes nearest to their keys.
 *
 * A record is stored by its owner, again and again, so that it follows the nodes that come and go and ends with its owner.
 * Whoever looks one up leaves a copy, for a short time, with the nearest node asked that did not have it, so that many
 * lookups of one key do not all end at the same nodes; and gives the newest version to those that had an older one.
 *
 * What others say is believed of records only, which are signed. That a node exists is believed of members only.
 */
export class Kademlia implements Machine<KademliaInput, KademliaOutput> {
  readonly #setup: KademliaSetup;
  readonly #options: Required<KademliaOptions>;
  readonly #outputs = new Queue<KademliaOutput>();
  readonly #buckets: Buckets;
  readonly #store: RecordStore;
  readonly #requests: Requests<Task>;
  readonly #own = new Map<string, Own>();
  /** The highest of those withdrawn: what is published again within the same millisecond must come after. */
  #withdrawnSequence = 0;
  readonly #timers = new Timers<"republish" | "sweep">();
  readonly #waiting = new Queue<{ readonly target: Point; readonly purpose: Task["purpose"] }>();
  #running = 0;
  readonly #counters = { malformed: 0, forged: 0, expired: 0, strangers: 0, full: 0, unasked: 0 };

  constructor(setup: KademliaSetup, options: Required<KademliaOptions>) {
    this.#setup = setup;
    this.#options = options;
    this.#buckets = new Buckets(setup.self, options.bucketSize);
    this.#store = new RecordStore(setup.self, options);
    this.#requests = new Requests(setup.random, options.requestTimeoutMs);
  }

  /** What was not accepted, so far: `strangers` nodes or owners that are no members, `unasked` answers to no question. */
  get counters(): Readonly<
    Record<"malformed" | "forged" | "expired" | "strangers" | "full" | "unasked", number>
  > {
    return this.#counters;
  }

  /** Records kept for others, nodes in the table, lookups under way. */
  get sizes(): { readonly records: number; readonly nodes: number; readonly lookups: number } {
    return { records: this.#store.size, nodes: this.#buckets.size, lookups: this.#running };
  }

  handle(input: KademliaInput, now: Instant): void {
    switch (input.type) {
      case "memberUp":
        this.#buckets.add(input.id);
        break;
      case "memberDown":
        this.#buckets.remove(input.id);
        this.#lose(input.id, now);
        break;
      case "message":
        this.#onMessage(input.from, input.via, input.payload, now);
        break;
      case "unreachable":
        this.#lose(input.id, now);
        break;
      case "get":
        this.#begin(
          input,
          input.key,
          { type: "get", token: input.token, holders: input.holders ?? this.#options.holdersWanted },
          now,
        );
        break;
      case "find":
        this.#begin(input, input.target, { type: "find", token: input.token }, now);
        break;
      case "publish":
        this.#onPublish(input, now);
        break;
      case "withdraw":
        this.#onWithdraw(input.kind, input.key, now);
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): KademliaOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return earliest(this.#timers.deadline(), this.#requests.deadline());
  }

  #onTick(now: Instant): void {
    for (const timer of this.#timers.expire(now)) {
      if (timer === "republish") this.#republish(now);
      else {
        this.#store.sweep(now);
        if (this.#store.size > 0) this.#timers.set("sweep", after(now, sweepMs));
      }
    }
    for (const { to, task } of this.#requests.expire(now)) {
      this.#buckets.fail(to);
      task?.lookup.failed(to);
      if (task !== undefined) this.#advance(task, now);
    }
  }

  /** `id` will not answer. */
  #lose(id: NodeId, now: Instant): void {
    for (const { task } of this.#requests.lose(id)) {
      task?.lookup.failed(id);
      if (task !== undefined) this.#advance(task, now);
    }
  }

  // Own records.

  #onPublish(input: Extract<KademliaInput, { type: "publish" }>, now: Instant): void {
    const { kind, key, value, ttlMs } = input;
    const name = `${kind} ${key}`;
    const before = this.#own.get(name);
    if (before === undefined && this.#own.size >= this.#options.ownRecordsMax) {
      const error = new MeshError("LIMIT", `${this.#options.ownRecordsMax} records are published already`);
      this.#outputs.push({ type: "refused", input, error });
      return;
    }
    // By the clock, so that it grows over restarts of this node, too.
    const least = (before?.sequence ?? this.#withdrawnSequence) + 1;
    const sequence = Math.max(least, Math.floor(this.#setup.wallClock(now)));
    const own: Own = { kind, key, ttlMs, value, sequence, due: now, withdrawn: false };
    this.#own.set(name, own);
    this.#announce(input, own, now);
  }

  #onWithdraw(kind: number, key: Point, now: Instant): void {
    const own = this.#own.get(`${kind} ${key}`);
    if (own === undefined) return;
    own.value = new Uint8Array(0);
    own.sequence++;
    this.#withdrawnSequence = Math.max(this.#withdrawnSequence, own.sequence);
    own.withdrawn = true;
    this.#announce({ type: "withdraw", kind, key }, own, now);
    // Said once: those who do not hear it let the record expire.
    this.#own.delete(`${kind} ${key}`);
  }

  #announce(input: KademliaInput, own: Own, now: Instant): void {
    let record: DirectoryRecord;
    try {
      const claim = { ...own, issuedMs: this.#setup.wallClock(now) };
      record = signRecord(claim, this.#setup.publicKey, this.#setup.crypto);
    } catch (error) {
      this.#own.delete(`${own.kind} ${own.key}`);
      if (!(error instanceof MeshError)) throw error;
      this.#outputs.push({ type: "refused", input, error });
      return;
    }
    // A tenth earlier or later, or all who started together would store together.
    own.due = after(
      now,
      Math.min(this.#options.republishMs, own.ttlMs / 3) * (0.9 + 0.2 * this.#setup.random.float()),
    );
    this.#scheduleRepublish();
    this.#begin(input, own.key, { type: "publish", record }, now);
  }

  #republish(now: Instant): void {
    for (const own of this.#own.values()) {
      if (own.due <= now) this.#announce({ type: "publish", ...own }, own, now);
    }
    this.#scheduleRepublish();
  }

  #scheduleRepublish(): void {
    let next: Instant | undefined;
    for (const { due } of this.#own.values()) next = earliest(next, due);
    if (next === undefined) this.#timers.clear("republish");
    else this.#timers.set("republish", next);
  }

  // Lookups.

  #begin(input: KademliaInput, target: Point, purpose: Task["purpose"], now: Instant): void {
    if (this.#running < this.#options.lookupsMax) {
      this.#start(target, purpose, now);
    } else if (this.#waiting.length < waitingPerLookup * this.#options.lookupsMax) {
      this.#waiting.push({ target, purpose });
    } else {
      const error = new MeshError("LIMIT", `${this.#waiting.length} lookups are waiting already`);
      this.#outputs.push({ type: "refused", input, error });
    }
  }

  #start(target: Point, purpose: Task["purpose"], now: Instant): void {
    this.#running++;
    const start = this.#buckets.closest(target, this.#options.bucketSize);
    const lookup = new Lookup(target, this.#setup.self, start, this.#options);
    const task: Task = { lookup, purpose, records: new Map(), holders: new Map(), finished: false };
    if (purpose.type === "get") this.#collect(task, this.#setup.self, this.#store.get(target, now));
    this.#advance(task, now);
  }

  #advance(task: Task, now: Instant): void {
    if (task.finished) return;
    const enough = task.purpose.type === "get" && task.holders.size >= task.purpose.holders;
    if (!enough) {
      for (let to = task.lookup.next(); to !== undefined; to = task.lookup.next())
        this.#ask(task, to, 0, now);
      if (!task.lookup.done) return;
    }
    task.finished = true;
    this.#running--;
    this.#finish(task, now);
    const next = this.#running < this.#options.lookupsMax ? this.#waiting.shift() : undefined;
    if (next !== undefined) this.#start(next.target, next.purpose, now);
  }

  #ask(task: Task, to: NodeId, skip: number, now: Instant): void {
    const id = this.#requests.add(to, task, now);
    const { target } = task.lookup;
    this.#send(
      to,
      task.purpose.type === "get" ? { type: "get", id, target, skip } : { type: "find", id, target },
    );
  }

  #finish(task: Task, now: Instant): void {
    const { lookup, purpose } = task;
    const { queries } = lookup;
    if (purpose.type === "find") {
      this.#outputs.push({ type: "nodes", token: purpose.token, ids: lookup.closest(), queries });
    } else if (purpose.type === "publish") {
      this.#storeNearest(purpose.record, lookup.closest(), now);
    } else {
      const records = [...task.records.values()];
      const said = records.filter(({ value }) => value.length > 0);
      this.#outputs.push({ type: "found", token: purpose.token, records: said, queries });
      this.#spread(task, records, now);
    }
  }

  #storeNearest(record: DirectoryRecord, closest: readonly NodeId[], now: Instant): void {
    const { self } = this.#setup;
    const nearest = [...closest, self].sort((a, b) => compareDistance(record.key, a, b));
    const targets = nearest.slice(0, this.#options.bucketSize);
    const keepMs = record.ttlMs;
    for (const to of targets) {
      if (to === self) this.#keep(record, self, keepMs, now);
      else
        this.#send(to, {
          type: "store",
          id: this.#requests.add(to, undefined, now),
          keepMs,
          records: [record.bytes],
        });
    }
    this.#outputs.push({ type: "published", kind: record.kind, key: record.key, copies: targets.length });
  }

  /** Read repair, and a copy on the path: for a shorter time the farther it is from the key. */
  #spread(task: Task, records: readonly DirectoryRecord[], now: Instant): void {
    if (records.length === 0 || records.length > recordsMax) return;
    for (const [holder, held] of task.holders) {
      const missing = records.filter(({ bytes }) => !held.has(bytes));
      if (holder !== this.#setup.self && missing.length > 0) this.#give(holder, missing, ttlOf(missing), now);
    }
    const path = task.lookup.closest();
    const without = path.find((id) => !task.holders.has(id));
    if (without === undefined) return;
    const between = task.lookup.queries - path.indexOf(without);
    this.#give(without, records, this.#options.cacheMs / Math.max(1, between), now);
  }

  #give(to: NodeId, records: readonly DirectoryRecord[], keepMs: number, now: Instant): void {
    const id = this.#requests.add(to, undefined, now);
    this.#send(to, { type: "store", id, keepMs: Math.floor(keepMs), records: fitting(records) });
  }

  // Messages.

  #onMessage(from: NodeId, via: NodeId, payload: Uint8Array, now: Instant): void {
    let message: KademliaMessage;
    try {
      message = decodeMessage(payload);
    } catch {
      this.#counters.malformed++;
      return;
    }
    switch (message.type) {
      case "find": {
        const nodes = this.#buckets.closest(message.target, this.#options.bucketSize);
        this.#send(from, { type: "nodes", id: message.id, nodes });
        return;
      }
      case "get":
        this.#onGet(from, message.id, message.target, message.skip, now);
        return;
      case "store": {
        let count = 0;
        for (const bytes of message.records) {
          const record = this.#read(bytes, now);
          if (record !== undefined && this.#keep(record, via, message.keepMs, now)) count++;
        }
        this.#send(from, { type: "stored", id: message.id, count });
        return;
      }
      default:
        this.#onAnswer(from, message, now);
    }
  }

  #onGet(from: NodeId, id: number, target: Point, skip: number, now: Instant): void {
    const records = this.#store.get(target, now).slice(skip);
    const bytes = fitting(records);
    const nodes = this.#buckets.closest(target, this.#options.bucketSize);
    this.#send(from, { type: "records", id, records: bytes, more: bytes.length < records.length, nodes });
  }

  #onAnswer(
    from: NodeId,
    message: Extract<KademliaMessage, { type: "nodes" | "records" | "stored" }>,
    now: Instant,
  ): void {
    const request = this.#requests.answer(from, message.id);
    if (request === undefined) {
      this.#counters.unasked++;
      return;
    }
    if (this.#setup.isMember(from)) this.#buckets.add(from);
    const { task } = request;
    if (task === undefined || task.finished || message.type === "stored") return;
    const members = message.nodes.filter((id) => this.#setup.isMember(id));
    this.#counters.strangers += message.nodes.length - members.length;
    task.lookup.add(members);
    if (message.type === "records") {
      const records: DirectoryRecord[] = [];
      for (const bytes of message.records) {
        const record = this.#read(bytes, now);
        if (record !== undefined && record.key === task.lookup.target) records.push(record);
      }
      const before = task.holders.get(from)?.size ?? 0;
      const had = this.#collect(task, from, records);
      // Whoever says that there is more and gives nothing new is not asked again.
      if (message.more && had > before && had < foundMax && task.records.size < foundMax) {
        this.#ask(task, from, had, now);
        return;
      }
    }
    task.lookup.answered(from);
    this.#advance(task, now);
  }

  /** Adds what `holder` has to what is known; returns how much it has shown so far. */
  #collect(task: Task, holder: NodeId, records: readonly DirectoryRecord[]): number {
    if (records.length === 0) return task.holders.get(holder)?.size ?? 0;
    const held = task.holders.get(holder) ?? new Set<Uint8Array>();
    task.holders.set(holder, held);
    for (const record of records) {
      const name = `${record.kind} ${record.owner}`;
      const before = task.records.get(name);
      if (before !== undefined && !supersedes(record, before)) {
        // The same in other bytes' clothes: compared by identity from here on.
        held.add(supersedes(before, record) ? record.bytes : before.bytes);
        continue;
      }
      if (before === undefined && task.records.size >= foundMax) continue;
      task.records.set(name, record);
      held.add(record.bytes);
    }
    return held.size;
  }

  /** A record from outside, or why not. */
  #read(bytes: Uint8Array, now: Instant): DirectoryRecord | undefined {
    let record: DirectoryRecord;
    try {
      record = readRecord(bytes, this.#setup.crypto);
    } catch (error) {
      if (error instanceof MeshError && error.code === "PROTOCOL") this.#counters.forged++;
      else this.#counters.malformed++;
      return undefined;
    }
    if (!this.#setup.isMember(record.owner) && record.owner !== this.#setup.self) {
      this.#counters.strangers++;
      return undefined;
    }
    if (this.#remaining(record, now) > 0) return record;
    this.#counters.expired++;
    return undefined;
  }

  /** How long the record lasts yet, by our clock and with what it may be wrong; negative when it is from the future. */
  #remaining({ issuedMs, ttlMs }: DirectoryRecord, now: Instant): number {
    const { clockSkewMs } = this.#options;
    const age = this.#setup.wallClock(now) - issuedMs;
    return age < -clockSkewMs ? -1 : Math.min(ttlMs, ttlMs + clockSkewMs - age);
  }

  #keep(record: DirectoryRecord, via: NodeId, keepMs: number, now: Instant): boolean {
    const until = after(now, Math.min(keepMs, this.#remaining(record, now)));
    const result = this.#store.put(record, via, until);
    if (result === "full") this.#counters.full++;
    if (!this.#timers.has("sweep")) this.#timers.set("sweep", after(now, sweepMs));
    return result !== "full";
  }

  #send(to: NodeId, message: KademliaMessage): void {
    this.#outputs.push({ type: "send", to, payload: encodeMessage(message) });
  }
}

/** As many of the records, from the first on, as a message may hold. */
function fitting(records: readonly DirectoryRecord[]): Uint8Array[] {
  const fit: Uint8Array[] = [];
  let size = 0;
  for (const { bytes } of records) {
    size += bytes.length;
    if (fit.length === recordsMax || (fit.length > 0 && size > recordsBytesMax)) break;
    fit.push(bytes);
  }
  return fit;
}

function ttlOf(records: readonly DirectoryRecord[]): number {
  return Math.min(...records.map(({ ttlMs }) => ttlMs));
}
