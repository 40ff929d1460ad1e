import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { Member, type MemberState } from "./member.ts";
import type { MemberRecord } from "./record.ts";

/** Share of a full table that one introducer may fill with members that nobody else has shown. */
const hearsayShareMax = 1 / 8;

/**
 * The members that this node knows, other than itself: by id, and the living ones also in the order in which they are
 * probed. That order is shuffled anew after each pass and newcomers get a random place in it, so that each is probed once
 * in a pass and nobody knows by whom next (SWIM §4.3).
 */
export class Table {
  readonly #random: Random;
  readonly #membersMax: number;
  readonly #evicted: (member: Member) => void;
  readonly #members = new Map<NodeId, Member>();
  readonly #living: Member[] = [];
  /** Dead and left, the one gone longest first. */
  readonly #gone = new Set<Member>();
  /** How many living members, not yet heard themselves, each introducer has told of. */
  readonly #hearsay = new Map<NodeId, number>();
  #next = 0;
  /** As it was last asked for: the same until somebody comes or goes. */
  #follower: { readonly of: NodeId; readonly member: Member | undefined } | undefined;
  #hashHigh = 0;
  #hashLow = 0;

  /** @param evicted told of living members that had to make room; they are `dead` by then. */
  constructor(membersMax: number, random: Random, evicted: (member: Member) => void) {
    this.#membersMax = membersMax;
    this.#random = random;
    this.#evicted = evicted;
  }

  get size(): number {
    return this.#members.size;
  }

  get livingCount(): number {
    return this.#living.length;
  }

  /** Of the records of the living: equal for tables that agree, whatever they remember of the dead. */
  get hash(): readonly [number, number] {
    return [this.#hashHigh >>> 0, this.#hashLow >>> 0];
  }

  get(id: NodeId): Member | undefined {
    return this.#members.get(id);
  }

  members(): IterableIterator<Member> {
    return this.#members.values();
  }

  /**
   * Adds a living member; `undefined` when there is no room.
   *
   * A peer may invent any number of members. When the table is full, the dead make room first, and then a member that
   * nobody but its introducer has shown: one of that introducer which has told of most such. Whoever has told of an eighth
   * of the table himself gets no room that way, or he would push out those that a newcomer learned of where it joined.
   */
  add(record: MemberRecord, introducer: NodeId): Member | undefined {
    if (this.#members.size >= this.#membersMax && !this.#makeRoom(introducer)) return undefined;
    const member = new Member(record, introducer);
    this.#members.set(record.id, member);
    this.#enter(member);
    return member;
  }

  /** The member itself was heard: it is no invention. */
  confirm(member: Member): void {
    if (member.introducer === undefined) return;
    if (member.isLiving) this.#countHearsay(member.introducer, -1);
    member.introducer = undefined;
  }

  setState(member: Member, state: MemberState): void {
    const wasLiving = member.isLiving;
    member.state = state;
    if (wasLiving === member.isLiving) return;
    if (wasLiving) {
      this.#withdraw(member);
      this.#gone.add(member);
    } else {
      this.#gone.delete(member);
      this.#enter(member);
    }
  }

  setRecord(member: Member, record: MemberRecord): void {
    if (member.isLiving) {
      this.#mix(member.record);
      this.#mix(record);
    }
    member.record = record;
  }

  /** Whose turn it is to be probed. */
  nextToProbe(): Member | undefined {
    if (this.#next >= this.#living.length) {
      this.#shuffle();
      this.#next = 0;
    }
    return this.#living[this.#next++];
  }

  /** The living member that follows `id` in the order of ids, which goes round. */
  follower(id: NodeId): Member | undefined {
    if (this.#follower?.of !== id) this.#follower = { of: id, member: this.#findFollower(id) };
    return this.#follower.member;
  }

  #findFollower(id: NodeId): Member | undefined {
    let [next, first]: [Member | undefined, Member | undefined] = [undefined, undefined];
    for (const member of this.#living) {
      const other = member.record.id;
      if (first === undefined || other < first.record.id) first = member;
      if (other > id && (next === undefined || other < next.record.id)) next = member;
    }
    return next ?? first;
  }

  /** Up to `count` different living members by chance, of those that pass `suits`. */
  pick(count: number, suits: (member: Member) => boolean = () => true): Member[] {
    const picked: Member[] = [];
    // A few tries more than wanted, rather than a copy of thousands: in a large table they practically always suffice.
    const triesMax = count * 3 + 8;
    if (this.#living.length <= triesMax) {
      const all = this.#living.filter(suits);
      while (picked.length < count && all.length > 0) {
        picked.push(...all.splice(this.#random.integer(all.length), 1));
      }
      return picked;
    }
    for (let tries = 0; tries < triesMax && picked.length < count; tries++) {
      const member = this.#living[this.#random.integer(this.#living.length)] as Member;
      if (!picked.includes(member) && suits(member)) picked.push(member);
    }
    return picked;
  }

  #enter(member: Member): void {
    this.#follower = undefined;
    const living = this.#living;
    const place = this.#random.integer(living.length + 1);
    living.push(member);
    [living[place], living[living.length - 1]] = [
      living[living.length - 1] as Member,
      living[place] as Member,
    ];
    this.#mix(member.record);
    if (member.introducer !== undefined) this.#countHearsay(member.introducer, 1);
  }

  #withdraw(member: Member): void {
    this.#follower = undefined;
    const place = this.#living.indexOf(member);
    this.#living.splice(place, 1);
    if (place < this.#next) this.#next--;
    this.#mix(member.record);
    if (member.introducer !== undefined) this.#countHearsay(member.introducer, -1);
  }

  /** In or out: the hash does not care for the order. */
  #mix({ fingerprint: [high, low] }: MemberRecord): void {
    this.#hashHigh ^= high;
    this.#hashLow ^= low;
  }

  #makeRoom(introducer: NodeId): boolean {
    const [longestGone] = this.#gone;
    if (longestGone !== undefined) {
      this.#gone.delete(longestGone);
      this.#members.delete(longestGone.record.id);
      return true;
    }
    const own = this.#hearsay.get(introducer) ?? 0;
    if (own >= this.#membersMax * hearsayShareMax) return false;
    let [worst, most]: [NodeId | undefined, number] = [undefined, own + 1];
    for (const [id, count] of this.#hearsay) if (count > most) [worst, most] = [id, count];
    if (worst === undefined) return false;
    const victim = this.#living.find(
      (member) => member.introducer === worst && member.suspicion === undefined,
    );
    if (victim === undefined) return false;
    this.#withdraw(victim);
    this.#members.delete(victim.record.id);
    // Whoever is asking it or finding out about it lets go of it.
    victim.state = "dead";
    this.#evicted(victim);
    return true;
  }

  #countHearsay(introducer: NodeId, change: 1 | -1): void {
    const count = (this.#hearsay.get(introducer) ?? 0) + change;
    if (count <= 0) this.#hearsay.delete(introducer);
    else this.#hearsay.set(introducer, count);
  }

  #shuffle(): void {
    const living = this.#living;
    for (let index = living.length - 1; index > 0; index--) {
      const other = this.#random.integer(index + 1);
      [living[index], living[other]] = [living[other] as Member, living[index] as Member];
    }
  }
}
