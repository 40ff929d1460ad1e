import { comparePoints, sharedBits } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import { Avoided } from "./avoided.ts";
import { type Bucket, Members } from "./members.ts";
import { decodeLinkUse, encodeLinkUse, type LinkUse } from "./messages.ts";
import type { RingOptions } from "./options.ts";

export type RingInput =
  | { readonly type: "memberUp"; readonly id: NodeId }
  | { readonly type: "memberDown"; readonly id: NodeId }
  | { readonly type: "linkUp"; readonly id: NodeId }
  /** `avoid`: the other end, or an operator, has ended it on purpose; another member is taken for a while. */
  | { readonly type: "linkDown"; readonly id: NodeId; readonly avoid?: boolean }
  /** Something else of this node (traffic, an operator) needs a link to `id`, or no longer does. None is made to who is no member. */
  | { readonly type: "hold"; readonly id: NodeId; readonly held: boolean }
  /** LINK_USE arrived over the link to `from`. */
  | { readonly type: "linkUse"; readonly from: NodeId; readonly payload: Uint8Array }
  | { readonly type: "tick" };

export type RingOutput =
  /** Make a link to this member. Said again at each check until there is one; a dial that is under way goes on. */
  | { readonly type: "wantLink"; readonly id: NodeId }
  /** End the link, or give up making it. */
  | { readonly type: "dropLink"; readonly id: NodeId }
  /** Send LINK_USE over the link. */
  | { readonly type: "linkUse"; readonly to: NodeId; readonly payload: Uint8Array };

interface LinkState {
  /** Order in which links came up: the last guest is the first to be refused. */
  readonly number: number;
  /** Whether the other end wants it. Until it has said so, it gets the benefit of the grace period. */
  theirs: boolean;
  told: boolean | undefined;
  /** Since when neither end has wanted it. */
  idleSince: Instant | undefined;
}

/**
 * Which links a node keeps: to its neighbours on the ring of node ids, and one into each Kademlia bucket that is not
 * empty, so that a message finds its way in O(log n) hops and never gets stuck.
 *
 * Choices are kept while they are good, however many better ones come along: a mesh whose links move with each member
 * that comes and goes has no quiet moment. A bucket is served by any link that leads into it, also by one that the other
 * end made; only when there is none, a member is chosen at random, so that nobody becomes everybody's choice.
 *
 * A link has two ends and each may want it, so each tells the other whether it does (LINK_USE). When neither has wanted
 * it for the grace period, the end with the smaller id closes it; the other does the same a period later, in case that
 * does not happen.
 */
export class Ring implements Machine<RingInput, RingOutput> {
  readonly #self: NodeId;
  readonly #options: Required<RingOptions>;
  readonly #random: Random;
  readonly #members: Members;
  readonly #outputs = new Queue<RingOutput>();
  readonly #timers = new Timers<"news" | "check">();
  readonly #links = new Map<NodeId, LinkState>();
  /** What the ring wants, and since when there has been no link although it does. */
  readonly #wanted = new Map<NodeId, { missingSince: Instant | undefined }>();
  readonly #held = new Set<NodeId>();
  readonly #avoided: Avoided;
  #neighbours: readonly NodeId[] = [];
  #chosen = new Map<number, NodeId>();
  #linksSeen = 0;
  #refusals = 0;
  #malformed = 0;

  /** @param members who is alive; may be shared with other machines that get the same news. Default: none yet. */
  constructor(self: NodeId, options: Required<RingOptions>, random: Random, members = new Members()) {
    this.#self = self;
    this.#options = options;
    this.#random = random;
    this.#members = members;
    this.#avoided = new Avoided(options.avoidMs);
  }

  /** The neighbours wanted, the nearest clockwise first, then the nearest counter-clockwise. */
  get neighbours(): readonly NodeId[] {
    return this.#neighbours;
  }

