/**
 * What nodes are called on a connection. Inside a Macula node every node has one name, the key of all tables; an Erlang
 * node may know the same node by another, and the atoms in its pids and references are compared as they are. So pids,
 * ports and references are renamed at the edge. Atoms that stand alone are not: nobody knows which of them are nodes.
 */
export interface NodeNames {
  /** This node, as the peer knows it. */
  readonly own: string;
  /** What the peer calls the node that is called `name` here. */
  toPeer(name: string): string;
  /** What the node is called here that the peer calls `name`. */
  fromPeer(name: string): string;
}

/**
 * The names on a connection made by epmd. Stock nodes look for the port of a node at its host's epmd and cannot find
 * one with a port in its name: they know this node without it. Everybody else is called the same on both sides.
 */
export function stockNames(ownName: string): NodeNames {
  const own = portless(ownName);
  return {
    own,
    toPeer: (name) => (name === ownName ? own : name),
    fromPeer: (name) => (name === own ? ownName : name),
  };
}

/** `name@host` of `name@host:port`. */
function portless(name: string): string {
  return name.replace(/:\d+$/, "");
}

const spellingsMax = 4_096;

/**
 * The names on connections through the carrier, where a name without a port means 4433 (`erl -sname a`): such a node is
 * `a@host:4433` here and stays `a@host` there. It is remembered which nodes are spelled without the port.
 */
export class CarrierNames implements NodeNames {
  readonly own: string;
  /** By the name with its port. */
  readonly #spelled = new Map<string, string>();
  readonly #canonical: (name: string) => string;

  /** @param canonical adds the port that a name stands for; throws for what is no name. */
  constructor(own: string, canonical: (name: string) => string) {
    this.own = own;
    this.#canonical = canonical;
  }

  toPeer(name: string): string {
    return this.#spelled.get(name) ?? name;
  }

  fromPeer(name: string): string {
    if (/:\d+$/.test(name)) return name;
    let canonical: string;
    try {
      canonical = this.#canonical(name);
    } catch {
      // A name that Macula cannot dial (nonode@nohost, say) is still a name.
      return name;
    }
    if (this.#spelled.get(canonical) === name) return canonical;
    // Threat: pids of nodes without end. Those in use are learned again with the next pid.
    if (this.#spelled.size >= spellingsMax) this.#spelled.clear();
    this.#spelled.set(canonical, name);
    return canonical;
  }
}

/** Whether `name` can only be that of a stock Erlang node: it has no port. */
export function isPortless(name: string): boolean {
  return !/:\d+$/.test(name) && name.includes("@");
}
