import type { MaculaNode } from "../../../src/node/macula-node.ts";
import type { MemberView } from "../../../src/swim/index.ts";

/** What `look` gives as soon as it gives something; it looks again in each turn of the event loop. */
export async function until<Found>(look: () => Found | undefined | false): Promise<Found> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** How `node` sees the member of this name or id. */
export function memberOf(node: MaculaNode, nameOrId: string): MemberView | undefined {
  return node.members().find(({ name, id }) => name === nameOrId || id === nameOrId);
}

/** How `node` sees that member, as soon as it is in this state. */
export function memberIn(
  node: MaculaNode,
  state: MemberView["state"],
  nameOrId: string,
): Promise<MemberView> {
  return until(() => {
    const member = memberOf(node, nameOrId);
    return member?.state === state ? member : undefined;
  });
}

/** Joins the mesh that `other` is in, and resolves when the two know each other. */
export async function joined(node: MaculaNode, other: MaculaNode): Promise<void> {
  node.join(other.name);
  await Promise.all([memberIn(node, "alive", other.nodeId), memberIn(other, "alive", node.nodeId)]);
}

/** All events of membership at `node` from now on, as `type state name`. */
export function membershipOf(node: MaculaNode): string[] {
  const events: string[] = [];
  for (const type of ["memberUp", "memberSuspect", "memberDown", "memberChanged"] as const) {
    node.on(type, ({ name, state }) => events.push(`${type} ${state} ${name.slice(0, name.indexOf("@"))}`));
  }
  return events;
}
