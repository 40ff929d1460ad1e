import type { CoreCrypto } from "../base/crypto.ts";
import { comparePoints } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Absent, hasJustDied } from "./absent.ts";
import type { RememberedMember } from "./address-book.ts";
import { Gossip } from "./gossip.ts";
import { LocalHealth } from "./health.ts";
import { Judge } from "./judge.ts";
import { type Member, type MemberView, viewOf } from "./member.ts";
import type { MembershipNews, SwimCounters, SwimInput, SwimOutput } from "./messages.ts";
import { type ResolvedSwimOptions, resolveSwimOptions, type SwimOptions } from "./options.ts";
import { OwnRecord } from "./own-record.ts";
import { decodePacket, type NewsItem, type Packet } from "./packet.ts";
import { Prober } from "./prober.ts";
import { type MemberRecord, RecordCache } from "./record.ts";
import { Registrar } from "./registrar.ts";
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
  readonly #random: Random;
  readonly #registrar: Registrar;
  readonly #table: Table;
  readonly #gossip: Gossip;
  readonly #judge: Judge;
  readonly #absent: Absent;
  readonly #health: LocalHealth;
  readonly #prober: Prober;
  readonly #sync: Synchroniser;
  readonly #outputs = new Queue<SwimOutput>();
  readonly #own: OwnRecord;
  /** When the next period begins; never while this node has left. */
  #round: Instant | undefined;

  constructor(setup: SwimSetup, now: Instant) {
    const options = resolveSwimOptions(setup.options);
    const { crypto, random } = setup;
    this.#options = options;
    this.#random = random;
    const { name, address, metadata = new Uint8Array() } = setup;
    this.#own = new OwnRecord(
      { name, address, metadata },
      {
        publicKey: setup.publicKey,
        crypto,
        tell: (record, at) => this.#gossip.record(record.id, record.bytes, at),
        isTold: () => !this.#gossip.has(this.id) || this.#table.livingCount === 0,
      },
    );
    this.id = this.#own.record.id;
    this.#table = new Table(options.membersMax, random, (member) => this.#emit("memberDown", member));
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
      linked: () => this.#sync.linked(),
      first: (to) => this.#chargeAgainst(to),
      send: (to, payload) => this.#outputs.push({ type: "datagram", to, payload }),
    });
    this.#judge = new Judge({
      options,
      table,
      random,
      crypto,
      counters: this.counters,
      own: () => this.#own.record,
      gossip: () => this.#gossip,
      ask: (member) => this.#gossip.send(member.record.id, { kind: "ping", sequence: 0 }),
      probe: (member, at) => this.#prober.start(member, at),
      refuteOwn: (at) => this.#refuteOwn(at),
      gone: (member, at) => this.#absent.add(member, at),
      emit: (type, member) => this.#emit(type, member),
    });
    this.#sync = new Synchroniser({
      options,
      table,
      random,
      counters: this.counters,
      own: () => this.#own.record,
      send: (to, payload) => this.#outputs.push({ type: "message", to, payload }),
      wantLink: (peer, address) =>
        this.#outputs.push({ type: "wantLink", ...(peer === undefined ? {} : { peer }), address }),
      dropLink: (peer) => this.#outputs.push({ type: "dropLink", peer }),
      applyRecord: (bytes, from, at) => this.#registrar.take(bytes, { type: "exchange", from }, at),
      contradicted: (at) => this.#own.renew(at),
      dispute: (member, at) => this.#absent.dispute(member, at),
    });
    this.#absent = new Absent(
      {
        options,
        exchangeWith: (member, at) => this.#sync.exchangeWith(member, at),
        ask: (member) => this.#gossip.send(member.record.id, { kind: "ping", sequence: 0 }),
        probe: (member, at) => this.#prober.start(member, at),
      },
      (setup.remembered ?? []).filter(({ id }) => id !== this.id),
      now,
    );
    this.#registrar = new Registrar({
      records: setup.records ?? new RecordCache(2 * options.membersMax),
      crypto,
      counters: this.counters,
      table,
      gossip: this.#gossip,
      judge: this.#judge,
      absent: this.#absent,
      own: this.#own,
      emit: (type, member) => this.#emit(type, member),
    });
    this.#begin(now);
  }

  /** This node as others see it. */
  get self(): MemberView {
    const { name, id, address, incarnation, metadata, hasLeft } = this.#own.record;
    return { name, id, address, incarnation, metadata, state: hasLeft ? "left" : "alive" };
  }

  /** What this node says of itself, signed. */
  get record(): MemberRecord {
    return this.#own.record;
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
    return id === this.id ? this.#own.record : this.#table.get(id)?.record;
  }

  /** Whether it is a living member, this node itself included. */
  isMember(id: NodeId): boolean {
    return id === this.id || this.#table.get(id)?.isLiving === true;
  }

  /**
   * Whether what this node signed still counts: it is a living member, or has died less than ten minutes ago. It may be
   * on the other side of a partition, or come back; who has left has withdrawn what it said.
   */
  isKnown(id: NodeId, now: Instant): boolean {
    if (this.isMember(id)) return true;
    const member = this.#table.get(id);
    return member !== undefined && hasJustDied(member, now);
  }

  /** Where others are or were: worth keeping over a restart, and given to the next life as `remembered`. */
  remembered(): RememberedMember[] {
    const living: RememberedMember[] = [];
    for (const { record, isLiving } of this.#table.members()) {
      if (isLiving) living.push({ id: record.id, name: record.name, address: record.address });
    }
    return [...living, ...this.#absent.remembered()];
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
        if (this.#own.record.hasLeft) this.#return(now);
        this.#sync.join(input.address);
        break;
      case "leave":
        this.#leave(now);
        break;
      case "update": {
        const { address = this.#own.record.address, metadata = this.#own.record.metadata } = input;
        this.#own.renew(now, { address, metadata });
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
    let next = this.#round;
    const parts = [this.#own, this.#absent, this.#gossip, this.#prober, this.#judge, this.#sync];
    for (const part of parts) next = earliest(next, part.deadline());
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
    if (this.#round !== undefined && now >= this.#round) {
      this.#prober.round(now);
      this.#round = after(now, this.#prober.periodMs);
    }
    this.#absent.tick(now);
    this.#prober.tick(now);
    this.#judge.tick(now);
    this.#sync.tick(now);
    this.#gossip.tick(now);
    if (!this.#own.farewellEnds(now)) return;
    this.#gossip.forget(this.id);
    this.#outputs.push({ type: "farewellTold" });
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
    const before = this.#own.record;
    for (const { kind, bytes } of packet.news) {
      if (kind === "record") this.#registrar.take(bytes, { type: "gossip", from }, now);
      else this.#judge.onAccusation(bytes, now);
    }
    const { head } = packet;
    const wasRefuted = before !== this.#own.record || this.#judge.isAccused(packet.news);
    const own = wasRefuted ? this.#own.record.bytes : undefined;
    // Whoever says with an ack that we are dead asks for nothing, and would go on believing it.
    if (wasRefuted && head.kind !== "ping") this.#gossip.send(from, { kind: "gossip" }, own);
    switch (head.kind) {
      case "ping":
        this.#gossip.send(from, { kind: "ack", sequence: head.sequence }, own);
        break;
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

  // This node itself

  #refuteOwn(now: Instant): void {
    if (this.#own.record.hasLeft) return;
    // That others do not hear us may be for a reason of our own.
    this.#health.note(1);
    this.#own.renew(now);
  }

  #chargeAgainst(id: NodeId): NewsItem | undefined {
    const member = this.#table.get(id);
    const charge = member === undefined ? undefined : this.#judge.chargeAgainst(member);
    return charge === undefined ? undefined : { kind: "accusation", bytes: charge.bytes };
  }

  #begin(now: Instant): void {
    // Nodes that start together do not probe together.
    this.#round = after(now, this.#options.probeIntervalMs * this.#random.float());
    this.#sync.start(now);
    this.#absent.start(now);
  }

  #leave(now: Instant): void {
    if (this.#own.record.hasLeft) return;
    this.#own.leave(this.#table.livingCount === 0, now);
    this.#gossip.hurry(now);
    this.#round = undefined;
    this.#absent.stop();
    this.#sync.stop();
  }

  #return(now: Instant): void {
    this.#gossip.hurry(now, false);
    this.#own.return(now);
    this.#begin(now);
  }

  // Links

  #onLinkUp(peer: NodeId, address: string, now: Instant): void {
    this.#heard(peer);
    // A newcomer, or one that we held for gone: whoever it meets will tell of it, and so does it.
    const isStranger = this.#table.get(peer)?.isLiving !== true;
    if (isStranger && !this.#gossip.has(this.id)) this.#gossip.record(this.id, this.#own.record.bytes, now);
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

  #emit(type: MembershipNews["type"], member: Member): void {
    this.#outputs.push({ type, member: viewOf(member) });
  }
}
