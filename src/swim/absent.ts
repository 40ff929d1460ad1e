import type { NodeId } from "../base/node-id.ts";
import { after, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import { AddressBook, type RememberedMember } from "./address-book.ts";
import { retryDelayMs } from "./formulas.ts";
import type { Member } from "./member.ts";
import type { ResolvedSwimOptions } from "./options.ts";

/** What `Absent` needs of the node. */
export interface AbsentSurroundings {
  readonly options: ResolvedSwimOptions;
  /** Dial it, and exchange all that both know. */
  exchangeWith(member: RememberedMember, now: Instant): void;
  /** Ask the dead: it learns that it is held for dead, and refutes it if it lives. */
  ask(member: Member): void;
  /** Ask the living as in a round, through others too. */
  probe(member: Member, now: Instant): void;
}

/** Members whose state is disputed, that are asked at a time. */
const disputesPerTurn = 25;
const disputeGapMs = 100;
const disputesMax = 4_096;
/** How long what a member has signed outlives it. */
const knownAfterDeathMs = 600_000;

/**
 * Those that are gone, or may be: dead members are tried again by their addresses, for ever, and about those that another
 * table holds for dead, or holds for alive, this node finds out for itself.
 */
export class Absent {
  readonly #around: AbsentSurroundings;
  readonly #book: AddressBook;
  readonly #disputes = new Set<Member>();
  readonly #timers = new Timers<"retry" | "disputes">();
  /** No address is tried before. */
  #retryFrom: Instant;
  #isStopped = false;

  constructor(around: AbsentSurroundings, remembered: readonly RememberedMember[], now: Instant) {
    this.#around = around;
    this.#book = new AddressBook(around.options.addressesMax);
    this.#book.addRemembered(remembered, now);
    this.#retryFrom = now;
  }

  deadline(): Instant | undefined {
    return this.#timers.deadline();
  }

  /** Addresses are tried from now on. */
  start(now: Instant): void {
    this.#isStopped = false;
    this.#arrangeRetry(now);
  }

  /** And no more. */
  stop(): void {
    this.#isStopped = true;
    this.#timers.clear("retry");
  }

  tick(now: Instant): void {
    for (const timer of this.#timers.expire(now)) {
      if (timer === "retry") this.#retry(now);
      else this.#askDisputed(now);
    }
  }

  remembered(): RememberedMember[] {
    return this.#book.remembered();
  }

  /** It is dead to this node: an address to try again. */
  add(member: Member, now: Instant): void {
    const { record, introducer } = member;
    member.deadSince = now;
    this.#book.add({ ...record, wasHeard: introducer === undefined }, after(now, retryDelayMs(0)), now);
    this.#arrangeRetry(now);
  }

  /** It is back, or has left. */
  delete(id: NodeId): void {
    this.#book.delete(id);
  }

  /** Finds out about a member that one table holds for dead and another does not. */
  dispute(member: Member, now: Instant): void {
    if (this.#disputes.size >= disputesMax) return;
    this.#disputes.add(member);
    if (!this.#timers.has("disputes")) this.#timers.set("disputes", now);
  }

  #retry(now: Instant): void {
    const gone = this.#book.take(now);
    if (gone !== undefined) this.#around.exchangeWith(gone, now);
    this.#retryFrom = after(now, this.#around.options.retryGapMs);
    this.#arrangeRetry(now);
  }

  #arrangeRetry(now: Instant): void {
    const due = this.#book.deadline();
    if (due === undefined || this.#isStopped) return;
    const soonest = this.#retryFrom > now ? this.#retryFrom : now;
    this.#timers.set("retry", due > soonest ? due : soonest);
  }

  #askDisputed(now: Instant): void {
    let turns = disputesPerTurn;
    for (const member of this.#disputes) {
      if (turns-- === 0) break;
      this.#disputes.delete(member);
      if (member.state === "dead") this.#around.ask(member);
      else if (member.state === "alive") this.#around.probe(member, now);
    }
    if (this.#disputes.size > 0) this.#timers.set("disputes", after(now, disputeGapMs));
  }
}

/** Whether it died less than ten minutes ago: it may be on the other side of a partition, or come back. */
export function hasJustDied({ deadSince }: Member, now: Instant): boolean {
  return deadSince !== undefined && now - deadSince < knownAfterDeathMs;
}
