import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import type { Member } from "./member.ts";
import type { SwimCounters } from "./messages.ts";
import type { ResolvedSwimOptions } from "./options.ts";
import { isNewer, type MemberRecord, versionOf } from "./record.ts";
import { decodeSync, encodeSync, type ListEntry, type SyncMessage } from "./sync-messages.ts";
import type { Table } from "./table.ts";

/** What the synchroniser needs of the node. */
export interface SyncSurroundings {
  readonly options: ResolvedSwimOptions;
  readonly table: Table;
  readonly random: Random;
  readonly counters: SwimCounters;
  own(): MemberRecord;
  send(to: NodeId, payload: Uint8Array): void;
  wantLink(peer: NodeId | undefined, address: string): void;
  dropLink(peer: NodeId): void;
  /** True when it was news. */
  applyRecord(bytes: Uint8Array, from: NodeId, now: Instant): boolean;
  /** Others know another record of this node that is as new as its own, or hold it for dead. */
  contradicted(now: Instant): void;
  /** One of two tables holds it for dead and the other does not: find out. */
  dispute(member: Member, now: Instant): void;
}

/** Records in a message: enough to be worth it, few enough to check their signatures in a turn. */
const recordsPerMessage = 32;
/** An exchange that changed so much is followed by another soon: after a partition, news is too much for gossip. */
const manyChanges = 8;
const soonMs = 1_000;
/** Links of the ring to prefer over a dialled one. */
const linksEnough = 3;
/** Least gap between two lists sent to one peer. */
const listGapMs = 500;

interface PeerLink {
  listedAt: Instant | undefined;
}

/**
 * Exchanges of the whole state, by messages over a link: on joining, with those that come back, and now and then with anybody, for
 * what gossip has missed. Tables that agree find out by a hash; otherwise one side lists what it knows, and both send what the
 * other lacks.
 */
export class Synchroniser {
  readonly #around: SyncSurroundings;
  readonly #links = new Map<NodeId, PeerLink>();
  /** Links that were dialled for an exchange, or are being. */
  readonly #wanted = new Set<NodeId>();
  readonly #joining = new Set<string>();
  /** Peers that were sent an offer: it may be answered once. */
  readonly #begun = new Schedule<NodeId>();
  /** Peers that have answered it with a list, and may send the records that this node lacks. */
  readonly #asked = new Schedule<NodeId>();
  /** Peers that were sent a list, and may send what it lacks. */
  readonly #listed = new Schedule<NodeId>();
  #changes = 0;
  #due: Instant | undefined;

  constructor(around: SyncSurroundings) {
    this.#around = around;
  }

  start(now: Instant): void {
    this.#arrange(this.#around.options.syncIntervalMs, now);
  }

  /** No more exchanges of its own accord. */
  stop(): void {
    this.#due = undefined;
  }