  /** All that the ring wants links to. */
  get wanted(): ReadonlySet<NodeId> {
    return new Set(this.#wanted.keys());
  }

  /** Kademlia buckets with a member in them. */
  get buckets(): number {
    return this.#members.buckets(this.#self).length;
  }

  /** Guests refused, and LINK_USE payloads that were none, so far. */
  get counters(): { readonly refusals: number; readonly malformed: number } {
    return { refusals: this.#refusals, malformed: this.#malformed };
  }

  handle(input: RingInput, now: Instant): void {
    switch (input.type) {
      case "memberUp":
        if (input.id === this.#self) return;
        this.#members.add(input.id);
        this.#avoided.forget(input.id);
        break;
      case "memberDown":
        this.#members.delete(input.id);
        break;
      case "linkUp":
        this.#onLinkUp(input.id, now);
        break;
      case "linkDown":
        this.#links.delete(input.id);
        if (input.avoid === true) this.#avoided.add(input.id, now);
        break;
      case "hold":
        if (input.held) this.#held.add(input.id);
        else this.#held.delete(input.id);
        break;
      case "linkUse":
        this.#onLinkUse(input.from, input.payload, now);
        break;
      case "tick":
        this.#onTick(now);
        return;
      default:
        input satisfies never;
    }
    // At this instant, but once: a thousand members may be made known at a time.
    this.#timers.set("news", now);
  }

  poll(): RingOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#timers.deadline();
  }

  #onLinkUp(id: NodeId, now: Instant): void {
    const number = this.#linksSeen++;
    this.#links.set(id, { number, theirs: false, told: undefined, idleSince: now });
    this.#avoided.forget(id);
  }

  #onLinkUse(from: NodeId, payload: Uint8Array, now: Instant): void {
    const link = this.#links.get(from);
    if (link === undefined) return;
    let use: LinkUse;
    try {
      use = decodeLinkUse(payload);
    } catch {
      this.#malformed++;
      return;
    }
    link.theirs = use === "wanted";
    if (use !== "refused") return;
    // Without it the bucket would be served by the same member again, and be refused again.
    this.#avoided.add(from, now);
    this.#outputs.push({ type: "dropLink", id: from });
    this.#links.delete(from);
  }

