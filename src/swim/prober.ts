import type { NodeId } from "../base/node-id.ts";
import { Schedule } from "../base/schedule.ts";
import { after, type Instant } from "../base/time.ts";
import type { LocalHealth } from "./health.ts";
import type { Member } from "./member.ts";
import type { ResolvedSwimOptions } from "./options.ts";
import type { PacketHead } from "./packet.ts";
import type { Table } from "./table.ts";

/** What the prober needs of the node. */
export interface ProberSurroundings {
  /** This node. */
  readonly id: NodeId;
  readonly options: ResolvedSwimOptions;
  readonly table: Table;
  readonly health: LocalHealth;
  send(to: NodeId, head: PacketHead): void;
  /** Nobody got an answer out of it. */
  silent(member: Member, now: Instant): void;
}

/** Share of the probes for others that one of them may have under way: else he could keep all others from being helped. */
const relaysShareMax = 1 / 8;
/** One question in so many goes to the neighbour. */
const neighbourEvery = 4;

/** A question to a member, which is asked three times and, from the second time on, through others too. */
class Probe {
  readonly member: Member;
  readonly sequence: number;
  /** Half a question more than the answer may take: fixed when it begins, so that its parts fit together. */
  readonly timeoutMs: number;
  readonly end: Instant;
  asked = 1;
  /** Members that ask in our stead. */
  readonly helpers = new Set<NodeId>();
  /** Those of the first few that have said nothing, not even that they got no answer. */
  readonly owing = new Set<NodeId>();

  constructor(member: Member, sequence: number, timeoutMs: number, end: Instant) {
    this.member = member;
    this.sequence = sequence;
    this.timeoutMs = timeoutMs;
    this.end = end;
  }
}

/** A question that is asked for another member. */
class Relay {
  readonly target: NodeId;
  readonly sequence: number;
  readonly requester: NodeId;
  readonly requesterSequence: number;

  constructor(target: NodeId, sequence: number, requester: NodeId, requesterSequence: number) {
    this.target = target;
    this.sequence = sequence;
    this.requester = requester;
    this.requesterSequence = requesterSequence;
  }
}

/**
 * Asks members whether they are there (SWIM §3.1): one each period, in the table's order, or, each fourth time, the member
 * that follows this node in the order of ids. By chance alone one crash in 150 would wait 5 s and more for somebody to ask;
 * whoever has a living neighbour waits 4 s at the most. A question that gets no answer in
 * time is repeated and put through `helpers` others as well, twice; only then is the member silent. On a network that loses
 * a fifth of everything, that makes two false alarms in a thousand questions, where asking once makes seventy.
 */
export class Prober {
  readonly #around: ProberSurroundings;
  readonly #asked = new Map<number, Probe | Relay>();
  readonly #probes = new Map<Member, Probe>();
  /** Probes under way for others, by who wants them. */
  readonly #relays = new Map<NodeId, number>();
  readonly #schedule = new Schedule<Probe | Relay>();
  #sequence: number;
  /** Not all nodes begin with their neighbours. */
  #rounds: number;

  constructor(around: ProberSurroundings, firstSequence: number) {
    this.#around = around;
    this.#sequence = firstSequence;
    this.#rounds = firstSequence % neighbourEvery;
  }

  deadline(): Instant | undefined {
    return this.#schedule.deadline();
  }

  /** How long a period is for this node, as healthy as it is. */
  get periodMs(): number {
    return this.#around.options.probeIntervalMs * this.#around.health.multiplier;
  }

  /** A new period begins: asks whose turn it is. */
  round(now: Instant): void {
    const { id, table } = this.#around;
    const isNeighbours = this.#rounds === 0;
    this.#rounds = (this.#rounds + 1) % neighbourEvery;
    const member = isNeighbours ? table.follower(id) : table.nextToProbe();
    if (member !== undefined) this.start(member, now);
  }

