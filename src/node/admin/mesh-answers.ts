import { MeshError } from "../../base/errors.ts";
import type { AdminNode } from "./admin-node.ts";
import type { ListedMember, ListedRoute, MeasuredTrace } from "./protocol.ts";

/*
 * The mesh as one node sees it, in the values that the admin protocol carries.
 */

type Asked = Pick<AdminNode, "members" | "routes" | "trace">;

export function listMembers(node: Asked): ListedMember[] {
  return node.members().map(({ name, id, state, address, incarnation, metadata }) => ({
    name,
    nodeId: id,
    state,
    address,
    incarnation,
    metadata: Buffer.from(metadata).toString("base64"),
  }));
}

export function listRoutes(node: Asked): ListedRoute[] {
  return node.routes().map(({ node: name, nodeId, way, nextHop = null, use = null, rttMs = null }) => ({
    node: name,
    nodeId,
    way,
    nextHop,
    use,
    rttMs,
  }));
}

/**
 * The way to `target`, and the round trip to each node on it. Each is asked for itself, so a nearer one may take longer than one behind
 * it, and one that goes just now gives no time.
 * @throws MeshError `PEER_UNREACHABLE`, as `MaculaNode.trace`.
 */
export async function measureTrace(node: Asked, target: string): Promise<MeasuredTrace> {
  const { hops, rttMs } = await node.trace(target);
  const roundTrip = async (index: number, name: string | undefined): Promise<number | null> => {
    if (index === 0) return 0;
    if (index === hops.length - 1) return rttMs;
    return name === undefined ? null : roundTripTo(node, name);
  };
  const measured = hops.map(async ({ node: name, nodeId }, index) => ({
    node: name ?? null,
    nodeId: nodeId ?? null,
    rttMs: await roundTrip(index, name),
  }));
  return { hops: await Promise.all(measured), rttMs };
}

async function roundTripTo(node: Asked, name: string): Promise<number | null> {
  try {
    return (await node.trace(name)).rttMs;
  } catch (error) {
    if (error instanceof MeshError) return null;
    throw error;
  }
}