  #onTick(now: Instant): void {
    const due = this.#timers.expire(now);
    if (due.length > 0) this.#check(now, due.includes("check"));
  }

  #check(now: Instant, repeat: boolean): void {
    this.#loseHope(now);
    this.#neighbours = this.#chooseNeighbours(now);
    this.#chosen = this.#chooseFromBuckets(now);
    const held = [...this.#held].filter((id) => this.#members.has(id) || this.#links.has(id));
    this.#want(new Set([...this.#neighbours, ...this.#chosen.values(), ...held]), now, repeat);
    this.#refuseGuests();
    this.#dropIdle(now);
    if (!this.#timers.has("check")) this.#timers.set("check", after(now, this.#options.checkIntervalMs));
  }

  /** Members that no link can be made to do not keep their place: there would be a hole in the ring. */
  #loseHope(now: Instant): void {
    for (const [id, { missingSince }] of this.#wanted) {
      if (missingSince === undefined || now - missingSince < this.#options.patienceMs) continue;
      this.#avoided.add(id, now);
    }
  }

  #chooseNeighbours(now: Instant): readonly NodeId[] {
    const chosen = new Set<NodeId>();
    for (const step of [1, -1] as const) {
      let count = 0;
      for (const id of this.#members.around(this.#self, step)) {
        if (count === this.#options.neighboursPerSide) break;
        if (this.#avoided.has(id, now)) continue;
        count++;
        chosen.add(id);
      }
    }
    return [...chosen];
  }

  #chooseFromBuckets(now: Instant): Map<number, NodeId> {
    // Links of now, by bucket; those that we want anyway come first, then the oldest.
    const linked = new Map<number, NodeId>();
    for (const id of this.#neighbours) linked.set(sharedBits(this.#self, id), id);
    const chosen = new Map<number, NodeId>();
    for (const [id] of this.#links) {
      const bits = sharedBits(this.#self, id);
      if (!linked.has(bits) && this.#members.has(id) && !this.#avoided.has(id, now)) linked.set(bits, id);
    }
    for (const bucket of this.#members.buckets(this.#self)) {
      const before = this.#chosen.get(bucket.bits);
      const kept =
        before !== undefined && this.#members.has(before) && !this.#avoided.has(before, now)
          ? before
          : undefined;
      const found = linked.get(bucket.bits);
      // A link that exists is as good as one that has to be made, and a neighbour is kept in any case.
      const neighbour = found !== undefined && this.#neighbours.includes(found);
      const settled = kept !== undefined && this.#links.has(kept);
      const id = neighbour ? undefined : settled ? kept : (found ?? kept ?? this.#pick(bucket, now));
      if (id !== undefined) chosen.set(bucket.bits, id);
    }
    return chosen;
  }

  /** A random member of the bucket that is not to be avoided; the next in order when chance finds such a one. */
  #pick(bucket: Bucket, now: Instant): NodeId | undefined {
    const start = this.#random.integer(bucket.size);
    for (let count = 0; count < bucket.size; count++) {
      const id = bucket.at((start + count) % bucket.size);
      if (!this.#avoided.has(id, now)) return id;
    }
    return undefined;
  }

  #want(wanted: ReadonlySet<NodeId>, now: Instant, repeat: boolean): void {
    for (const id of this.#wanted.keys()) {
      if (wanted.has(id)) continue;
      this.#wanted.delete(id);
      // A dial nobody needs any more ends at once; a link has its grace.
      if (!this.#links.has(id)) this.#outputs.push({ type: "dropLink", id });
    }
    for (const id of wanted) {
      const entry = this.#wanted.get(id);
      if (this.#links.has(id)) {
        this.#wanted.set(id, { missingSince: undefined });
        continue;
      }
      const fresh = entry === undefined || entry.missingSince === undefined;
      if (fresh) this.#wanted.set(id, { missingSince: now });
      if (fresh || repeat) this.#outputs.push({ type: "wantLink", id });
    }
    for (const [id, link] of this.#links) this.#tell(id, link, now);
  }

  /** Tells the other end when our mind has changed, and notes since when neither wants the link. */
  #tell(id: NodeId, link: LinkState, now: Instant): void {
    const ours = this.#wanted.has(id);
    if (link.told !== ours) {
      link.told = ours;
      const payload = encodeLinkUse(ours ? "wanted" : "unwanted");
      this.#outputs.push({ type: "linkUse", to: id, payload });
    }
    link.idleSince = ours || link.theirs ? undefined : (link.idleSince ?? now);
  }

  /** Threat: peers that all want links to us would make our degree what they like. The latest are refused. */
  #refuseGuests(): void {
    const guests = [...this.#links].filter(([id, link]) => link.theirs && !this.#wanted.has(id));
    if (guests.length <= this.#options.guestsMax) return;
    guests.sort(([, a], [, b]) => a.number - b.number);
    for (const [id] of guests.slice(this.#options.guestsMax)) {
      this.#refusals++;
      this.#outputs.push({ type: "linkUse", to: id, payload: encodeLinkUse("refused") });
      this.#drop(id);
    }
  }

  #dropIdle(now: Instant): void {
    for (const [id, { idleSince }] of this.#links) {
      if (idleSince === undefined) continue;
      const periods = comparePoints(this.#self, id) < 0 ? 1 : 2;
      if (now - idleSince >= periods * this.#options.graceMs) this.#drop(id);
    }
  }

  #drop(id: NodeId): void {
    this.#links.delete(id);
    this.#outputs.push({ type: "dropLink", id });
  }
}
