import type { NodeId } from "../../../src/base/node-id.ts";
import { nodeIdFromBytes } from "../../../src/base/node-id.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { at } from "../../../src/base/time.ts";
import { Members, Ring, resolveRingOptions } from "../../../src/ring/index.ts";
import {
  decodePacket,
  Forwarder,
  type ForwarderOutput,
  packetProtocol,
  resolveForwarderOptions,
} from "../../../src/routing/index.ts";

export interface StaticNode {
  readonly id: NodeId;
  ring: Ring;
  forwarder: Forwarder;
  readonly links: Set<NodeId>;
  alive: boolean;
}

/** How one packet fared. */
export interface Journey {
  readonly visited: readonly NodeId[];
  /** The way back of the news that it was not delivered. */
  readonly back: readonly NodeId[];
  /** The first output that is no hop; `undefined` when the news did not come back. */
  readonly outcome: ForwarderOutput | undefined;
}

/**
 * A mesh that stands still: rings decide about links with the membership given, links exist at once, and one packet
 * is followed at a time.
 */
export class StaticMesh {
  readonly nodes: readonly StaticNode[];
  readonly random: Random;
  readonly #byId = new Map<NodeId, StaticNode>();
  readonly #members: Members;
  #now = 0;

  constructor(size: number, seed: number) {
    this.random = seededRandom(seed);
    const ids = Array.from({ length: size }, () => nodeIdFromBytes(this.random.bytes(32)));
    this.#members = new Members(ids);
    this.nodes = ids.map((id) => ({ id, ...this.#machines(id), links: new Set<NodeId>(), alive: true }));
    for (const node of this.nodes) this.#byId.set(node.id, node);
    // The members are shared: one piece of news makes a ring look at all of them.
    for (const node of this.nodes) {
      const other = ids.find((id) => id !== node.id);
      if (other !== undefined) node.ring.handle({ type: "memberUp", id: other }, at(0));
    }
    this.settle();
  }

  node(id: NodeId): StaticNode {
    return this.#byId.get(id) as StaticNode;
  }

  pick(): StaticNode {
    for (;;) {
      const node = this.nodes[this.random.integer(this.nodes.length)] as StaticNode;
      if (node.alive) return node;
    }
  }

  /** Lets the rings act until none has anything to say, then on, check by check, for `forMs`. */
  settle(forMs = 0): void {
    const end = this.#now + forMs;
    for (;;) {
      let busy = true;
      while (busy) {
        busy = false;
        for (const node of this.nodes) if (node.alive && this.#act(node)) busy = true;
      }
      if (this.#now >= end) return;
      this.#now += 1_000;
    }
  }

  link(a: StaticNode, b: StaticNode): void {
    if (a.links.has(b.id) || !a.alive || !b.alive) return;
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      self.links.add(other.id);
      self.ring.handle({ type: "linkUp", id: other.id }, at(this.#now));
      self.forwarder.handle({ type: "linkUp", id: other.id }, at(this.#now));
    }
  }

  unlink(a: StaticNode, b: StaticNode): void {
    for (const [self, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (!self.links.delete(other.id)) continue;
      self.ring.handle({ type: "linkDown", id: other.id }, at(this.#now));
      self.forwarder.handle({ type: "linkDown", id: other.id }, at(this.#now));
    }
  }

  /** Ends a node. Its links are noticed to be gone, and, when `told`, its membership too. */
  crash(node: StaticNode, told: boolean): void {
    node.alive = false;
    for (const id of [...node.links]) this.unlink(node, this.node(id));
    if (told) this.forget(node.id);
  }

  /** A node comes back to life, and all hear of it. */
  revive(node: StaticNode): void {
    Object.assign(node, this.#machines(node.id), { alive: true });
    for (const each of this.nodes) {
      if (!each.alive || each === node) continue;
      each.ring.handle({ type: "memberUp", id: node.id }, at(this.#now));
      node.ring.handle({ type: "memberUp", id: each.id }, at(this.#now));
    }
    this.#members.add(node.id);
  }

  forget(id: NodeId): void {
    this.#members.delete(id);
    for (const node of this.nodes) {
      if (node.alive) node.ring.handle({ type: "memberDown", id }, at(this.#now));
    }
  }

  /** Follows one packet to its end: until it is delivered, or its sender hears that it is not. */
  send(from: StaticNode, to: NodeId, variant = 0, betweenHops?: () => void): Journey {
    const visited: NodeId[] = [from.id];
    const back: NodeId[] = [];
    let current = from;
    current.forwarder.handle(
      { type: "send", target: to, protocol: 1, payload: Uint8Array.of(1, 2, 3), variant },
      at(this.#now),
    );
    for (;;) {
      const output = current.forwarder.poll();
      if (output?.type !== "forward") return { visited, back, outcome: output };
      const { protocol } = decodePacket(output.payload);
      if (protocol === packetProtocol.failure && back.length === 0) back.push(current.id);
      betweenHops?.();
      const next = this.node(output.to);
      next.forwarder.handle({ type: "forward", from: current.id, payload: output.payload }, at(this.#now));
      current = next;
      (back.length > 0 ? back : visited).push(current.id);
    }
  }

  #machines(id: NodeId): Pick<StaticNode, "ring" | "forwarder"> {
    return {
      ring: new Ring(id, resolveRingOptions(), seededRandom(this.random.u32()), this.#members),
      forwarder: new Forwarder(id, resolveForwarderOptions()),
    };
  }

  #act(node: StaticNode): boolean {
    const deadline = node.ring.deadline();
    if (deadline === undefined || deadline > this.#now) return false;
    node.ring.handle({ type: "tick" }, at(this.#now));
    for (let output = node.ring.poll(); output !== undefined; output = node.ring.poll()) {
      if (output.type === "linkUse") {
        const { payload, to } = output;
        if (node.links.has(to))
          this.node(to).ring.handle({ type: "linkUse", from: node.id, payload }, at(this.#now));
      } else if (output.type === "wantLink") this.link(node, this.node(output.id));
      else this.unlink(node, this.node(output.id));
    }
    return true;
  }
}
