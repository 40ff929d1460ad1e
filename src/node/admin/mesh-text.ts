import { memberStates } from "../../swim/index.ts";
import type { ListedMember, ListedRoute, MeasuredTrace } from "./protocol.ts";

/*
 * Members, routes and traces as people read them. Names, addresses and metadata are what other nodes say of themselves: nothing of that
 * reaches a terminal as a control character.
 */

/** Characters of a node id that tell nodes apart for people. */
const shortIdCharacters = 12;
const metadataCharactersMax = 40;

/** Living first, then by name. `self` is marked. */
export function membersText(members: readonly ListedMember[], self: string): string {
  const sorted = members.toSorted(
    (a, b) =>
      memberStates.indexOf(a.state) - memberStates.indexOf(b.state) ||
      a.name.localeCompare(b.name, "en", { numeric: true }),
  );
  const rows = sorted.map(({ name, state, address, incarnation, nodeId, metadata }) => [
    name === self ? "*" : "",
    name,
    state,
    address,
    String(incarnation),
    shortId(nodeId),
    metadataText(metadata),
  ]);
  const heads = ["", "name", "state", "address", "incarnation", "id", "metadata"];
  return `${table(heads, rows)}\n${countsText(sorted)}`;
}

/** The links of `self`, then how each member is reached. */
export function routesText(routes: readonly ListedRoute[], self: string): string {
  if (routes.length === 0) return `${self} knows no other living member`;
  const sorted = routes.toSorted((a, b) => a.node.localeCompare(b.node, "en", { numeric: true }));
  const links = sorted.filter(({ use }) => use !== null);
  const linkRows = links.map(({ node, use, rttMs }) => [node, use ?? "", roundTripText(rttMs)]);
  const rows = sorted.map(({ node, way, nextHop }) => [node, way, way === "mesh" ? (nextHop ?? "") : ""]);
  return [
    table(["link with", "use", "round trip"], linkRows),
    "",
    table(["member", "way", "next hop"], rows),
    `${plural(links.length, "link")}, ${plural(routes.length, "living member")} besides ${self}`,
  ].join("\n");
}

/** Hop by hop, with the round trip to each. */
export function traceText({ hops, rttMs }: MeasuredTrace): string {
  const rows = hops.map(({ node, nodeId, rttMs: toHop }, index) => [
    String(index),
    node ?? "(no member here)",
    nodeId === null ? "" : shortId(nodeId),
    index === 0 ? "this node" : roundTripText(toHop),
  ]);
  return `${table(["hop", "node", "id", "round trip"], rows)}\n${plural(hops.length - 1, "hop")}, ${roundTripText(rttMs)} there and back`;
}

/** One line for a member whose state is `state` now. */
export function changeText(name: string, before: string | undefined, state: string): string {
  return printable(before === undefined ? `${name} is ${state}` : `${name} was ${before}, is ${state}`);
}

/** What a member says of itself, if it is text that can be shown. */
function metadataText(base64: string): string {
  const bytes = Buffer.from(base64, "base64");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return `(${bytes.length} bytes)`;
  }
  if (printable(text) !== text) return `(${bytes.length} bytes)`;
  const characters = Array.from(text);
  if (characters.length <= metadataCharactersMax) return text;
  return `${characters.slice(0, metadataCharactersMax - 1).join("")}…`;
}

function countsText(members: readonly ListedMember[]): string {
  const counts = memberStates.flatMap((state) => {
    const count = members.filter((member) => member.state === state).length;
    return count === 0 ? [] : [`${count} ${state}`];
  });
  return `${plural(members.length, "member")}: ${counts.join(", ")}`;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function shortId(nodeId: string): string {
  return nodeId.slice(0, shortIdCharacters);
}

function roundTripText(rttMs: number | null): string {
  return rttMs === null ? "no answer" : `${rttMs.toFixed(2)} ms`;
}

function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?");
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heads, ...rows].map((row) => row.map(printable));
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => (row[column] as string).length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
