import type { QuicConnection } from "../../io/quic/index.ts";
import type { LinkConnection } from "./connection.ts";
import type { LinkStats } from "./types.ts";

/** Facts about a link for people and metrics; `undefined` before its handshake is over. */
export function statsOf(
  name: string,
  connection: LinkConnection,
  queuedBytes: number,
): LinkStats | undefined {
  const { transport, peer, incomingStreams } = connection;
  if (peer === undefined) return undefined;
  return {
    name,
    nodeId: peer.nodeId,
    creation: peer.creation,
    side: transport.side,
    address: addressOf(transport),
    earlyData: transport.earlyData,
    rttMs: rttOf(connection),
    queuedBytes,
    incomingStreams,
  };
}

/** Of heartbeats, or the engine's estimate before the first; milliseconds. */
export function rttOf({ transport, link }: LinkConnection): number {
  return link?.rttMs ?? transport.stats().rttMs;
}

export function addressOf({ remoteAddress: { host, port } }: QuicConnection): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
