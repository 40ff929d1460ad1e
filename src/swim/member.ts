import type { NodeId } from "../base/node-id.ts";
import type { Instant } from "../base/time.ts";
import type { Accusation } from "./accusation.ts";
import type { MemberRecord } from "./record.ts";

export const memberStates = ["alive", "suspect", "dead", "left"] as const;
/** `left` is what a member says of itself; the others are this node's own judgement. */
export type MemberState = (typeof memberStates)[number];

/** A member as others see it. */
export interface MemberView {
  readonly name: string;
  readonly id: NodeId;
  /** `host:port` where it can be dialled. */
  readonly address: string;
  readonly state: MemberState;
  readonly incarnation: number;
  readonly metadata: Uint8Array;
}

/** A member in the table. There are millions of them in a simulation: keep it small. */
export class Member {
  record: MemberRecord;
  state: MemberState = "alive";
  /** While it is suspected. */
  suspicion: Suspicion | undefined;
  /** Who told of it, until it was heard itself; `undefined` from then on. */
  introducer: NodeId | undefined;
  /** Since when it is dead, if it is. */
  deadSince: Instant | undefined;

  constructor(record: MemberRecord, introducer: NodeId | undefined) {
    this.record = record;
    this.introducer = introducer;
  }

  get isLiving(): boolean {
    return this.state === "alive" || this.state === "suspect";
  }
}

export function viewOf({ record, state }: Member): MemberView {
  const { name, id, address, incarnation, metadata } = record;
  return { name, id, address, state, incarnation, metadata };
}

/** Why a member is suspected, since when, and until when it has to show that it lives. */
export class Suspicion {
  readonly member: Member;
  readonly since: Instant;
  /** Those that accuse it, the first ones only. */
  readonly accusations = new Map<NodeId, Accusation>();
  due: Instant;
  /** It was asked itself, for the last time before it is given up. */
  isChecking = false;
  /** It was heard while it was asked. */
  wasHeard = false;

  constructor(member: Member, since: Instant) {
    this.member = member;
    this.since = since;
    this.due = since;
  }
}
