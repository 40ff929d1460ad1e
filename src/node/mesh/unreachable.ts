import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import type { TraceResult } from "../../mesh/index.ts";
import type { MemberView } from "../../swim/index.ts";
import { nearMiss } from "../near-miss.ts";

/** Why `name` is nobody to send to, and who may have been meant. */
export function noMember(name: string, members: readonly MemberView[]): MeshError {
  const state = members.find((member) => member.name === name)?.state;
  if (state !== undefined) return unreachable(state === "left" ? `${name} has left` : `${name} is ${state}`);
  const names = members.map((member) => member.name);
  // Of a whole name the port is half, and nobody knows it by heart.
  const first = nearMiss(firstPart(name), names.map(firstPart));
  const meant = nearMiss(name, names) ?? names.find((each) => firstPart(each) === first);
  return unreachable(`${name} is no member${meant === undefined ? "" : `: did you mean ${meant}?`}`);
}

/** Why a question did not get to `name`, and who says so. */
export function untraced(
  name: string,
  result: Exclude<TraceResult, { type: "traced" }>,
  self: NodeId,
  nameOf: (id: NodeId) => string | undefined,
): MeshError {
  if (result.type === "silent") return unreachable(`no answer from ${name}: question or answer was lost`);
  const by = result.by === self ? "this node" : (nameOf(result.by) ?? result.by);
  const why =
    result.reason === "busy" ? "all links that lead there are full" : "it has no link that leads there";
  return unreachable(`${by} could not pass it on to ${name}: ${why}`);
}

function unreachable(what: string): MeshError {
  return new MeshError("PEER_UNREACHABLE", `${what} (\`macula members\` tells who is alive)`);
}

function firstPart(name: string): string {
  return name.slice(0, name.indexOf("@"));
}
