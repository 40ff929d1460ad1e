import type { CoreCrypto } from "../../base/crypto.ts";
import type { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import type { Random } from "../../base/random.ts";
import type { Instant } from "../../base/time.ts";
import type { Term } from "../../etf/index.ts";
import type { EarlyData, QuicEndpoint } from "../../io/quic/index.ts";
import type { Ending, LinkOptions, PoolOptions } from "../../link/index.ts";
import type { Signal } from "../../process/signals.ts";
import type { LinkCounters } from "./counters.ts";
import type { WaitingSignal } from "./waiting.ts";

/** What the process runtime is told: its inputs. */
export type LinkDelivery =
  | {
      readonly type: "signal";
      readonly node: string;
      /** Where it came from, for `pause` and `resume`. */
      readonly stream: number;
      /** Its size on the wire. */
      readonly bytes: number;
      readonly signal: Signal;
    }
  | {
      readonly type: "nodeUp";
      readonly node: string;
      /** Tells this life of the node from others. */
      readonly creation: number;
    }
  | { readonly type: "nodeDown"; readonly node: string; readonly reason: Term }
  | { readonly type: "drained"; readonly node: string; readonly lane: number };

/** News for logs and metrics: of links, and of the sessions with other nodes that links or the mesh carry. */
export type LinkNews =
  | { readonly type: "sessionUp"; readonly name: string; readonly nodeId: NodeId | undefined }
  | {
      readonly type: "sessionDown";
      readonly name: string;
      readonly nodeId: NodeId | undefined;
      readonly reason: string;
    }
  | { readonly type: "up"; readonly name: string; readonly nodeId: NodeId; readonly address: string }
  | { readonly type: "down"; readonly name: string; readonly nodeId: NodeId; readonly ending: Ending }
  /** A dial failed; what waited for the node was told. */
  | { readonly type: "unreachable"; readonly name: string; readonly error: MeshError }
  /** A peer's connection ended before it became a link. */
  | {
      readonly type: "refused";
      /** Unknown when the engine refused it: the ending's reason tells then. */
      readonly address: string | undefined;
      readonly nodeId: NodeId | undefined;
      readonly ending: Ending;
    };

export interface LinksSetup {
  /** Owned by the caller, who passes on its connections. Its `onIncomingFailed` belongs to the links from now on. */
  readonly endpoint: QuicEndpoint;
  readonly nodeId: NodeId;
  /** name@host:port. */
  readonly name: string;
  /** Tells this life of the node from earlier ones, 1 … 2^32 − 1. */
  readonly creation: number;
  readonly crypto: CoreCrypto;
  readonly random: Random;
  readonly clock: () => Instant;
  /** Called for everything that concerns the process runtime, in order; `pause` may be called from within. */
  readonly deliver: (delivery: LinkDelivery, now: Instant) => void;
  readonly onNews?: (news: LinkNews) => void;
  /**
   * No link with `name` could be made. Whoever is asked may know another way: then it takes what was `waiting`, tells the
   * process runtime itself, and what it returns settles as those who wait in `connect` are told.
   */
  readonly elsewhere?: (
    name: string,
    error: MeshError,
    waiting: () => readonly WaitingSignal[],
  ) => Promise<void> | undefined;
  /** A link with `node`, which has proven its name, is about to be told of: whoever else has that name loses it. */
  readonly beforeUp?: (node: string) => void;
  readonly link?: LinkOptions;
  readonly pool?: PoolOptions;
}

export interface LinkStats {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly creation: number;
  readonly side: "client" | "server";
  readonly address: string;
  /** Whether the link's first words went out with its first packet (0-RTT). */
  readonly earlyData: EarlyData;
  /** Round trip, milliseconds: of heartbeats, or the engine's estimate before the first. */
  readonly rttMs: number;
  readonly queuedBytes: number;
  readonly incomingStreams: number;
}

export interface LinksStats {
  readonly links: readonly LinkStats[];
  /** Nodes with which there is a session, by a link or through the mesh. */
  readonly sessions: number;
  /** Nodes of which anything is kept: linked, wanted, reached through the mesh; or dialled in vain, for the back-off. */
  readonly known: { readonly peers: number; readonly dialled: number };
  readonly counters: Readonly<LinkCounters>;
}
