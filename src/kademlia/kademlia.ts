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
import { type Errand, Lookups, type Walk } from "./lookups.ts";
import {
  decodeMessage,
  encodeMessage,
  type KademliaMessage,
  recordsBytesMax,
  recordsMax,
} from "./messages.ts";
import type { KademliaOptions } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { type DirectoryRecord, readRecord } from "./record.ts";
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
  /** Too many lookups, or too many records of our own, or one that cannot be. */
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
  /** Whether there is such a living member, one to be asked: `Swim.isMember`. Threat: anybody can make up ids. */
  readonly isMember: (id: NodeId) => boolean;
  /**
   * Whether records of this node count, `Swim.isKnown`: of members, and for a while of those that died. Who is on the other side of a
   * partition has not withdrawn anything. Threat: anybody can make up keys to own records with.
   */
  readonly isKnown: (id: NodeId, now: Instant) => boolean;
}

const sweepMs = 10_000;

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
  readonly #lookups: Lookups;
  readonly #publisher: Publisher;
  readonly #timers = new Timers<"sweep">();
  readonly #counters = { malformed: 0, forged: 0, expired: 0, strangers: 0, full: 0, unasked: 0 };

  constructor(setup: KademliaSetup, options: Required<KademliaOptions>) {
    const { self, random } = setup;
    this.#setup = setup;
    this.#options = options;
    const buckets = new Buckets(self, options.bucketSize);
    this.#buckets = buckets;
    this.#store = new RecordStore(self, options);
    this.#lookups = new Lookups({
      self,
      options,
      random,
      buckets,
      send: (to, message) => this.#send(to, message),
      kept: (target, now) => this.#store.get(target, now).filter(({ owner }) => this.#counts(owner, now)),
    });
    this.#publisher = new Publisher({
      ...setup,
      options,
      lookups: this.#lookups,
      found: (record, walk, now) => this.#storeNearest(record, walk, now),
    });
  }

  /** What was not accepted, so far: `strangers` nodes or owners that are no members, `unasked` answers to no question. */
  get counters(): Readonly<
    Record<"malformed" | "forged" | "expired" | "strangers" | "full" | "unasked", number>
  > {
    return this.#counters;
  }

  /** Records kept for others, nodes in the table, lookups under way. */
  get sizes(): { readonly records: number; readonly nodes: number; readonly lookups: number } {
    return { records: this.#store.size, nodes: this.#buckets.size, lookups: this.#lookups.running };
  }

  handle(input: KademliaInput, now: Instant): void {
    switch (input.type) {
      case "memberUp":
        this.#buckets.add(input.id);
        break;
      case "memberDown":
        this.#buckets.remove(input.id);
        this.#lookups.lose(input.id, now);
        break;
      case "message":
        this.#onMessage(input.from, input.via, input.payload, now);
        break;
      case "unreachable":
        this.#lookups.lose(input.id, now);
        break;
      case "get":
        this.#lookUp(input, input.key, (walk, at) => this.#onFound(input.token, walk, at), now);
        break;
      case "find":
        this.#lookUp(input, input.target, (walk) => this.#onNearest(input.token, walk), now);
        break;
      case "publish":
        this.#publish(input, now);
        break;
      case "withdraw":
        this.#publisher.withdraw(input.kind, input.key, now);
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
    return earliest(this.#timers.deadline(), earliest(this.#lookups.deadline(), this.#publisher.deadline()));
  }

  #onTick(now: Instant): void {
    if (this.#timers.expire(now).length > 0) {
      this.#store.sweep(now);
      if (this.#store.size > 0) this.#timers.set("sweep", after(now, sweepMs));
    }
    this.#publisher.tick(now);
    this.#lookups.tick(now);
  }

  // What this node wants.

  #lookUp(
    input: Extract<KademliaInput, { type: "get" | "find" }>,
    target: Point,
    finish: Errand["finish"],
    now: Instant,
  ): void {
    const holders = input.type === "get" ? (input.holders ?? this.#options.holdersWanted) : undefined;
    if (this.#lookups.begin({ target, holders, finish }, now)) return;
    const error = new MeshError("LIMIT", `${this.#lookups.waiting} lookups are waiting already`);
    this.#outputs.push({ type: "refused", input, error });
  }

  #onNearest(token: number, { lookup }: Walk): void {
    this.#outputs.push({ type: "nodes", token, ids: lookup.closest(), queries: lookup.queries });
  }

  #onFound(token: number, walk: Walk, now: Instant): void {
    const records = [...walk.records.values()];
    const said = records.filter(({ value }) => value.length > 0);
    this.#outputs.push({ type: "found", token, records: said, queries: walk.lookup.queries });
    this.#spread(walk, records, now);
  }

  #publish(input: Extract<KademliaInput, { type: "publish" }>, now: Instant): void {
    try {
      this.#publisher.publish(input.kind, input.key, input.value, input.ttlMs, now);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      this.#outputs.push({ type: "refused", input, error });
    }
  }

  #storeNearest(record: DirectoryRecord, walk: Walk, now: Instant): void {
    const { self } = this.#setup;
    const nearest = [...walk.lookup.closest(), self].sort((a, b) => compareDistance(record.key, a, b));
    const targets = nearest.slice(0, this.#options.bucketSize);
    for (const to of targets) {
      if (to === self) this.#keep(record, self, record.ttlMs, now);
      else this.#lookups.store(to, record.ttlMs, [record.bytes], now);
    }
    this.#outputs.push({ type: "published", kind: record.kind, key: record.key, copies: targets.length });
  }

  /** Read repair, and a copy on the path: for a shorter time the farther it is from the key. */
  #spread({ lookup, holders }: Walk, records: readonly DirectoryRecord[], now: Instant): void {
    if (records.length === 0 || records.length > recordsMax) return;
    for (const [holder, held] of holders) {
      const missing = records.filter(({ bytes }) => !held.has(bytes));
      if (holder !== this.#setup.self && missing.length > 0)
        this.#lookups.store(holder, ttlOf(missing), fitting(missing), now);
    }
    const path = lookup.closest();
    const without = path.find((id) => !holders.has(id));
    if (without === undefined) return;
    const between = Math.max(1, lookup.queries - path.indexOf(without));
    this.#lookups.store(without, Math.floor(this.#options.cacheMs / between), fitting(records), now);
  }

  // What others want.

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
      case "store":
        this.#onStore(from, via, message, now);
        return;
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

  #onStore(
    from: NodeId,
    via: NodeId,
    { id, records, keepMs }: Extract<KademliaMessage, { type: "store" }>,
    now: Instant,
  ): void {
    let count = 0;
    const newer: DirectoryRecord[] = [];
    for (const bytes of records) {
      const record = this.#readCurrent(bytes, now);
      if (record === undefined) continue;
      if (this.#keep(record, via, keepMs, now)) count++;
      const kept = this.#store.newer(record);
      if (kept !== undefined && record.owner === from) newer.push(kept);
    }
    // Its owner has a clock that was set back: it is shown what it has to overtake.
    if (newer.length > 0)
      this.#send(from, { type: "records", id, records: fitting(newer), more: false, nodes: [] });
    else this.#send(from, { type: "stored", id, count });
  }

  #onAnswer(
    from: NodeId,
    message: Extract<KademliaMessage, { type: "nodes" | "records" | "stored" }>,
    now: Instant,
  ): void {
    const walk = this.#lookups.answered(from, message.id);
    if (walk === false) {
      this.#counters.unasked++;
      return;
    }
    if (this.#setup.isMember(from)) this.#buckets.add(from);
    if (walk === undefined) {
      if (message.type === "records") this.#onNewer(message.records, now);
      return;
    }
    if (walk.finished || message.type === "stored") return;
    const nodes = message.nodes.filter((id) => this.#setup.isMember(id));
    this.#counters.strangers += message.nodes.length - nodes.length;
    if (message.type === "nodes") {
      this.#lookups.onFindings(walk, from, { nodes }, now);
      return;
    }
    const list: DirectoryRecord[] = [];
    for (const bytes of message.records) {
      const record = this.#readCurrent(bytes, now);
      if (record !== undefined && record.key === walk.errand.target) list.push(record);
    }
    this.#lookups.onFindings(walk, from, { nodes, records: { list, more: message.more } }, now);
  }

  /** Records of ours that are in the way of those that we have stored. */
  #onNewer(records: readonly Uint8Array[], now: Instant): void {
    for (const bytes of records) {
      const record = this.#read(bytes);
      if (record?.owner === this.#setup.self) this.#publisher.onNewer(record, now);
    }
  }

  /** A record from outside, or why not. */
  #read(bytes: Uint8Array): DirectoryRecord | undefined {
    try {
      return readRecord(bytes, this.#setup.crypto);
    } catch (error) {
      if (error instanceof MeshError && error.code === "PROTOCOL") this.#counters.forged++;
      else this.#counters.malformed++;
      return undefined;
    }
  }

  #readCurrent(bytes: Uint8Array, now: Instant): DirectoryRecord | undefined {
    const record = this.#read(bytes);
    if (record === undefined) return undefined;
    if (!this.#counts(record.owner, now)) {
      this.#counters.strangers++;
      return undefined;
    }
    if (this.#remaining(record, now) > 0) return record;
    this.#counters.expired++;
    return undefined;
  }

  #counts(owner: NodeId, now: Instant): boolean {
    return owner === this.#setup.self || this.#setup.isKnown(owner, now);
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
