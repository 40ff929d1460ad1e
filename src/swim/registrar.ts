import type { CoreCrypto } from "../base/crypto.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Instant } from "../base/time.ts";
import type { Absent } from "./absent.ts";
import type { Gossip } from "./gossip.ts";
import type { Judge } from "./judge.ts";
import type { Member } from "./member.ts";
import type { MembershipNews, SwimCounters } from "./messages.ts";
import type { OwnRecord } from "./own-record.ts";
import { isNewer, type MemberRecord, type RecordCache, versionOf } from "./record.ts";
import type { Table } from "./table.ts";

/** How a record came here. */
export interface RecordSource {
  readonly type: "gossip" | "exchange";
  readonly from: NodeId;
}

/** What the registrar needs of the node. */
export interface RegistrarSurroundings {
  readonly records: RecordCache;
  readonly crypto: CoreCrypto;
  readonly counters: SwimCounters;
  readonly table: Table;
  readonly gossip: Gossip;
  readonly judge: Judge;
  readonly absent: Absent;
  readonly own: OwnRecord;
  emit(type: MembershipNews["type"], member: Member): void;
}

/** Takes what members say of themselves into the table: who is new, who is another now, who is back, who has left. */
export class Registrar {
  readonly #around: RegistrarSurroundings;

  constructor(around: RegistrarSurroundings) {
    this.#around = around;
  }

  /** Takes a record, or tells why not in a counter. True when it was news. */
  take(bytes: Uint8Array, source: RecordSource, now: Instant): boolean {
    const { records, crypto, counters, own, table } = this.#around;
    const record = records.read(bytes, crypto);
    if (typeof record === "string") {
      counters[record]++;
      return false;
    }
    if (record.id === own.record.id) {
      // Signed by us, but not by this life of ours: what others will believe must be newer.
      const { incarnation, fingerprint } = own.record;
      if (record.incarnation >= incarnation && record.fingerprint[0] !== fingerprint[0])
        own.renew(now, {}, record.incarnation);
      return false;
    }
    const member = table.get(record.id);
    if (member === undefined) return this.#meet(record, source, now);
    if (!isNewer(versionOf(record), versionOf(member.record))) {
      if (record.fingerprint[0] !== member.record.fingerprint[0]) this.#onOldRecord(record, member, source);
      // Somebody tells of it who does not hold it for dead: it may be that it is we who were cut off.
      else if (member.state === "dead") this.#around.absent.dispute(member, now);
      return false;
    }
    this.#renew(member, record, source, now);
    return true;
  }

  /** Whoever shows an older record of itself is in a new life, and gets what it said last: only that proves it to it. */
  #onOldRecord(record: MemberRecord, member: Member, { type, from }: RecordSource): void {
    this.#around.counters.stale++;
    if (type === "gossip" && from === record.id)
      this.#around.gossip.send(from, { kind: "gossip" }, member.record.bytes);
  }

  #meet(record: MemberRecord, source: RecordSource, now: Instant): boolean {
    // Somebody's farewell, whom we never met.
    if (record.hasLeft) return false;
    const member = this.#around.table.add(record, source.from);
    if (member === undefined) {
      this.#around.counters.refused++;
      return false;
    }
    if (source.from === record.id) this.#around.table.confirm(member);
    this.#around.absent.delete(record.id);
    this.#pass(record, source, now, source.from !== record.id);
    this.#around.emit("memberUp", member);
    return true;
  }

  #renew(member: Member, record: MemberRecord, source: RecordSource, now: Instant): void {
    const { record: old, state } = member;
    this.#around.judge.refute(member);
    member.deadSince = undefined;
    this.#around.table.setRecord(member, record);
    this.#around.table.setState(member, record.hasLeft ? "left" : "alive");
    this.#pass(record, source, now);
    if (record.hasLeft) {
      this.#around.absent.delete(record.id);
      if (state === "alive" || state === "suspect") this.#around.emit("memberDown", member);
    } else if (state === "dead" || state === "left") {
      this.#around.absent.delete(record.id);
      this.#around.emit("memberUp", member);
    } else if (state === "suspect" || !saysTheSame(old, record)) this.#around.emit("memberChanged", member);
  }

  /**
   * Passes a record on. Not one that came in an exchange, unless the other side came with it: a newcomer would repeat to all
   * what all have told it, and what is news to many spreads from exchange to exchange.
   */
  #pass(record: MemberRecord, source: RecordSource, now: Instant, isStranger = false): void {
    if (source.type === "exchange" && source.from !== record.id) {
      this.#around.gossip.forget(record.id);
      return;
    }
    this.#around.gossip.record(record.id, record.bytes, now, isStranger);
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