  /** Asks `member`, unless it is being asked. */
  start(member: Member, now: Instant): void {
    if (this.#probes.has(member)) return;
    const timeoutMs = this.#around.options.probeTimeoutMs * this.#around.health.multiplier;
    const probe = new Probe(member, this.#nextSequence(), timeoutMs, after(now, this.periodMs));
    this.#asked.set(probe.sequence, probe);
    this.#probes.set(member, probe);
    this.#schedule.set(probe, after(now, timeoutMs));
    this.#around.send(member.record.id, { kind: "ping", sequence: probe.sequence });
  }

  tick(now: Instant): void {
    for (let due = this.#schedule.expire(now); due !== undefined; due = this.#schedule.expire(now)) {
      if (due instanceof Relay) {
        this.#forget(due);
        this.#around.send(due.requester, { kind: "nack", sequence: due.requesterSequence });
      } else if (now >= due.end) this.#fail(due, now);
      else this.#askAgain(due, now);
    }
  }

  onAck(from: NodeId, sequence: number): void {
    const asked = this.#asked.get(sequence);
    if (asked instanceof Probe) {
      // An answer that is not from whom we asked is worth nothing: sequence numbers can be guessed.
      if (from !== asked.member.record.id && !asked.helpers.has(from)) return;
      this.#forget(asked);
      this.#around.health.note(-1);
    } else if (asked instanceof Relay && from === asked.target) {
      this.#forget(asked);
      this.#around.send(asked.requester, { kind: "ack", sequence: asked.requesterSequence });
    }
  }

  onNack(from: NodeId, sequence: number): void {
    const asked = this.#asked.get(sequence);
    if (asked instanceof Probe) asked.owing.delete(from);
  }

  /** False when there is too much to do already: the requester gets no answer, and asks others. */
  onPingRequest(from: NodeId, sequence: number, target: NodeId, now: Instant): boolean {
    // Only members are asked: nobody can use this node to send datagrams to whom he likes.
    if (this.#around.table.get(target) === undefined) {
      this.#around.send(from, { kind: "nack", sequence });
      return true;
    }
    const { relaysMax } = this.#around.options;
    const own = this.#relays.get(from) ?? 0;
    if (own >= relaysMax * relaysShareMax || this.#asked.size - this.#probes.size >= relaysMax) return false;
    this.#relays.set(from, own + 1);
    const relay = new Relay(target, this.#nextSequence(), from, sequence);
    this.#asked.set(relay.sequence, relay);
    this.#schedule.set(relay, after(now, this.#around.options.probeTimeoutMs));
    this.#around.send(target, { kind: "ping", sequence: relay.sequence });
    return true;
  }

  /**
   * This node stood still until now: answers may lie unread, so that whoever is being asked gets a new period from now.
   */
  excuse(now: Instant): void {
    const members = [...this.#probes.keys()];
    for (const probe of this.#probes.values()) this.#asked.delete(probe.sequence);
    for (const probe of this.#probes.values()) this.#schedule.clear(probe);
    this.#probes.clear();
    for (const member of members) this.start(member, now);
  }

  #askAgain(probe: Probe, now: Instant): void {
    const { id } = probe.member.record;
    const { table, options } = this.#around;
    if (!probe.member.isLiving) return this.#forget(probe);
    this.#around.send(id, { kind: "ping", sequence: probe.sequence });
    const isFree = ({ record, state }: Member) =>
      state === "alive" && record.id !== id && !probe.helpers.has(record.id);
    for (const { record } of table.pick(options.helpers, isFree)) {
      probe.helpers.add(record.id);
      // Those asked last have no time to say so that they got no answer.
      if (probe.asked === 1) probe.owing.add(record.id);
      this.#around.send(record.id, { kind: "pingRequest", sequence: probe.sequence, target: id });
    }
    probe.asked++;
    this.#schedule.set(probe, probe.asked < 3 ? after(now, probe.timeoutMs) : probe.end);
  }

  #fail(probe: Probe, now: Instant): void {
    this.#forget(probe);
    // Helpers that answer show that we hear well, whatever is the matter with the member (Lifeguard §IV.A).
    this.#around.health.note(probe.helpers.size === 0 ? 1 : probe.owing.size);
    if (probe.member.isLiving) this.#around.silent(probe.member, now);
  }

  #forget(asked: Probe | Relay): void {
    this.#asked.delete(asked.sequence);
    this.#schedule.clear(asked);
    if (asked instanceof Probe) this.#probes.delete(asked.member);
    else {
      const left = (this.#relays.get(asked.requester) ?? 1) - 1;
      if (left === 0) this.#relays.delete(asked.requester);
      else this.#relays.set(asked.requester, left);
    }
  }

  #nextSequence(): number {
    do this.#sequence = (this.#sequence + 1) >>> 0;
    while (this.#asked.has(this.#sequence));
    return this.#sequence;
  }
}
