import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { canonicalNodeName } from "../../base/node-name.ts";
import { FoundAnother, type Links } from "../links/index.ts";
import type { Log } from "../log.ts";

/** Addresses of which something is kept, of each kind. */
const addressesMax = 1_024;

export interface AddressesSetup {
  /** This node. */
  readonly name: string;
  readonly id: () => NodeId;
  readonly links: Pick<Links, "dial">;
  readonly nameOf: (id: NodeId) => string | undefined;
  /** A link has come about with whoever is there, or not. */
  readonly onReached: (id: NodeId, address: string) => void;
  readonly onUnreached: (id: NodeId | undefined, address: string) => void;
  readonly log: Log;
}

/**
 * Dials addresses: by the name that somebody said is there, or that of a member, or without one. Links are dialled by name, and
 * whoever is there has proven its own when another was wanted: then it is dialled by that.
 */
export class Addresses {
  readonly #setup: AddressesSetup;
  /** Under which name somebody may be there, who was there, and that nobody was. */
  readonly #names = new Map<string, string>();
  readonly #found = new Map<string, NodeId>();
  readonly #silent = new Map<string, true>();
  /** Dials under way, by whom or what they are for. */
  readonly #dialling = new Set<string>();

  constructor(setup: AddressesSetup) {
    this.#setup = setup;
  }

  /** Somebody says that this node is there. */
  name(address: string, name: string): void {
    remember(this.#names, address, name);
  }

  /** Who answered there the last time. */
  found(address: string): NodeId | undefined {
    return this.#found.get(address);
  }

  /** Makes a link with whoever is there, if one is not being made; with `id` it should be that. `address`: `host:port`, or a node name. */
  async dial(id: NodeId | undefined, address: string): Promise<void> {
    const { nameOf, onReached, onUnreached } = this.#setup;
    const key = id ?? address;
    if (this.#dialling.has(key)) return;
    this.#dialling.add(key);
    try {
      const known = id && nameOf(id);
      const found = await this.#reach(known ?? this.#names.get(address) ?? nameAt(address), hostOf(address));
      this.#silent.delete(address);
      remember(this.#found, address, found);
      if (id === undefined || found === id) onReached(found, address);
      else onUnreached(id, address);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      this.#onSilent(address, error);
      onUnreached(id, address);
    } finally {
      this.#dialling.delete(key);
    }
  }

  async #reach(name: string, host: string): Promise<NodeId> {
    const { links, name: own, id } = this.#setup;
    try {
      return await links.dial(name, host);
    } catch (error) {
      if (!(error instanceof FoundAnother)) throw error;
      if (error.found === own) {
        remember(this.#found, host, id());
        throw error;
      }
      return await links.dial(error.found, host);
    }
  }

  /** Told once, until somebody answers there. */
  #onSilent(address: string, error: MeshError): void {
    if (this.#silent.has(address) || this.#found.get(address) === this.#setup.id()) return;
    remember(this.#silent, address, true);
    this.#setup.log.warn({ address, code: error.code, error: error.message }, "mesh.unreachable");
  }
}

/** A peer may make up any number of addresses: when there are too many, all are forgotten, since none matters for long. */
function remember<Value>(map: Map<string, Value>, address: string, value: Value): void {
  if (!map.has(address) && map.size >= addressesMax) map.clear();
  map.set(address, value);
}

/** The name to dial for an address: itself, if it is one, or that of nobody in particular. */
function nameAt(address: string): string {
  return canonicalNodeName(address.includes("@") ? address : `_@${address}`);
}

function hostOf(address: string): string {
  return address.slice(address.indexOf("@") + 1);
}
