import type { NodeId } from "../base/node-id.ts";
import type { LinkDownReason, LinkFailedReason } from "./host.ts";
import type { Network } from "./network.ts";
import type { SimulatedNode } from "./node.ts";

/** A link between two nodes, while it is up. */
interface Link {
  readonly ends: readonly [SimulatedNode, SimulatedNode];
  readonly wantedBy: Set<SimulatedNode>;
  /** Since when nothing gets through, by a partition, a cut or a pause. */
  blockedSinceMs: number | undefined;
  /** By sender: when the last message arrives, and what has arrived at the place where the link is cut. */
  readonly lanes: Map<SimulatedNode, { freeMs: number; stalled: Uint8Array[] }>;
}

export interface LinkSurroundings {
  nowMs(): number;
  later(delayMs: number, run: () => void): void;
  nodeAt(address: string): SimulatedNode | undefined;
  nodeOf(id: NodeId): SimulatedNode | undefined;
  linkUp(node: SimulatedNode, peer: SimulatedNode): void;
  linkDown(node: SimulatedNode, peer: SimulatedNode, reason: LinkDownReason): void;
  linkFailed(node: SimulatedNode, peer: NodeId | undefined, address: string, reason: LinkFailedReason): void;
  message(node: SimulatedNode, from: SimulatedNode, bytes: Uint8Array): void;
}

/** Wait before a handshake that got no answer is tried again. */
const dialRetryMs = 300;

/** The links of a simulation: dialled on demand, reliable and in order while up, given up when silent for too long. */
export class Links {
  readonly #around: LinkSurroundings;
  readonly #network: Network;
  readonly #linkTimeoutMs: number;
  readonly #dialTimeoutMs: number;
  readonly #links = new Map<SimulatedNode, Map<SimulatedNode, Link>>();
  /** Ends that do not know yet that their link was closed, by the other end. */
  readonly #untold = new Map<SimulatedNode, Map<SimulatedNode, () => void>>();
  /** Addresses that a node is dialling. */
  readonly #dials = new Map<SimulatedNode, Set<string>>();

  constructor(
    around: LinkSurroundings,
    network: Network,
    options: { readonly linkTimeoutMs: number; readonly dialTimeoutMs: number },
  ) {
    this.#around = around;
    this.#network = network;
    this.#linkTimeoutMs = options.linkTimeoutMs;
    this.#dialTimeoutMs = options.dialTimeoutMs;
  }

