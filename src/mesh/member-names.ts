import { comparePoints } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";

/**
 * Which living member is meant by a node name. Nothing keeps two nodes of a realm from calling themselves the same; the one
 * with the smaller node id has the name then, everywhere, and whoever sees it can tell.
 */
export class MemberNames {
  readonly #byName = new Map<string, NodeId[]>();
  readonly #byId = new Map<NodeId, string>();

  /** The member is alive, under this name. True when it shares the name with another. */
  add(id: NodeId, name: string): boolean {
    if (this.#byId.get(id) === name) return false;
    this.delete(id);
    const ids = this.#byName.get(name) ?? [];
    ids.push(id);
    ids.sort(comparePoints);
    this.#byName.set(name, ids);
    this.#byId.set(id, name);
    return ids.length > 1;
  }

  delete(id: NodeId): void {
    const name = this.#byId.get(id);
    if (name === undefined) return;
    this.#byId.delete(id);
    const ids = (this.#byName.get(name) ?? []).filter((each) => each !== id);
    if (ids.length === 0) this.#byName.delete(name);
    else this.#byName.set(name, ids);
  }

  idOf(name: string): NodeId | undefined {
    return this.#byName.get(name)?.[0];
  }
}
