import type { CoreCrypto } from "../base/crypto.ts";
import type { Random } from "../base/random.ts";
import type { Instant } from "../base/time.ts";
import { type Accusation, isSignedBy, readAccusation, signAccusation } from "./accusation.ts";
import { Credit } from "./credit.ts";
import type { Gossip } from "./gossip.ts";
import type { Member } from "./member.ts";
import type { MembershipNews, SwimCounters } from "./messages.ts";
import type { ResolvedSwimOptions } from "./options.ts";
import type { NewsItem } from "./packet.ts";
import type { MemberRecord } from "./record.ts";
import { Suspicions } from "./suspicions.ts";
import type { Table } from "./table.ts";

/** What the judge needs of the node. */
export interface JudgeSurroundings {
  readonly options: ResolvedSwimOptions;
  readonly table: Table;
  readonly random: Random;
  readonly crypto: CoreCrypto;
  readonly counters: SwimCounters;
  own(): MemberRecord;
  gossip(): Gossip;
  /** Ask the suspect, telling it what is said of it. */
  ask(member: Member): void;
  /** Ask it as in a round, through others too. */
  probe(member: Member, now: Instant): void;
  /** This node is accused, and says that it lives. */
  refuteOwn(now: Instant): void;
  /** It was given up. */
  gone(member: Member, now: Instant): void;
  emit(type: MembershipNews["type"], member: Member): void;
}

/** Hears accusations, makes its own, and decides who is suspect and who is dead. */
export class Judge {
  readonly #around: JudgeSurroundings;
  readonly #credit = new Credit();
  readonly #suspicions: Suspicions;

  constructor(around: JudgeSurroundings) {
    this.#around = around;
    this.#suspicions = new Suspicions({
      options: around.options,
      table: around.table,
      ask: (member) => around.ask(member),
      heard: (member) => this.#acquit(member),
      expired: (member, now) => this.#giveUp(member, now),
    });
  }

  deadline(): Instant | undefined {
    return this.#suspicions.deadline();
  }

  tick(now: Instant): void {
    this.#suspicions.tick(now);
  }

  postpone(byMs: number): void {
    this.#suspicions.postpone(byMs);
  }

  onAccusation(bytes: Uint8Array, now: Instant): void {
    const { table, counters, crypto, random, options } = this.#around;
    const accusation = readAccusation(bytes);
    if (accusation === "malformed") {
      counters.malformed++;
      return;
    }
    const { subject, accuser } = accusation;
    const own = this.#around.own();
    if (accuser === own.id) return;
    const member = table.get(subject);
    const accuserRecord = table.get(accuser)?.record;
    if ((member === undefined && subject !== own.id) || accuserRecord === undefined) {
      counters.unknown++;
      return;
    }
    // Also one of a later record of ours: it may be of an earlier life, but the word of its accuser does not prove that.
    if (accusation.incarnation !== (member?.record ?? own).incarnation) {
      counters.stale++;
      return;
    }
    // A second accusation by the same, or more accusers than count, need no check of their signatures.
    if (member !== undefined && !this.#suspicions.takes(member, accuser)) return;
    if (!this.#credit.isBelieved(accuser, now)) {
      counters.disbelieved++;
      return;
    }
    if (!isSignedBy(accusation, accuserRecord.publicKey, crypto)) {
      counters.forged++;
      return;
    }
    this.#credit.charge(accuser, now);
    if (member === undefined) {
      counters.refuted++;
      this.#around.refuteOwn(now);
      return;
    }
    const isFirst = member.state === "alive";
    // The datagram that it came in is not ours to keep.
    this.#suspect(member, { ...accusation, bytes: bytes.slice() }, now);
    // A few of all those that hear of it look for themselves, so that it is soon confirmed or refuted.
    const share = options.confirmers / (table.livingCount + 1);
    if (isFirst && random.float() < share) this.#around.probe(member, now);
  }

  /** It did not answer this node. */
  accuse(member: Member, now: Instant): void {
    const own = this.#around.own();
    if (!own.hasLeft && this.#suspicions.takes(member, own.id)) {
      this.#suspect(member, this.#ownAccusation(member), now);
    }
  }

  /** It is heard of, or heard: whoever accused it was wrong. */
  refute(member: Member): void {
    if (member.suspicion === undefined) return;
    this.#suspicions.end(member);
    this.#around.counters.refuted++;
  }

  /** What it is to be told that is said of it: nothing while all is well. */
  chargeAgainst(member: Member): Accusation | undefined {
    if (member.state !== "suspect" && member.state !== "dead") return undefined;
    const [first] = member.suspicion?.accusations.values() ?? [];
    return first ?? this.#ownAccusation(member);
  }

  /** Whether any of `news` accuses this node: also of what was refuted before, since the sender has not heard of it. */
  isAccused(news: readonly NewsItem[]): boolean {
    return news.some(({ kind, bytes }) => {
      const accusation = kind === "accusation" ? readAccusation(bytes) : "malformed";
      return accusation !== "malformed" && accusation.subject === this.#around.own().id;
    });
  }

  #suspect(member: Member, accusation: Accusation, now: Instant): void {
    const isNew = member.state === "alive";
    if (isNew) this.#around.table.setState(member, "suspect");
    this.#suspicions.add(member, accusation, now);
    this.#around.gossip().accusation(member.record.id, accusation.bytes, now);
    if (isNew) this.#around.emit("memberSuspect", member);
  }

  /** It answered in time, though it has not refuted what was said of it. */
  #acquit(member: Member): void {
    this.refute(member);
    this.#around.gossip().forget(member.record.id);
    this.#around.table.setState(member, "alive");
    this.#around.emit("memberChanged", member);
  }

  #giveUp(member: Member, now: Instant): void {
    for (const accuser of member.suspicion?.accusations.keys() ?? []) this.#credit.giveBack(accuser, now);
    this.#suspicions.end(member);
    this.#around.gossip().forget(member.record.id);
    this.#around.table.setState(member, "dead");
    this.#around.gone(member, now);
    this.#around.emit("memberDown", member);
  }

  #ownAccusation({ record }: Member): Accusation {
    return signAccusation(record.id, record.incarnation, this.#around.own().id, this.#around.crypto);
  }
}
