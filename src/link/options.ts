/**
 * Lanes that either side may open: the protocol's, so that a node never has lanes which its peer gives no stream. Every
 * node grants so many, also one that is set to use fewer itself.
 */
export const peerLanesMax = 128;

/** Settings of one link; all sizes are bounds on what this node keeps. */
export interface LinkOptions {
  /** Time from the first packet to a proven peer, and from there to a session with it, milliseconds, > 0. Default 5,000. */
  readonly handshakeTimeoutMs?: number;
  /** What this node can do beyond protocol version 1; two nodes need one in common. Default `["signals"]`. */
  readonly capabilities?: readonly string[];
  /** Silence after which a side asks, milliseconds, > 0; an eighth more for the listener. Default 2,500. */
  readonly heartbeatIntervalMs?: number;
  /** Heartbeats in a row without a sign of life until the peer counts as lost, ≥ 1. Default 3: lost after 7.5 s, by a listener after 8.4 s. */
  readonly heartbeatMissesMax?: number;
  /** Streams that this node opens for its processes, 1 … 128. Default 128. */
  readonly lanesMax?: number;
  /** Bytes waiting in a lane above the engine's own window from which `send` says false. Default 1 MiB. */
  readonly laneHighWaterBytes?: number;
  /** Bytes waiting in a lane at which `send` throws `LIMIT`, ≥ `laneHighWaterBytes`. Default 64 MiB. */
  readonly laneQueueBytesMax?: number;
  /** The same over all lanes to one peer. Default 256 MiB. */
  readonly peerQueueBytesMax?: number;
  /** The same to a node there is no link with yet: there may be many such nodes. Default 32 MiB. */
  readonly unlinkedQueueBytesMax?: number;
  /** Frames handled of one link in a turn of the event loop, ≥ 1; each 4 KiB of payload count as one more. Default 512. */
  readonly turnFrameBudget?: number;
  /** Time for an orderly end to deliver what is queued, milliseconds, ≥ 0. Default 2,000. A link that is retired has as long as a silent one, if that is more. */
  readonly leaveTimeoutMs?: number;
}

export function resolveLinkOptions(given: LinkOptions = {}): Required<LinkOptions> {
  const options = {
    handshakeTimeoutMs: 5_000,
    capabilities: ["signals"],
    heartbeatIntervalMs: 2_500,
    heartbeatMissesMax: 3,
    lanesMax: peerLanesMax,
    laneHighWaterBytes: 1 << 20,
    laneQueueBytesMax: 64 << 20,
    peerQueueBytesMax: 256 << 20,
    unlinkedQueueBytesMax: 32 << 20,
    turnFrameBudget: 512,
    leaveTimeoutMs: 2_000,
    ...given,
  };
  atLeast("handshakeTimeoutMs", options.handshakeTimeoutMs, 1);
  atLeast("heartbeatIntervalMs", options.heartbeatIntervalMs, 1);
  atLeast("heartbeatMissesMax", options.heartbeatMissesMax, 1);
  atLeast("laneHighWaterBytes", options.laneHighWaterBytes, 1);
  atLeast("laneQueueBytesMax", options.laneQueueBytesMax, options.laneHighWaterBytes);
  atLeast("peerQueueBytesMax", options.peerQueueBytesMax, options.laneHighWaterBytes);
  atLeast("unlinkedQueueBytesMax", options.unlinkedQueueBytesMax, 1);
  atLeast("turnFrameBudget", options.turnFrameBudget, 1);
  atLeast("leaveTimeoutMs", options.leaveTimeoutMs, 0);
  atLeast("lanesMax", options.lanesMax, 1);
  if (options.lanesMax > peerLanesMax)
    throw new RangeError(`lanesMax is ${options.lanesMax}, at most ${peerLanesMax} are allowed`);
  return options;
}

/** Settings of the pool: whom to dial when, and how many of everything. */
export interface PoolOptions {
  /** Time for one dial, name resolution to proven peer, milliseconds, > 0. Default 7,000. */
  readonly dialTimeoutMs?: number;
  /** Wait before the second dial in a row to a node, milliseconds, > 0. Default 100; it doubles each time. */
  readonly backoffBaseMs?: number;
  /** Longest such wait, milliseconds, ≥ `backoffBaseMs`. Default 5,000. */
  readonly backoffMaxMs?: number;
  /** A link that lasted this long starts the back-off afresh, milliseconds. Default 10,000. */
  readonly stableMs?: number;
  /** How long a dial that has not reached the peer yet holds up the peer's own dial, milliseconds. Default 1,000. */
  readonly simultaneousGraceMs?: number;
  /** How long an existing link may take to show that it is alive when its peer dials anew, milliseconds. Default 1,000. */
  readonly probeTimeoutMs?: number;
  /** Links at the same time, ≥ 1. Default 4,096. Dials above it fail with LIMIT, incoming ones are refused. */
  readonly linksMax?: number;
  /** Dials under way at the same time, ≥ 1. Default 64; further ones wait their turn. */
  readonly dialsMax?: number;
  /** Nodes that signals or callers may wait for at the same time, ≥ 1. Default 1,024; further ones fail with LIMIT. */
  readonly wantedMax?: number;
  /** Incoming handshakes under way, ≥ 1. Default 256; further ones are refused. */
  readonly inboundMax?: number;
  /** The same from one address, ≥ 1. Default 64. */
  readonly inboundPerAddressMax?: number;
  /** Nodes whose last failures (for the back-off) are remembered. Default 4,096, oldest forgotten first. */
  readonly rememberedMax?: number;
}

export function resolvePoolOptions(given: PoolOptions = {}): Required<PoolOptions> {
  const options = {
    dialTimeoutMs: 7_000,
    backoffBaseMs: 100,
    backoffMaxMs: 5_000,
    stableMs: 10_000,
    simultaneousGraceMs: 1_000,
    probeTimeoutMs: 1_000,
    linksMax: 4_096,
    dialsMax: 64,
    wantedMax: 1_024,
    inboundMax: 256,
    inboundPerAddressMax: 64,
    rememberedMax: 4_096,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) atLeast(name, value, 1);
  atLeast("backoffMaxMs", options.backoffMaxMs, options.backoffBaseMs);
  return options;
}

function atLeast(name: string, value: number, least: number): void {
  if (!(value >= least)) throw new RangeError(`${name} is ${value}, at least ${least} is needed`);
}
