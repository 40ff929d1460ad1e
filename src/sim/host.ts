import type { CoreCrypto } from "../base/crypto.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import type { Instant } from "../base/time.ts";

/** What happens to a host. `tick` comes at its deadline. */
export type HostInput =
  | { readonly type: "tick" }
  /** Whoever sent it is known to be `from`, as over a link or sealed end to end. It may come twice, late or never. */
  | { readonly type: "datagram"; readonly from: NodeId; readonly bytes: Uint8Array }
  /** Over a link: in order, once. */
  | { readonly type: "message"; readonly from: NodeId; readonly bytes: Uint8Array }
  /** There is a link now, whoever asked for it; `address` is the peer's. */
  | { readonly type: "linkUp"; readonly peer: NodeId; readonly address: string }
  /** A link is gone, and with it the messages under way. */
  | { readonly type: "linkDown"; readonly peer: NodeId; readonly reason: LinkDownReason }
  /** A wanted link did not come about. The want is forgotten: want it again to have it tried again. */
  | {
      readonly type: "linkFailed";
      readonly peer: NodeId | undefined;
      readonly address: string;
      readonly reason: LinkFailedReason;
    };

/** `closed` by an end that no longer wanted it (or ended in order), `lost` when the other end was silent too long. */
export type LinkDownReason = "closed" | "lost";

/** `unreachable` nobody answered in time; `wrong_node` somebody else did. */
export type LinkFailedReason = "unreachable" | "wrong_node";

/** What a host wants done. */
export type HostOutput =
  /** To a node, wherever it is: over the link if there is one, else by a way that the network finds. May be lost. */
  | { readonly type: "datagram"; readonly to: NodeId; readonly bytes: Uint8Array }
  /** Over the link to the node; dropped when there is none. */
  | { readonly type: "message"; readonly to: NodeId; readonly bytes: Uint8Array }
  /** Dial, unless there is a link to `peer` already; it stays until `dropLink`. Without `peer`: whoever is at `address`. */
  | { readonly type: "wantLink"; readonly peer?: NodeId; readonly address: string }
  /** This end needs the link no more; it is closed when the other end does not want it either. */
  | { readonly type: "dropLink"; readonly peer: NodeId }
  /** Close the link, whether or not the other end wants it; what is under way on it is gone. */
  | { readonly type: "endLink"; readonly peer: NodeId }
  /** Something worth a line in the log and a part in the digest of the run. */
  | { readonly type: "news"; readonly text: string };

/**
 * A node under simulation: any machine, or a composition of machines, that speaks these inputs and outputs. It gets its
 * time as `now`, from a clock of its own that may be skewed.
 */
export interface SimulatedHost extends Machine<HostInput, HostOutput> {
  /** What a datagram or message says, for the log. */
  describe?(bytes: Uint8Array): string;
}

/** What a host is made with. */
export interface HostContext {
  readonly name: string;
  readonly id: NodeId;
  /** The node's public key, of which `id` is the SHA-256 as `crypto` computes it. */
  readonly publicKey: Uint8Array;
  readonly address: string;
  /** When this life begins, by the node's own clock. */
  readonly startedAt: Instant;
  /** A stream of its own: what one host draws changes nothing for the others. */
  readonly random: Random;
  /** A cheap stand-in for the real primitives: see `standInCrypto`. */
  readonly crypto: CoreCrypto;
}
