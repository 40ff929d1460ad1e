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
  /** The same for a name in what a proven peer says: where there is more than one spelling, this one is used from now on. */
  heard(name: string): string;
  /** A node has proven itself that calls itself so: for it, no other spelling counts. */
  introduced(name: string): void;
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
    heard: (name) => (name === own ? ownName : name),
    introduced: () => undefined,
  };
}

/** `name@host` of `name@host:port`. */
function portless(name: string): string {
  return name.replace(/:\d+$/, "");
}

const spellingsMax = 4_096;

/**
 * The names on connections through the carrier, where a name without a port means 4433 (`erl -sname a`): such a node is
 * `a@host:4433` here and stays `a@host` there, since to Erlang these are two nodes. It is remembered which is which.
 *
 * Threat: a peer that spells another node wrongly, whose signals would be lost then. What a node proves of itself goes before
 * what others say of it, and what nobody has proven is not remembered.
 */
export class CarrierNames implements NodeNames {
  readonly own: string;
  /** How nodes spell themselves, and how proven peers spell others, by the name with its port. */
  readonly #introduced = new Map<string, string>();
  readonly #heard = new Map<string, string>();
  readonly #canonical: (name: string) => string;

  /** @param canonical adds the port that a name stands for; throws for what is no name. */
  constructor(own: string, canonical: (name: string) => string) {
    this.own = own;
    this.#canonical = canonical;
  }

  toPeer(name: string): string {
    return this.#introduced.get(name) ?? this.#heard.get(name) ?? name;
  }

  fromPeer(name: string): string {
    if (/:\d+$/.test(name)) return name;
    try {
      return this.#canonical(name);
    } catch {
      // A name that Macula cannot dial (nonode@nohost, say) is still a name.
      return name;
    }
  }

  heard(name: string): string {
    const canonical = this.fromPeer(name);
    if (canonical !== name) remember(this.#heard, canonical, name);
    return canonical;
  }

  introduced(name: string): void {
    remember(this.#introduced, this.fromPeer(name), name);
  }

  /** The spellings that a node may have, likeliest first. */
  spellings(name: string): readonly string[] {
    const likeliest = this.toPeer(name);
    const portless = name.replace(/:\d+$/, "");
    return [...new Set([likeliest, name, ...(this.fromPeer(portless) === name ? [portless] : [])])];
  }
}

/** Threat: names without end. Those in use are learned again. */
function remember(spellings: Map<string, string>, canonical: string, name: string): void {
  if (spellings.get(canonical) === name) return;
  if (spellings.size >= spellingsMax) spellings.clear();
  spellings.set(canonical, name);
}

/** Whether `name` can only be that of a stock Erlang node: it has no port. */
export function isPortless(name: string): boolean {
  return !/:\d+$/.test(name) && name.includes("@");
}
