import type { Mesh } from "../../mesh/index.ts";
import { type MemberState, memberStates, type SwimCounters } from "../../swim/index.ts";

/** What a node's part in the mesh keeps, and what it has ignored or refused so far: `docs/membership.md`, `docs/routing.md`. */
export interface MeshStats {
  /** Other members, by state. */
  readonly members: Readonly<Record<MemberState, number>>;
  /** How unwell this node finds itself: 0 is well, 8 the worst. */
  readonly healthScore: number;
  readonly sizes: {
    /** Links that the mesh uses, and how many it wants. */
    readonly links: number;
    readonly wantedLinks: number;
    /** Nodes with which there are channels, and channels from others. */
    readonly channelPeers: number;
    readonly incomingChannels: number;
    /** What came out of order, and what waits for full links, bytes. */
    readonly reorderBytes: number;
    readonly forwardBytes: number;
    /** The directory's records for others, nodes in its table, lookups under way. */
    readonly records: number;
    readonly tableNodes: number;
    readonly lookups: number;
  };
  /** By part; numbers only grow. */
  readonly counters: {
    readonly membership: Readonly<SwimCounters>;
    readonly ring: Mesh["ring"]["counters"];
    readonly directory: Mesh["kademlia"]["counters"];
    readonly forwarder: Mesh["forwarder"]["counters"];
    readonly channels: Mesh["channels"]["counters"];
    readonly datagrams: Mesh["counters"];
  };
}

export function statsOf({
  swim,
  ring,
  kademlia,
  forwarder,
  channels,
  counters,
  linksCount,
}: Mesh): MeshStats {
  const members = Object.fromEntries(memberStates.map((state) => [state, 0])) as Record<MemberState, number>;
  for (const { state } of swim.members()) members[state]++;
  const { peers, incoming, reorderBytes } = channels.sizes;
  const { records, nodes, lookups } = kademlia.sizes;
  return {
    members,
    healthScore: swim.healthScore,
    sizes: {
      links: linksCount,
      wantedLinks: ring.wanted.size,
      channelPeers: peers,
      incomingChannels: incoming,
      reorderBytes,
      forwardBytes: forwarder.waitingBytes,
      records,
      tableNodes: nodes,
      lookups,
    },
    counters: {
      membership: { ...swim.counters },
      ring: { ...ring.counters },
      directory: { ...kademlia.counters },
      forwarder: { ...forwarder.counters },
      channels: { ...channels.counters },
      datagrams: { ...counters },
    },
  };
}
