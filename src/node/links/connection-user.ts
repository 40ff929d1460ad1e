import type { BufferPool } from "../../base/buffer-pool.ts";
import type { Instant } from "../../base/time.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import type { ConnectionNumber, Ending, Handshake, Introduction, LinkOptions } from "../../link/index.ts";
import type { Frame } from "../../wire/index.ts";
import type { LinkConnection } from "./connection.ts";
import type { Incoming } from "./incoming.ts";

export interface ConnectionUser {
  onIntroduced(connection: LinkConnection, peer: Introduction, early: boolean): void;
  onEstablished(connection: LinkConnection): void;
  /** The handshake is over; `open` makes it a link. */
  onComplete(connection: LinkConnection, peer: Introduction): void;
  /** A signal frame. False when the payload's defect closed the link. */
  onFrame(connection: LinkConnection, incoming: Incoming, frame: Frame, now: Instant): boolean;
  /** A frame of the mesh, 0x20 … 0x3F. The payload is a view. */
  onMeshFrame(connection: LinkConnection, frame: Frame, now: Instant): void;
  /** The same, in a datagram. */
  onMeshDatagram(connection: LinkConnection, frameType: number, payload: Uint8Array): void;
  /** SESSION on the control stream. */
  onGreeting(connection: LinkConnection, payload: Uint8Array): void;
  /** The peer retires the link: what is sent from now on takes another way. */
  onRetiring(connection: LinkConnection): void;
  /** The mesh may use the link again for what it forwards. */
  onMeshReady(connection: LinkConnection): void;
  onAnswered(connection: LinkConnection, rttMs: number): void;
  /** There is more to read in the next turn: call `readMore` then. */
  onMore(connection: LinkConnection): void;
  /** The link has something to flush. */
  onFlushable(connection: LinkConnection): void;
  /** A deadline may have changed. */
  onTouched(connection: LinkConnection): void;
  /** Told once, whoever ended it. */
  onClosed(connection: LinkConnection, ending: Ending, cause?: Error): void;
}

export interface ConnectionSetup {
  readonly number: ConnectionNumber;
  readonly transport: QuicConnection;
  readonly handshake: Handshake;
  readonly options: Required<LinkOptions>;
  /** For what is read. */
  readonly buffers: BufferPool;
  readonly user: ConnectionUser;
  readonly clock: () => Instant;
  /** Gives numbers to incoming streams. */
  readonly streamNumber: () => number;
}
