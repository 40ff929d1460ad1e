import { decodePacket as decodeForward } from "../src/routing/index.ts";
import type { Instant, NodeId, SimulatedHost } from "../src/sim/index.ts";
import {
  decodePacket,
  decodeSync,
  type MembershipNews,
  type RecordCache,
  type RememberedMember,
  type Swim,
} from "../src/swim/index.ts";
import { encodeSync } from "../src/swim/sync-messages.ts";
import { decodeFrame, frameType } from "../src/wire/index.ts";

/** A host that is a member of a mesh: with membership alone, or with all of it. */
export interface MemberHost extends SimulatedHost {
  readonly swim: Swim;
  readonly farewellTold: boolean;
  /** Find out who is at this address, and get to know all that it knows. */
  join(address: string, now: Instant): void;
  leave(now: Instant): void;
  /** Has had a link to `peer`, by which it was said this. What it has to say itself goes nowhere. */
  introduce(peer: { readonly id: NodeId; readonly address: string }, said: Introduction, now: Instant): void;
}

export interface MemberHostSetup {
  /** Shared by all nodes of a simulation, so that thousands of tables of thousands of members share their records. */
  readonly records: RecordCache;
  readonly remembered?: readonly RememberedMember[];
  /** Told of each change of the table. */
  readonly onNews?: (news: MembershipNews, by: NodeId) => void;
}

/** Payloads of MEMBERS. */
export type Introduction = readonly Uint8Array[];

/** What an exchange that a peer begins brings a node. */
export function introductionOf(records: readonly Uint8Array[]): Introduction {
  const said = [encodeSync({ kind: "offer", count: records.length, hash: [0, 0] })];
  const piece = 32;
  for (let start = 0; start < records.length; start += piece) {
    said.push(encodeSync({ kind: "records", isLast: false, records: records.slice(start, start + piece) }));
  }
  said.push(encodeSync({ kind: "wants", wanted: [], disputed: [] }));
  return said;
}

export function newsText({ type, member }: MembershipNews): string {
  const { name, state, incarnation } = member;
  return `${type} ${name.split("@")[0]}: ${state}, incarnation ${incarnation}`;
}

/** A frame in words, for the log. */
export function describeFrame(bytes: Uint8Array): string {
  const decoded = decodeFrame(bytes);
  if (decoded.result !== "frame") return decoded.result;
  const { type, payload } = decoded.frame;
  if (type === frameType.members) return `members ${decodeSync(payload, 1 << 20).kind}`;
  if (type === frameType.probe) return describeProbe(payload);
  const [name] = Object.entries(frameType).find(([, code]) => code === type) ?? [`type ${type}`];
  if (type !== frameType.forward) return name;
  const { protocol, visited, variant, payload: carried } = decodeForward(payload);
  return `forward ${protocol}, variant ${variant}, hop ${visited.length}, ${carried.length} bytes`;
}

function describeProbe(payload: Uint8Array): string {
  const { head, news } = decodePacket(payload);
  const count = (kind: string) => news.filter((item) => item.kind === kind).length;
  const number = head.kind === "gossip" ? "" : ` ${head.sequence}`;
  return `${head.kind}${number}, ${count("record")} records, ${count("accusation")} accusations`;
}
