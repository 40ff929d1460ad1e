import type { NodeId } from "../base/node-id.ts";
import { Schedule } from "../base/schedule.ts";
import { after, type Instant } from "../base/time.ts";
import type { Accusation } from "./accusation.ts";
import { expectedConfirmations, suspicionTimeoutMs } from "./formulas.ts";
import { type Member, Suspicion } from "./member.ts";
import type { ResolvedSwimOptions } from "./options.ts";
import type { Table } from "./table.ts";

export interface SuspicionSurroundings {
  readonly options: ResolvedSwimOptions;
  readonly table: Table;
  /** Ask the suspect itself, telling it what is said of it. */
  ask(member: Member): void;
  /** It answered. */
  heard(member: Member): void;
  /** It had time to answer, and to refute, and did neither. */
  expired(member: Member, now: Instant): void;
}

/** Questions in the last check. */
const checksMax = 3;

/**
 * The members that are suspected. Each has a time until which it must refute, the shorter the more others say the same; and
 * before it is over, this node asks the suspect itself. So nobody is given up on the word of others alone, however many.
 */
export class Suspicions {
  readonly #around: SuspicionSurroundings;
  readonly #schedule = new Schedule<Suspicion>();

  constructor(around: SuspicionSurroundings) {
    this.#around = around;
  }

  deadline(): Instant | undefined {
    return this.#schedule.deadline();
  }

  /** Whether an accusation by `accuser` would change anything. */
  takes(member: Member, accuser: NodeId): boolean {
    if (!member.isLiving) return false;
    const accusations = member.suspicion?.accusations;
    if (accusations === undefined) return true;
    return accusations.size <= this.#expected() && !accusations.has(accuser);
  }

  /** One that `takes` has agreed to. */
  add(member: Member, accusation: Accusation, now: Instant): void {
    const suspicion = member.suspicion ?? new Suspicion(member, now);
    member.suspicion = suspicion;
    suspicion.accusations.set(accusation.accuser, accusation);
    if (suspicion.isChecking) return;
    const { suspicionMinMs, suspicionMaxMs, lastCheckMs } = this.#around.options;
    const confirmations = suspicion.accusations.size - 1;
    const forMs = suspicionTimeoutMs(confirmations, this.#expected(), suspicionMinMs, suspicionMaxMs);
    const due = after(suspicion.since, forMs);
    const soonest = after(now, lastCheckMs);
    suspicion.due = due > soonest ? due : soonest;
    this.#schedule.set(suspicion, after(suspicion.due, -lastCheckMs));
  }

  end(member: Member): void {
    if (member.suspicion !== undefined) this.#schedule.clear(member.suspicion);
    member.suspicion = undefined;
  }

  tick(now: Instant): void {
    for (let next = this.#schedule.expire(now); next !== undefined; next = this.#schedule.expire(now)) {
      if (now < next.due) this.#check(next, now);
      else if (next.wasHeard) this.#around.heard(next.member);
      else this.#around.expired(next.member, now);
    }
  }

  /** This node stood still for so long: what would have ended suspicions may lie unread. */
  postpone(byMs: number): void {
    const all: Suspicion[] = [];
    for (const member of this.#around.table.members())
      if (member.suspicion !== undefined) all.push(member.suspicion);
    for (const suspicion of all) {
      suspicion.due = after(suspicion.due, byMs);
      const next = this.#schedule.get(suspicion);
      if (next !== undefined) this.#schedule.set(suspicion, after(next, byMs));
    }
  }

  #check(suspicion: Suspicion, now: Instant): void {
    suspicion.isChecking = true;
    const next = after(now, this.#around.options.lastCheckMs / checksMax);
    this.#schedule.set(suspicion, next < suspicion.due ? next : suspicion.due);
    this.#around.ask(suspicion.member);
  }

  #expected(): number {
    return expectedConfirmations(this.#around.options.confirmations, this.#around.table.livingCount + 1);
  }
}
