import type { NodeId } from "../../base/node-id.ts";

/** What links and sessions need of the mesh. */
export interface MeshPort {
  /** The living member called so. */
  idOf(name: string): NodeId | undefined;
  nameOf(id: NodeId): string | undefined;
  /** `host:port` of the living member called so. */
  addressOf(name: string): string | undefined;
  /** Whether a message for the node would go anywhere now. */
  hasRoute(id: NodeId): boolean;
  /** Sends by a channel: it is told when it has settled, or that what was sent under this token is lost. */
  send(id: NodeId, message: Uint8Array, token: number): void;
  /** Bytes that wait for the node in its channel. */
  waitingBytes(id: NodeId): number;
  /** Traffic with the node warrants a link, or no longer. */
  hold(id: NodeId, held: boolean): void;
  /** Its channel should bring nothing more for now, or go on. */
  pause(id: NodeId, paused: boolean): void;
  linkUp(id: NodeId, address: string): void;
  linkDown(id: NodeId, reason: "retired" | "closed" | "lost"): void;
  /** The link takes FORWARD again. */
  linkReady(id: NodeId): void;
  frame(from: NodeId, frameType: number, payload: Uint8Array): void;
  datagram(from: NodeId, frameType: number, payload: Uint8Array): void;
}
