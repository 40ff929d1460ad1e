import type { NodeId } from "../base/node-id.ts";
import type { MemberView } from "./member.ts";

export type SwimInput =
  | { readonly type: "tick" }
  /** Payload of a PROBE frame. `from` must be proven: by the link it came over, or by being sealed end to end. */
  | { readonly type: "datagram"; readonly from: NodeId; readonly payload: Uint8Array }
  /** Payload of a MEMBERS frame, over the link to `from`. */
  | { readonly type: "message"; readonly from: NodeId; readonly payload: Uint8Array }
  /** There is a link, whoever wanted it. `address`: what was dialled, if it was for a `wantLink`. */
  | { readonly type: "linkUp"; readonly peer: NodeId; readonly address: string }
  | { readonly type: "linkDown"; readonly peer: NodeId; readonly reason: "closed" | "lost" }
  | { readonly type: "linkFailed"; readonly peer: NodeId | undefined; readonly address: string }
  /** An address where a member may be: dial it once and exchange all that both know. */
  | { readonly type: "join"; readonly address: string }
  /** Say farewell; `farewellTold` follows. */
  | { readonly type: "leave" }
  /** This node's own address or metadata is another now. */
  | { readonly type: "update"; readonly address?: string; readonly metadata?: Uint8Array }
  /** The program that this machine runs in was late by so much, milliseconds: measured now and then by its shell. */
  | { readonly type: "loopDelay"; readonly delayMs: number };

export type SwimOutput =
  | { readonly type: "datagram"; readonly to: NodeId; readonly payload: Uint8Array }
  | { readonly type: "message"; readonly to: NodeId; readonly payload: Uint8Array }
  /** Dial, unless there is such a link. Without `peer`: whoever is there. */
  | { readonly type: "wantLink"; readonly peer?: NodeId; readonly address: string }
  /** Membership needs this link no more. */
  | { readonly type: "dropLink"; readonly peer: NodeId }
  /** The farewell has been told as often as it takes: the node may end. */
  | { readonly type: "farewellTold" }
  | MembershipNews;

/** What changed in the table. */
export interface MembershipNews {
  readonly type: "memberUp" | "memberSuspect" | "memberDown" | "memberChanged";
  readonly member: MemberView;
}

/** What was ignored, refused or refuted. All only grow. */
export interface SwimCounters {
  /** Datagrams and messages that are not what their format says. */
  malformed: number;
  /** Records and accusations with a wrong signature. */
  forged: number;
  /** Records and accusations that something newer has overtaken: replays too. */
  stale: number;
  /** Accusations by nobody that is known, or of nobody. */
  unknown: number;
  /** Accusations whose subject showed that it lives. */
  refuted: number;
  /** Accusations by those whose accusations were refuted too often. */
  disbelieved: number;
  /** Members that found no room in the table. */
  refused: number;
  /** Messages that nobody asked for, and probes for others above the bound. */
  uninvited: number;
}
