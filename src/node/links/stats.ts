import type { QuicConnection } from "../../io/quic/index.ts";
import type { LinkConnection } from "./connection.ts";
import type { LinkStats } from "./types.ts";

/** Facts about a link for people and metrics; `undefined` before its handshake is over. */
export function statsOf(
  name: string,
  { transport, peer, link, incomingStreams }: LinkConnection,
  queuedBytes: number,
): LinkStats | undefined {
  if (peer === undefined) return undefined;
  return {
    name,
    nodeId: peer.nodeId,
    creation: peer.creation,
    side: transport.side,
    address: addressOf(transport),
    earlyData: transport.earlyData,
    rttMs: link?.rttMs ?? transport.stats().rttMs,
    queuedBytes,
    incomingStreams,
  };
}

export function addressOf({ remoteAddress: { host, port } }: QuicConnection): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