  /** The nodes that `node` has a link to. */
  peersOf(node: SimulatedNode): SimulatedNode[] {
    return [...(this.#links.get(node)?.keys() ?? [])];
  }

  want(node: SimulatedNode, peer: NodeId | undefined, address: string): void {
    const existing = peer === undefined ? undefined : this.#between(node, peer);
    if (existing !== undefined) return void existing.link.wantedBy.add(node);
    const dials = this.#dials.get(node) ?? new Set();
    const key = `${peer ?? ""} ${address}`;
    if (dials.has(key)) return;
    this.#dials.set(node, dials.add(key));
    const { lives } = node;
    const endMs = this.#around.nowMs() + this.#dialTimeoutMs;
    const finish = (reason?: LinkFailedReason): void => {
      dials.delete(key);
      if (reason !== undefined) this.#around.linkFailed(node, peer, address, reason);
    };
    const attempt = (): void => {
      if (node.state === "down" || node.lives !== lives) return finish();
      const target = this.#around.nodeAt(address);
      if (target !== undefined && this.#answers(node, target)) {
        const isWrong = target === node || (peer !== undefined && target.id !== peer);
        if (!isWrong) this.#up(node, target, peer === undefined);
        return finish(isWrong ? "wrong_node" : undefined);
      }
      if (this.#around.nowMs() + dialRetryMs > endMs) return finish("unreachable");
      this.#around.later(dialRetryMs, attempt);
    };
    const target = this.#around.nodeAt(address);
    // One and a half round trips until both ends know that the link is up.
    this.#around.later(target === undefined ? 0 : 3 * this.#network.linkDelay(node, target), attempt);
  }

  drop(node: SimulatedNode, peer: NodeId): void {
    const { link } = this.#between(node, peer) ?? {};
    if (link === undefined) return;
    link.wantedBy.delete(node);
    if (link.wantedBy.size === 0) this.#close(link, node);
  }

  /** Closed by `node`, whoever wants it. */
  end(node: SimulatedNode, peer: NodeId): void {
    const { link } = this.#between(node, peer) ?? {};
    if (link !== undefined) this.#close(link, node);
  }

  /** False when there is no link. */
  send(from: SimulatedNode, to: NodeId, bytes: Uint8Array): boolean {
    const { link, other } = this.#between(from, to) ?? {};
    const lane = link?.lanes.get(from);
    if (link === undefined || other === undefined || lane === undefined) return false;
    lane.freeMs = Math.max(lane.freeMs, this.#around.nowMs() + this.#network.linkDelay(from, other));
    this.#around.later(lane.freeMs - this.#around.nowMs(), () => this.#arrive(link, from, other, bytes));
    return true;
  }

  /** `node` ends and tells its peers. */
  closeAll(node: SimulatedNode): void {
    for (const link of this.#linksOf(node)) this.#close(link, node);
  }

  /** `node` begins a new life, in which it answers packets of old links with a reset. */
  resetAll(node: SimulatedNode): void {
    for (const link of this.#linksOf(node)) {
      this.#remove(link);
      this.#around.linkDown(otherEnd(link, node), node, "lost");
    }
    this.#dials.delete(node);
  }

  /** Something changed about who can reach whom; with `node`, only about this one. */
  review(node?: SimulatedNode): void {
    if (node !== undefined) for (const link of this.#linksOf(node)) this.#reviewOne(link);
    else {
      for (const [end, links] of this.#links) {
        for (const link of links.values()) if (link.ends[0] === end) this.#reviewOne(link);
      }
    }
  }

  #linksOf(node: SimulatedNode): Link[] {
    return [...(this.#links.get(node)?.values() ?? [])];
  }

  #between(node: SimulatedNode, peer: NodeId): { link: Link; other: SimulatedNode } | undefined {
    const other = this.#around.nodeOf(peer);
    const link = other === undefined ? undefined : this.#links.get(node)?.get(other);
    return other === undefined || link === undefined ? undefined : { link, other };
  }

  #reviewOne(link: Link): void {
    const [one, other] = link.ends;
    const isOpen =
      one.state === "running" &&
      other.state === "running" &&
      this.#network.passes(one, other) &&
      this.#network.passes(other, one);
    if (isOpen) {
      link.blockedSinceMs = undefined;
      this.#flush(link, one, other);
      this.#flush(link, other, one);
      return;
    }
    if (link.blockedSinceMs !== undefined) return;
    const sinceMs = this.#around.nowMs();
    link.blockedSinceMs = sinceMs;
    this.#around.later(this.#linkTimeoutMs, () => {
      if (this.#isUp(link) && link.blockedSinceMs === sinceMs) this.#lose(link);
    });
  }

  #flush(link: Link, from: SimulatedNode, to: SimulatedNode): void {
    const lane = link.lanes.get(from);
    if (lane === undefined || lane.stalled.length === 0) return;
    this.#around.later(this.#network.linkDelay(from, to), () => {
      if (!this.#isUp(link) || !this.#network.passes(from, to)) return;
      for (const bytes of lane.stalled.splice(0)) this.#around.message(to, from, bytes);
    });
  }

  #arrive(link: Link, from: SimulatedNode, to: SimulatedNode, bytes: Uint8Array): void {
    if (!this.#isUp(link) || to.state === "down") return;
    const stalled = link.lanes.get(from)?.stalled ?? [];
    // What comes after something that stalled waits behind it.
    if (stalled.length > 0 || !this.#network.passes(from, to)) stalled.push(bytes);
    else this.#around.message(to, from, bytes);
  }

  #answers(node: SimulatedNode, target: SimulatedNode): boolean {
    return (
      target.state === "running" &&
      this.#network.datagramDelays(node, target).length > 0 &&
      this.#network.datagramDelays(target, node).length > 0
    );
  }

  #up(dialler: SimulatedNode, listener: SimulatedNode, tellAnyway: boolean): void {
    const existing = this.#links.get(dialler)?.get(listener);
    if (existing !== undefined) {
      existing.wantedBy.add(dialler);
      // Whoever dialled an address wants to know who is there.
      if (tellAnyway) this.#around.linkUp(dialler, listener);
      return;
    }
    const link: Link = {
      ends: [dialler, listener],
      wantedBy: new Set([dialler]),
      blockedSinceMs: undefined,
      lanes: new Map([dialler, listener].map((end) => [end, { freeMs: 0, stalled: [] }])),
    };
    for (const [end, other] of [
      [dialler, listener],
      [listener, dialler],
    ] as const) {
      const links = this.#links.get(end) ?? new Map<SimulatedNode, Link>();
      this.#links.set(end, links.set(other, link));
    }
    for (const [end, other] of [
      [listener, dialler],
      [dialler, listener],
    ] as const) {
      // Whatever it has to hear of the link before comes first.
      this.#untold.get(end)?.get(other)?.();
      this.#around.linkUp(end, other);
    }
  }

  #close(link: Link, by: SimulatedNode): void {
    const other = otherEnd(link, by);
    this.#remove(link);
    this.#around.linkDown(by, other, "closed");
    const untold = this.#untold.get(other) ?? new Map<SimulatedNode, () => void>();
    const { lives } = other;
    const tell = (): void => {
      if (untold.get(by) !== tell) return;
      untold.delete(by);
      if (other.lives === lives) this.#around.linkDown(other, by, "closed");
    };
    this.#untold.set(other, untold.set(by, tell));
    this.#around.later(this.#network.linkDelay(by, other), tell);
  }

  #lose(link: Link): void {
    const [one, other] = link.ends;
    this.#remove(link);
    this.#around.linkDown(one, other, "lost");
    this.#around.linkDown(other, one, "lost");
  }

  #isUp(link: Link): boolean {
    return this.#links.get(link.ends[0])?.get(link.ends[1]) === link;
  }

  #remove(link: Link): void {
    const [one, other] = link.ends;
    this.#links.get(one)?.delete(other);
    this.#links.get(other)?.delete(one);
  }
}

function otherEnd(link: Link, end: SimulatedNode): SimulatedNode {
  return link.ends[0] === end ? link.ends[1] : link.ends[0];
}
