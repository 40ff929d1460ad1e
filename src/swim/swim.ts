import type { CoreCrypto } from "../base/crypto.ts";
import { comparePoints } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import { AddressBook, type RememberedMember } from "./address-book.ts";
import { retryDelayMs } from "./formulas.ts";
import { Gossip } from "./gossip.ts";
import { LocalHealth } from "./health.ts";
import { Judge } from "./judge.ts";
import { type Member, type MemberView, viewOf } from "./member.ts";
import type { MembershipNews, SwimCounters, SwimInput, SwimOutput } from "./messages.ts";
import { type ResolvedSwimOptions, resolveSwimOptions, type SwimOptions } from "./options.ts";
import { decodePacket, type NewsItem, type Packet } from "./packet.ts";
import { Prober } from "./prober.ts";
import { type MemberContent, type MemberRecord, RecordCache, signRecord } from "./record.ts";
import { Synchroniser } from "./synchroniser.ts";
import { Table } from "./table.ts";

/** What a node is made with. */
export interface SwimSetup {
  readonly publicKey: Uint8Array;
  /** With the private key to `publicKey`. */
  readonly crypto: CoreCrypto;
  readonly random: Random;
  readonly name: string;
  readonly address: string;
  /** Default none. */
  readonly metadata?: Uint8Array;
  /** Where others were before a restart: tried as if they had just gone. `Swim.remembered` of the last life. */
  readonly remembered?: readonly RememberedMember[];
  readonly options?: SwimOptions;
  /** Records known to be genuine; nodes in one program may share it. */
  readonly records?: RecordCache;
}

/** How a record came here. */
interface Source {
  readonly type: "gossip" | "exchange";
  readonly from: NodeId;
}

type TimerName = "round" | "retry" | "disputes" | "farewell";

/** Members whose state is disputed, that are asked at a time. */
const disputesPerTurn = 25;
const disputeGapMs = 100;
const disputesMax = 4_096;
/** Longest time for a farewell, also where nobody listens. */
const farewellMaxMs = 2_000;

/**
 * Membership: who is in the mesh, and who of them is alive. SWIM (Das, Gupta, Motivala: 2002) with Lifeguard (2018), and two
 * rules of our own: what a node says of itself is signed by it, and nobody is given up on the word of others alone.
 * docs/membership.md tells what happens on the wire.
 */
export class Swim implements Machine<SwimInput, SwimOutput> {
  readonly id: NodeId;
  readonly counters: SwimCounters = {
    malformed: 0,
    forged: 0,
    stale: 0,
    unknown: 0,
    refuted: 0,
    disbelieved: 0,
    refused: 0,
    uninvited: 0,
  };
  readonly #options: ResolvedSwimOptions;
  readonly #setup: SwimSetup;
  readonly #random: Random;
  readonly #crypto: CoreCrypto;
  readonly #records: RecordCache;
  readonly #table: Table;
  readonly #gossip: Gossip;
  readonly #judge: Judge;
  readonly #book: AddressBook;
  readonly #health: LocalHealth;
  readonly #prober: Prober;
  readonly #sync: Synchroniser;
  readonly #disputes = new Set<Member>();
  readonly #timers = new Timers<TimerName>();
  readonly #outputs = new Queue<SwimOutput>();
  #own: MemberRecord;

