import type { NodeId } from "../base/node-id.ts";
import type { KademliaInput, KademliaOutput } from "../kademlia/index.ts";
import type { ChannelsOutput } from "../routing/index.ts";
import type { MembershipNews } from "../swim/index.ts";
import type { TraceResult } from "./traces.ts";

/** What a program may ask of the directory; `docs/routing.md`. */
export type DirectoryInput = Extract<KademliaInput, { type: "get" | "find" | "publish" | "withdraw" }>;
/** What the directory says. */
export type DirectoryOutput = Exclude<KademliaOutput, { type: "send" }>;

export type MeshInput =
  | { readonly type: "tick" }
  /** A frame in a datagram over the link to `from`. */
  | {
      readonly type: "datagram";
      readonly from: NodeId;
      readonly frameType: number;
      readonly payload: Uint8Array;
    }
  /** A frame of the mesh over the link to `from`, in order and once. */
  | {
      readonly type: "frame";
      readonly from: NodeId;
      readonly frameType: number;
      readonly payload: Uint8Array;
    }
  | { readonly type: "linkUp"; readonly id: NodeId; readonly address: string }
  /** `retired`: the mesh had dropped it; `closed`: an end has ended it for another reason; `lost`: it was cut. */
  | { readonly type: "linkDown"; readonly id: NodeId; readonly reason: "retired" | "closed" | "lost" }
  /** The link takes no more FORWARD for the time being, or does again. */
  | { readonly type: "linkFull"; readonly id: NodeId }
  | { readonly type: "linkReady"; readonly id: NodeId }
  /** A dial of `wantLink` has found `id` at `address`, to which there is a link now. */
  | { readonly type: "reached"; readonly id: NodeId; readonly address: string }
  /** It has found nobody, or somebody else. */
  | { readonly type: "unreached"; readonly id: NodeId | undefined; readonly address: string }
  /** Traffic with the node warrants a link, or no longer. */
  | { readonly type: "hold"; readonly id: NodeId; readonly held: boolean }
  /** Send by a channel; `settled`, or `lost` with the same token, follows. At most 64 KiB. */
  | { readonly type: "send"; readonly to: NodeId; readonly token: number; readonly message: Uint8Array }
  /** Whoever gets what the channel from `id` brings has enough for now, or wants more. */
  | { readonly type: "pause"; readonly id: NodeId; readonly paused: boolean }
  /** Somebody may be at this address: find out, and exchange memberships. */
  | { readonly type: "join"; readonly address: string }
  /** Say farewell; `farewellTold` follows. */
  | { readonly type: "leave" }
  /** What this node says of itself has changed. */
  | { readonly type: "update"; readonly address?: string; readonly metadata?: Uint8Array }
  /** The event loop was late by so much, milliseconds. */
  | { readonly type: "loopDelay"; readonly delayMs: number }
  | { readonly type: "directory"; readonly input: DirectoryInput }
  /** Find out which way messages to `target` take; `traced` answers. */
  | { readonly type: "trace"; readonly token: number; readonly target: NodeId };

export type MeshOutput =
  | {
      readonly type: "datagram";
      readonly to: NodeId;
      readonly frameType: number;
      readonly payload: Uint8Array;
    }
  | {
      readonly type: "frame";
      readonly to: NodeId;
      readonly frameType: number;
      readonly payload: Uint8Array;
    }
  /** Dial, unless there is a link. Without `id`: whoever is there. `reached` or `unreached` answers. */
  | { readonly type: "wantLink"; readonly id: NodeId | undefined; readonly address: string }
  /** Nobody needs the link any more: end it in order. */
  | { readonly type: "dropLink"; readonly id: NodeId }
  | MembershipNews
  /** The farewell has been told as often as it takes. */
  | { readonly type: "farewellTold" }
  /** A message from `from`, by its channel, in order. */
  | Extract<ChannelsOutput, { type: "deliver" | "settled" }>
  /** Something sent to the node by a channel was not delivered, as far as we know, or was too much. */
  | { readonly type: "lost"; readonly to: NodeId; readonly token: number }
  | { readonly type: "directory"; readonly output: DirectoryOutput }
  | { readonly type: "traced"; readonly token: number; readonly result: TraceResult };