  deadline(): Instant | undefined {
    let next = this.#due;
    for (const schedule of [this.#begun, this.#asked, this.#listed])
      next = earliest(next, schedule.deadline());
    return next;
  }

  tick(now: Instant): void {
    for (const schedule of [this.#begun, this.#asked]) {
      for (let peer = schedule.expire(now); peer !== undefined; peer = schedule.expire(now)) this.#end(peer);
    }
    while (this.#listed.expire(now) !== undefined);
    if (this.#due === undefined || now < this.#due) return;
    this.#arrange(this.#around.options.syncIntervalMs, now);
    const partner = this.#partner();
    if (partner !== undefined) this.exchangeWith(partner.record, now);
  }

  join(address: string): void {
    this.#joining.add(address);
    this.#around.wantLink(undefined, address);
  }

  exchangeWith({ id, address }: { readonly id: NodeId; readonly address: string }, now: Instant): void {
    if (this.#links.has(id)) this.#begin(id, now);
    else {
      this.#wanted.add(id);
      this.#around.wantLink(id, address);
    }
  }

  onLinkUp(peer: NodeId, address: string, now: Instant): void {
    if (!this.#links.has(peer)) this.#links.set(peer, { listedAt: undefined });
    if (this.#joining.delete(address)) this.#wanted.add(peer);
    if (this.#wanted.has(peer)) this.#begin(peer, now);
  }

  onLinkDown(peer: NodeId): void {
    this.#links.delete(peer);
    this.#wanted.delete(peer);
    for (const schedule of [this.#begun, this.#asked, this.#listed]) schedule.clear(peer);
  }

  onLinkFailed(peer: NodeId | undefined, address: string): void {
    if (peer === undefined) this.#joining.delete(address);
    else this.#wanted.delete(peer);
  }

  /** Members that are alive and to which there are links. */
  linked(): Member[] {
    const { table } = this.#around;
    return [...this.#links.keys()].flatMap((id) => {
      const member = table.get(id);
      return member?.state === "alive" ? [member] : [];
    });
  }

  onMessage(from: NodeId, payload: Uint8Array, now: Instant): void {
    const message = this.#decode(payload);
    if (message === undefined) return;
    switch (message.kind) {
      case "offer":
        this.#onOffer(from, message.count, message.hash, now);
        break;
      case "same":
        if (this.#begun.get(from) === undefined) this.#around.counters.uninvited++;
        else this.#end(from);
        break;
      case "list":
        if (this.#begun.get(from) === undefined) this.#around.counters.uninvited++;
        else this.#onList(from, message.entries, now);
        break;
      case "records":
        this.#onRecords(from, message.records, message.isLast, now);
        break;
      case "wants":
        this.#onWants(from, message.wanted, message.disputed, now);
        break;
      default:
        message satisfies never;
    }
  }

  #decode(payload: Uint8Array): SyncMessage | undefined {
    try {
      // The peer's bound may be another than ours, but not without end.
      return decodeSync(payload, 2 * this.#around.options.membersMax);
    } catch {
      this.#around.counters.malformed++;
      return undefined;
    }
  }

  #begin(peer: NodeId, now: Instant): void {
    if (this.#begun.get(peer) !== undefined || this.#asked.get(peer) !== undefined) return;
    this.#begun.set(peer, after(now, this.#around.options.syncTimeoutMs));
    const { count, hash } = this.#summary();
    this.#send(peer, { kind: "offer", count, hash });
  }

  #end(peer: NodeId): void {
    this.#begun.clear(peer);
    this.#asked.clear(peer);
    if (this.#wanted.delete(peer)) this.#around.dropLink(peer);
  }

  #onOffer(from: NodeId, count: number, hash: readonly [number, number], now: Instant): void {
    const own = this.#summary();
    if (count === own.count && hash[0] === own.hash[0] && hash[1] === own.hash[1]) {
      this.#send(from, { kind: "same" });
      return;
    }
    const link = this.#links.get(from);
    // A list is long and its request short: whoever asks too often gets none.
    if (link === undefined || (link.listedAt !== undefined && now - link.listedAt < listGapMs)) {
      this.#around.counters.uninvited++;
      return;
    }
    link.listedAt = now;
    this.#listed.set(from, after(now, this.#around.options.syncTimeoutMs));
    this.#send(from, { kind: "list", entries: this.#list() });
  }

  /** The peer's table against ours: what it lacks is sent, what we lack is asked for, what differs is disputed. */
  #onList(from: NodeId, entries: readonly ListEntry[], now: Instant): void {
    const { table, options } = this.#around;
    // Threat: an answer is a hundred times as long as a list that says little, so there is one, with each record once.
    this.#begun.clear(from);
    this.#asked.set(from, after(now, options.syncTimeoutMs));
    const seen = new Set<NodeId>();
    const lacking = new Set<Member>();
    for (const member of table.members()) if (member.isLiving) lacking.add(member);
    const sent: MemberRecord[] = [];
    const wanted: NodeId[] = [];
    const disputed: NodeId[] = [];
    let room = options.membersMax - table.livingCount;
    let ownEntry: ListEntry | undefined;
    for (const entry of entries) {
      if (seen.has(entry.id)) continue;
      seen.add(entry.id);
      const member = table.get(entry.id);
      if (entry.id === this.#around.own().id) ownEntry = entry;
      else if (member === undefined) {
        if (entry.state === "dead" || entry.state === "left" || --room < 0) continue;
        wanted.push(entry.id);
      } else {
        lacking.delete(member);
        const version = versionOf(member.record);
        if (isNewer(entry, version)) wanted.push(entry.id);
        else if (isNewer(version, entry)) sent.push(member.record);
        else if ((entry.state === "dead") !== (member.state === "dead")) {
          disputed.push(entry.id);
          this.#around.dispute(member, now);
        }
      }
    }
    this.#compareOwn(ownEntry, sent, wanted, now);
    for (const { record } of lacking) sent.push(record);
    this.#sendRecords(from, sent, false);
    this.#send(from, { kind: "wants", wanted, disputed });
  }

  #compareOwn(entry: ListEntry | undefined, sent: MemberRecord[], wanted: NodeId[], now: Instant): void {
    const own = this.#around.own();
    if (entry !== undefined && entry.incarnation > own.incarnation) {
      // Of an earlier life, if it is true. Threat: whoever believed it could be led to the end of all incarnations.
      wanted.push(own.id);
      return;
    }
    if (entry?.incarnation === own.incarnation) {
      const isTheSame = entry.fingerprint === own.fingerprint[0];
      if (isTheSame && (entry.state === "alive" || own.hasLeft)) return;
      this.#around.contradicted(now);
    }
    sent.push(this.#around.own());
  }

  #onRecords(from: NodeId, records: readonly Uint8Array[], isLast: boolean, now: Instant): void {
    const isAwaited = this.#asked.get(from) !== undefined || this.#listed.get(from) !== undefined;
    if (!isAwaited || records.length > recordsPerMessage) {
      this.#around.counters.uninvited++;
      return;
    }
    for (const record of records) if (this.#around.applyRecord(record, from, now)) this.#noteChange(now);
    if (isLast) this.#end(from);
  }

  #onWants(from: NodeId, wanted: readonly NodeId[], disputed: readonly NodeId[], now: Instant): void {
    if (this.#listed.get(from) === undefined) {
      this.#around.counters.uninvited++;
      return;
    }
    this.#listed.clear(from);
    const { table } = this.#around;
    const own = this.#around.own();
    const records = [...new Set(wanted)].flatMap((id) =>
      id === own.id ? own : (table.get(id)?.record ?? []),
    );
    this.#sendRecords(from, records, true);
    for (const id of disputed) {
      const member = table.get(id);
      if (member !== undefined) this.#around.dispute(member, now);
    }
  }

  #noteChange(now: Instant): void {
    this.#changes++;
    if (this.#changes < manyChanges) return;
    this.#changes = 0;
    const soon = after(now, soonMs * (0.5 + this.#around.random.float()));
    if (this.#due !== undefined && this.#due > after(now, 2 * soonMs)) this.#due = soon;
  }

  #sendRecords(to: NodeId, records: readonly MemberRecord[], isLast: boolean): void {
    // The last message is sent even with nothing in it: it is what the other side waits for.
    const count = Math.max(isLast ? 1 : 0, Math.ceil(records.length / recordsPerMessage));
    for (let index = 0; index < count; index++) {
      const piece = records.slice(index * recordsPerMessage, (index + 1) * recordsPerMessage);
      this.#send(to, {
        kind: "records",
        isLast: isLast && index === count - 1,
        records: piece.map(({ bytes }) => bytes),
      });
    }
  }

  #summary(): { readonly count: number; readonly hash: readonly [number, number] } {
    const { table } = this.#around;
    const [high, low] = table.hash;
    const [ownHigh, ownLow] = this.#around.own().fingerprint;
    return { count: table.livingCount + 1, hash: [(high ^ ownHigh) >>> 0, (low ^ ownLow) >>> 0] };
  }

  #list(): ListEntry[] {
    const own = this.#around.own();
    const list = [entryOf(own, own.hasLeft ? "left" : "alive")];
    for (const { record, state } of this.#around.table.members()) list.push(entryOf(record, state));
    return list;
  }

  #partner(): Member | undefined {
    const { table, random } = this.#around;
    const linked = this.linked();
    if (linked.length >= linksEnough) return linked[random.integer(linked.length)];
    return table.pick(1, ({ state }) => state === "alive")[0];
  }

  #arrange(intervalMs: number, now: Instant): void {
    this.#due = after(now, intervalMs * (0.75 + this.#around.random.float() / 2));
    this.#changes = 0;
  }

  #send(to: NodeId, message: SyncMessage): void {
    this.#around.send(to, encodeSync(message));
  }
}

function entryOf(record: MemberRecord, state: ListEntry["state"]): ListEntry {
  return { id: record.id, incarnation: record.incarnation, fingerprint: record.fingerprint[0], state };
}
