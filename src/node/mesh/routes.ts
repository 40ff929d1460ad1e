import type { NodeId } from "../../base/node-id.ts";
import type { Instant } from "../../base/time.ts";
import { isAt, type Mesh, type TraceResult } from "../../mesh/index.ts";

/** Why there is a link: to a neighbour on the ring, to shorten ways (or for traffic), or because the other end wants it. */
export type LinkUse = "neighbour" | "shortcut" | "guest";

/** How messages to a member leave this node. */
export interface Route {
  readonly node: string;
  readonly nodeId: NodeId;
  readonly way: "link" | "mesh" | "none";
  /** The node that gets them first. */
  readonly nextHop: string | undefined;
  /** Of the link to the member itself, if there is one. */
  readonly use: LinkUse | undefined;
  /** Of that link, milliseconds. */
  readonly rttMs: number | undefined;
}

/** Which way a message took. */
export interface Trace {
  /** This node first, the target last; `undefined` for a node that is no member here. */
  readonly hops: readonly { readonly node: string | undefined; readonly nodeId: NodeId | undefined }[];
  /** There and back, milliseconds. The way back may be another. */
  readonly rttMs: number;
}

/** How messages to each living member leave the node now. @param rttOf of the link to a member. */
export function routesOf(mesh: Mesh, rttOf: (id: NodeId) => number | undefined, now: Instant): Route[] {
  return mesh.swim.members().flatMap(({ id, name, state }) => {
    if (state === "dead" || state === "left") return [];
    const next = mesh.forwarder.nextHop(id, now);
    const nextHop = next === undefined ? undefined : (mesh.member(next)?.name ?? next);
    const use = useOf(mesh, id);
    return [{ node: name, nodeId: id, way: wayOf(id, next), nextHop, use, rttMs: use && rttOf(id) }];
  });
}

/** The answer to a trace of the way to `target`, for people. */
export function traceOf(
  mesh: Mesh,
  target: NodeId,
  { path, rttMs }: Extract<TraceResult, { type: "traced" }>,
): Trace {
  const members = [mesh.swim.self, ...mesh.swim.members()];
  const hops = [...path.map((at) => members.find(({ id }) => isAt(id, at))), mesh.member(target)];
  return { hops: hops.map((member) => ({ node: member?.name, nodeId: member?.id })), rttMs };
}

function useOf(mesh: Mesh, id: NodeId): LinkUse | undefined {
  if (!mesh.isLinked(id)) return undefined;
  if (mesh.ring.neighbours.includes(id)) return "neighbour";
  return mesh.ring.wanted.has(id) ? "shortcut" : "guest";
}

function wayOf(id: NodeId, next: NodeId | undefined): Route["way"] {
  if (next === undefined) return "none";
  return next === id ? "link" : "mesh";
}
