import { comparePoints } from "../../src/base/id-space.ts";
import type { Measure, NodeView } from "./messages.ts";

const neighboursPerSide = 3;

/** Who does not see exactly the running nodes as alive, in one sentence. */
export function disagreement(views: readonly NodeView[], names: readonly string[]): string | undefined {
  const expected = [...names].sort().join();
  for (const { name, members } of views) {
    const alive = members.filter(({ state }) => state === "alive").map((member) => member.name);
    if (alive.sort().join() === expected) continue;
    const missing = names.filter((each) => !alive.includes(each));
    const other = alive.filter((each) => !names.includes(each));
    return `${name} lacks ${missing.join(", ") || "nobody"}, and has ${other.join(", ") || "nobody"} too many`;
  }
  return views.length === names.length ? undefined : `${views.length} of ${names.length} nodes answer`;
}

/** Who knows no way to some member, or has no link to a neighbour on the ring. */
export function hole(views: readonly NodeView[]): string | undefined {
  const ids = views.map(({ id }) => id).sort(comparePoints);
  for (const { name, id, routes } of views) {
    const way = new Map(routes.map((route) => [route.nodeId, route.way]));
    const lost = ids.find((each) => each !== id && (way.get(each) ?? "none") === "none");
    if (lost !== undefined) return `${name} knows no way to ${lost.slice(0, 8)}`;
    const at = ids.indexOf(id);
    for (let step = 1; step <= neighboursPerSide; step++) {
      for (const neighbour of [ids[(at + step) % ids.length], ids.at((at - step) % ids.length)]) {
        if (neighbour === undefined || neighbour === id || way.get(neighbour) === "link") continue;
        return `${name} has no link to its neighbour ${neighbour.slice(0, 8)}`;
      }
    }
  }
  return undefined;
}

/** Who holds one of `ids` for anything else than `state`. */
export function otherState(
  views: readonly NodeView[],
  ids: readonly string[],
  state: string,
): string | undefined {
  for (const { name, members } of views) {
    for (const id of ids) {
      const found = members.find((member) => member.id === id)?.state ?? "unknown";
      if (found !== state) return `${name} holds ${id.slice(0, 8)} for ${found}, not ${state}`;
    }
  }
  return undefined;
}

/** Numbered messages between `names` that have not arrived, or not in order. */
export function missingMessages(views: readonly NodeView[], names: readonly string[]): string | undefined {
  const all = views.filter(({ name }) => names.includes(name));
  for (const { name, traffic } of all) {
    if (traffic.disorder > 0) return `${traffic.disorder} came to ${name} twice or out of order`;
    for (const other of all) {
      const [sent, received] = [traffic.sent[other.name] ?? 0, other.traffic.received[name] ?? 0];
      if (sent !== received) return `${received} of ${sent} from ${name} came to ${other.name}`;
    }
  }
  return undefined;
}

/** What has grown, from one measurement to another. */
export function growth(before: Measure, after: Measure, processes: number): string[] {
  const grown: string[] = [];
  const bound = (key: keyof Measure, most: number): void => {
    if (after[key] > most) grown.push(`${key} grew from ${round(before[key])} to ${round(after[key])}`);
  };
  bound("heapMB", before.heapMB * 1.15 + 3 * processes);
  bound("rssMB", before.rssMB * 1.25 + 20 * processes);
  bound("externalMB", before.externalMB * 1.25 + 5 * processes);
  bound("descriptors", before.descriptors);
  bound("resources", before.resources + 2 * processes);
  bound("sessions", before.members);
  bound("peers", before.members);
  bound("links", before.members);
  bound("channels", 2 * before.members);
  bound("processes", before.processes);
  bound("waitingBytes", 0);
  return grown;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