  constructor(setup: SwimSetup, now: Instant) {
    const options = resolveSwimOptions(setup.options);
    const { crypto, random } = setup;
    this.#setup = setup;
    this.#options = options;
    this.#crypto = crypto;
    this.#random = random;
    this.#records = setup.records ?? new RecordCache(2 * options.membersMax);
    const metadata = setup.metadata ?? new Uint8Array();
    this.#own = this.#sign({
      name: setup.name,
      address: setup.address,
      metadata,
      incarnation: 0,
      hasLeft: false,
    });
    this.id = this.#own.id;
    this.#table = new Table(options.membersMax, random);
    this.#book = new AddressBook(options.addressesMax);
    this.#health = new LocalHealth(options.healthMax);
    const table = this.#table;
    this.#prober = new Prober(
      {
        id: this.id,
        options,
        table,
        health: this.#health,
        send: (to, head) => this.#gossip.send(to, head),
        silent: (member, at) => this.#judge.accuse(member, at),
      },
      random.u32(),
    );
    this.#gossip = new Gossip({
      options,
      table,
      random,
      first: (to) => this.#chargeAgainst(to),
      send: (to, payload) => this.#outputs.push({ type: "datagram", to, payload }),
    });
    this.#judge = new Judge({
      options,
      table,
      random,
      crypto,
      counters: this.counters,
      own: () => this.#own,
      gossip: () => this.#gossip,
      ask: (member) => this.#gossip.send(member.record.id, { kind: "ping", sequence: 0 }),
      probe: (member, at) => this.#prober.start(member, at),
      refuteOwn: (incarnation, at) => this.#refuteOwn(incarnation, at),
      gone: (member, at) => this.#remember(member, at),
      emit: (type, member) => this.#emit(type, member),
    });
    this.#sync = new Synchroniser({
      options,
      table,
      random,
      counters: this.counters,
      own: () => this.#own,
      send: (to, payload) => this.#outputs.push({ type: "message", to, payload }),
      wantLink: (peer, address) =>
        this.#outputs.push({ type: "wantLink", ...(peer === undefined ? {} : { peer }), address }),
      dropLink: (peer) => this.#outputs.push({ type: "dropLink", peer }),
      applyRecord: (bytes, from, at) => this.#onRecord(bytes, { type: "exchange", from }, at),
      contradicted: (incarnation, at) => this.#overtake(incarnation, {}, at),
      dispute: (member, at) => this.#dispute(member, at),
    });
    for (const member of setup.remembered ?? []) {
      if (member.id !== this.id) this.#book.add(member, now, now);
    }
    // Nodes that start together do not probe together.
    this.#timers.set("round", after(now, options.probeIntervalMs * random.float()));
    this.#sync.start(now);
    this.#arrangeRetry(now);
  }

  /** This node as others see it. */
  get self(): MemberView {
    const { name, id, address, incarnation, metadata, hasLeft } = this.#own;
    return { name, id, address, incarnation, metadata, state: hasLeft ? "left" : "alive" };
  }

  /** What this node says of itself, signed. */
  get record(): MemberRecord {
    return this.#own;
  }

  /** How unwell this node finds itself, 0 … `healthMax`. */
  get healthScore(): number {
    return this.#health.score;
  }

  /** Living members, this node included. */
  get livingCount(): number {
    return this.#table.livingCount + 1;
  }

  /** All other members that are known, the dead and those that left included. */
  members(): MemberView[] {
    return Array.from(this.#table.members(), viewOf);
  }

  member(id: NodeId): MemberView | undefined {
    const member = this.#table.get(id);
    return member === undefined ? undefined : viewOf(member);
  }

  /** What a member says of itself, signed; of the dead, too. */
  recordOf(id: NodeId): MemberRecord | undefined {
    return id === this.id ? this.#own : this.#table.get(id)?.record;
  }

  /** Where others are or were: worth keeping over a restart, and given to the next life as `remembered`. */
  remembered(): RememberedMember[] {
    const living: RememberedMember[] = [];
    for (const { record, isLiving } of this.#table.members()) {
      if (isLiving) living.push({ id: record.id, address: record.address });
    }
    return [...living, ...this.#book.remembered()];
  }

  handle(input: SwimInput, now: Instant): void {
    switch (input.type) {
      case "tick":
        this.#onTick(now);
        break;
      case "datagram":
        this.#onDatagram(input.from, input.payload, now);
        break;
      case "message":
        this.#heard(input.from);
        this.#sync.onMessage(input.from, input.payload, now);
        break;
      case "linkUp":
        this.#onLinkUp(input.peer, input.address, now);
        break;
      case "linkDown":
        this.#onLinkDown(input.peer, input.reason, now);
        break;
      case "linkFailed":
        this.#sync.onLinkFailed(input.peer, input.address);
        break;
      case "join":
        if (this.#own.hasLeft) this.#return(now);
        this.#sync.join(input.address);
        break;
      case "leave":
        this.#leave(now);
        break;
      case "update": {
        const { address = this.#own.address, metadata = this.#own.metadata } = input;
        this.#overtake(this.#own.incarnation, { address, metadata }, now);
        break;
      }
      case "loopDelay":
        if (input.delayMs > this.#options.probeTimeoutMs / 2) this.#health.note(1);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): SwimOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    let next = earliest(this.#timers.deadline(), this.#gossip.deadline());
    for (const part of [this.#prober, this.#judge, this.#sync]) next = earliest(next, part.deadline());
    return next;
  }

  #onTick(now: Instant): void {
    const lateMs = now - (this.deadline() ?? now);
    // As late as that, and the answers that we miss may lie unread in the socket: it says more about us than about others.
    if (lateMs > this.#options.probeTimeoutMs) {
      this.#health.note(1);
      this.#prober.excuse(now);
      this.#judge.postpone(lateMs);
    }
    for (const timer of this.#timers.expire(now)) this.#onTimer(timer, now);
    this.#prober.tick(now);
    this.#judge.tick(now);
    this.#sync.tick(now);
    this.#gossip.tick(now);
    this.#finishFarewell(now);
  }

  #onTimer(timer: TimerName, now: Instant): void {
    switch (timer) {
      case "round":
        this.#prober.round(now);
        this.#timers.set("round", after(now, this.#prober.periodMs));
        break;
      case "retry":
        this.#retry(now);
        break;
      case "disputes":
        this.#askDisputed(now);
        break;
      case "farewell":
        this.#gossip.forget(this.id);
        this.#outputs.push({ type: "farewellTold" });
        break;
      default:
        timer satisfies never;
    }
  }

  // Datagrams

  #onDatagram(from: NodeId, payload: Uint8Array, now: Instant): void {
    let packet: Packet;
    try {
      packet = decodePacket(payload);
    } catch {
      this.counters.malformed++;
      return;
    }
    this.#heard(from);
    // What comes with a ping is read before it is answered, so that the answer can refute what it says of us.
    const before = this.#own;
    for (const { kind, bytes } of packet.news) {
      if (kind === "record") this.#onRecord(bytes, { type: "gossip", from }, now);
      else this.#judge.onAccusation(bytes, now);
    }
    const { head } = packet;
    switch (head.kind) {
      case "ping": {
        const wasRefuted = before !== this.#own || this.#judge.isAccused(packet.news);
        const own = wasRefuted ? this.#own.bytes : undefined;
        this.#gossip.send(from, { kind: "ack", sequence: head.sequence }, own);
        break;
      }
      case "ack":
        this.#prober.onAck(from, head.sequence);
        break;
      case "nack":
        this.#prober.onNack(from, head.sequence);
        break;
      case "pingRequest":
        if (!this.#prober.onPingRequest(from, head.sequence, head.target, now)) this.counters.uninvited++;
        break;
      case "gossip":
        break;
      default:
        head satisfies never;
    }
  }

  // Records

  /** True when it was news. */
  #onRecord(bytes: Uint8Array, source: Source, now: Instant): boolean {
    const record = this.#records.read(bytes, this.#crypto);
    if (typeof record === "string") {
      this.counters[record]++;
      return false;
    }
    if (record.id === this.id) {
      // Signed by us, but not by this life of ours: what others will believe must be newer.
      if (record.incarnation >= this.#own.incarnation && record !== this.#own) {
        if (record.fingerprint[0] !== this.#own.fingerprint[0]) this.#overtake(record.incarnation, {}, now);
      }
      return false;
    }
    const member = this.#table.get(record.id);
    if (member === undefined) return this.#meet(record, source, now);
    if (record.incarnation <= member.record.incarnation) {
      if (record.incarnation < member.record.incarnation) this.counters.stale++;
      return false;
    }
    this.#renew(member, record, source, now);
    return true;
  }

  #meet(record: MemberRecord, source: Source, now: Instant): boolean {
    // Somebody's farewell, whom we never met.
    if (record.hasLeft) return false;
    const member = this.#table.add(record, source.from);
    if (member === undefined) {
      this.counters.refused++;
      return false;
    }
    if (source.from === record.id) this.#table.confirm(member);
    this.#book.delete(record.id);
    this.#pass(record, source, now);
    this.#emit("memberUp", member);
    return true;
  }

  #renew(member: Member, record: MemberRecord, source: Source, now: Instant): void {
    const { record: old, state } = member;
    this.#judge.refute(member, now);
    this.#table.setRecord(member, record);
    this.#table.setState(member, record.hasLeft ? "left" : "alive");
    this.#pass(record, source, now);
    if (record.hasLeft) {
      this.#book.delete(record.id);
      if (state === "alive" || state === "suspect") this.#emit("memberDown", member);
    } else if (state === "dead" || state === "left") {
      this.#book.delete(record.id);
      this.#emit("memberUp", member);
    } else if (state === "suspect" || !saysTheSame(old, record)) this.#emit("memberChanged", member);
  }

  /**
   * Passes a record on. Not one that came in an exchange, unless the other side came with it: a newcomer would repeat to all
   * what all have told it, and what is news to many spreads from exchange to exchange.
   */
  #pass(record: MemberRecord, source: Source, now: Instant): void {
    if (source.type === "exchange" && source.from !== record.id) {
      this.#gossip.forget(record.id);
      return;
    }
    this.#gossip.record(record.id, record.bytes, now);
  }

  // This node itself

  #refuteOwn(incarnation: number, now: Instant): void {
    if (this.#own.hasLeft) return;
    // That others do not hear us may be for a reason of our own.
    this.#health.note(1);
    this.#overtake(incarnation, {}, now);
  }

  #chargeAgainst(id: NodeId): NewsItem | undefined {
    const member = this.#table.get(id);
    const charge = member === undefined ? undefined : this.#judge.chargeAgainst(member);
    return charge === undefined ? undefined : { kind: "accusation", bytes: charge.bytes };
  }

  /** A record of this node that is newer than `incarnation`, and whatever else is new about it. */
  #overtake(incarnation: number, change: Partial<MemberContent>, now: Instant): void {
    if (incarnation >= Number.MAX_SAFE_INTEGER) return;
    this.#own = this.#sign({
      ...this.#own,
      ...change,
      incarnation: Math.max(incarnation, this.#own.incarnation) + 1,
    });
    this.#pass(this.#own, { type: "gossip", from: this.id }, now);
  }

  #sign(content: MemberContent): MemberRecord {
    return signRecord(content, this.#setup.publicKey, this.#crypto);
  }

  #leave(now: Instant): void {
    if (this.#own.hasLeft) return;
    this.#overtake(this.#own.incarnation, { hasLeft: true }, now);
    this.#gossip.hurry(now);
    this.#timers.clear("round");
    this.#timers.clear("retry");
    this.#sync.stop();
    this.#timers.set("farewell", after(now, this.#table.livingCount === 0 ? 0 : farewellMaxMs));
  }

  /** As soon as it has been told as often as it takes. */
  #finishFarewell(now: Instant): void {
    const isTold = !this.#gossip.has(this.id) || this.#table.livingCount === 0;
    if (this.#timers.has("farewell") && isTold) this.#timers.set("farewell", now);
  }

  #return(now: Instant): void {
    this.#timers.clear("farewell");
    this.#gossip.hurry(now, false);
    this.#overtake(this.#own.incarnation, { hasLeft: false }, now);
    this.#timers.set("round", after(now, this.#options.probeIntervalMs * this.#random.float()));
    this.#sync.start(now);
    this.#arrangeRetry(now);
  }

  // Links, and those that are gone

  #onLinkUp(peer: NodeId, address: string, now: Instant): void {
    this.#heard(peer);
    // A newcomer, or one that we held for gone: whoever it meets will tell of it, and so does it.
    const isStranger = this.#table.get(peer)?.isLiving !== true;
    if (isStranger && !this.#gossip.has(this.id))
      this.#pass(this.#own, { type: "gossip", from: this.id }, now);
    this.#sync.onLinkUp(peer, address, now);
    // Whatever the link was made for: two that meet tell each other all they know. One of them begins.
    if (isStranger && comparePoints(this.id, peer) < 0) this.#sync.exchangeWith({ id: peer, address }, now);
  }

  #onLinkDown(peer: NodeId, reason: "closed" | "lost", now: Instant): void {
    this.#sync.onLinkDown(peer);
    const member = this.#table.get(peer);
    // No proof, but a reason to ask at once.
    if (reason === "lost" && member?.state === "alive") this.#prober.start(member, now);
  }

  /** It sent us something: a sign of life, and it is no invention. */
  #heard(from: NodeId): void {
    const member = this.#table.get(from);
    if (member === undefined) return;
    this.#table.confirm(member);
    if (member.suspicion?.isChecking === true) member.suspicion.wasHeard = true;
  }

  /** It is dead to this node: an address to try again. */
  #remember({ record }: Member, now: Instant): void {
    this.#book.add(record, after(now, retryDelayMs(0)), now);
    this.#arrangeRetry(now);
  }

  #arrangeRetry(now: Instant): void {
    const due = this.#book.deadline();
    if (due === undefined || this.#own.hasLeft || this.#timers.has("retry")) return;
    this.#timers.set("retry", due > now ? due : now);
  }

  #retry(now: Instant): void {
    const gone = this.#book.take(now);
    if (gone !== undefined) this.#sync.exchangeWith(gone, now);
    const due = this.#book.deadline();
    const next = after(now, this.#options.retryGapMs);
    if (due !== undefined) this.#timers.set("retry", due > next ? due : next);
  }

  /** Finds out about a member that one table holds for dead and another does not. */
  #dispute(member: Member, now: Instant): void {
    if (this.#disputes.size >= disputesMax) return;
    this.#disputes.add(member);
    if (!this.#timers.has("disputes")) this.#timers.set("disputes", now);
  }

  #askDisputed(now: Instant): void {
    for (const member of [...this.#disputes].slice(0, disputesPerTurn)) {
      this.#disputes.delete(member);
      // Who is dead to us learns so from the ping, and refutes it if it lives.
      if (member.state === "dead") this.#gossip.send(member.record.id, { kind: "ping", sequence: 0 });
      else if (member.state === "alive") this.#prober.start(member, now);
    }
    if (this.#disputes.size > 0) this.#timers.set("disputes", after(now, disputeGapMs));
  }

  #emit(type: MembershipNews["type"], member: Member): void {
    this.#outputs.push({ type, member: viewOf(member) });
  }
}

function saysTheSame(a: MemberRecord, b: MemberRecord): boolean {
  return (
    a.name === b.name &&
    a.address === b.address &&
    a.metadata.length === b.metadata.length &&
    a.metadata.every((byte, index) => byte === b.metadata[index])
  );
}
