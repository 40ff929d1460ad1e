import type { MeshError } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Ending } from "./codes.ts";

/** A connection, ours or a peer's, in this pool. Numbers are never used twice. */
export type ConnectionNumber = number;

/** What the pool needs to know of a peer: from its hello or answer. */
export interface PoolPeer {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly creation: number;
}

export type PoolInput =
  /** Signals wait for the node. */
  | { readonly type: "want"; readonly name: string }
  /** Somebody waits for the link: dial now, whatever the back-off says. */
  | { readonly type: "connect"; readonly name: string }
  /** End the link to the node in order, and any dial. */
  | { readonly type: "disconnect"; readonly name: string }
  /** Nobody here needs the link to the node: end it so that nothing is lost. */
  | { readonly type: "retire"; readonly name: string }
  /** The peer of this link retires it. */
  | { readonly type: "retiring"; readonly connection: ConnectionNumber }
  /** The node is closing: forget whom to dial, and dial nobody any more. Links stay until `closed`. */
  | { readonly type: "close" }
  /** A peer connected; `connection` is from `number()`. */
  | { readonly type: "inbound"; readonly connection: ConnectionNumber; readonly address: string }
  /** The engine's handshake is complete: the peer of this dial is there; what it said as early data is no replay. */
  | { readonly type: "established"; readonly connection: ConnectionNumber; readonly nodeId: NodeId }
  /** The handshake says who is there and waits for `admit`. */
  | {
      readonly type: "introduced";
      readonly connection: ConnectionNumber;
      readonly peer: PoolPeer;
      /** It may be a replay. */
      readonly early: boolean;
    }
  /** The handshake is over. */
  | { readonly type: "complete"; readonly connection: ConnectionNumber; readonly peer: PoolPeer }
  /** The peer of a link gave a sign of life after `probe`. */
  | { readonly type: "alive"; readonly connection: ConnectionNumber }
  /** The connection is gone, or its dial or handshake failed. */
  | {
      readonly type: "closed";
      readonly connection: ConnectionNumber;
      readonly ending: Ending;
      readonly cause?: Error;
    }
  | { readonly type: "tick" };

export type PoolOutput =
  | { readonly type: "dial"; readonly connection: ConnectionNumber; readonly name: string }
  /** Tell the handshake to go on. */
  | { readonly type: "admit"; readonly connection: ConnectionNumber }
  /** End the connection or the dial at once. The pool has forgotten it. */
  | { readonly type: "end"; readonly connection: ConnectionNumber; readonly ending: Ending }
  /** End the link in order; `closed` is awaited. `retire`: so that nothing is lost. */
  | { readonly type: "leave"; readonly connection: ConnectionNumber; readonly retire: boolean }
  /** Ask the peer of the link for a sign of life. */
  | { readonly type: "probe"; readonly connection: ConnectionNumber }
  /** One life of a node begins: exactly one `down` follows. */
  | { readonly type: "up"; readonly connection: ConnectionNumber; readonly peer: PoolPeer }
  | {
      readonly type: "down";
      readonly connection: ConnectionNumber;
      readonly peer: PoolPeer;
      readonly ending: Ending;
    }
  /** A wanted node could not be reached: who waits for it is told, what was queued is dropped. */
  | {
      readonly type: "unreachable";
      readonly name: string;
      readonly error: MeshError;
      /** The node that is there instead. */
      readonly found: string | undefined;
    };
