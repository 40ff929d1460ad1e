import { comparePoints } from "../src/base/id-space.ts";
import type { MeshOptions } from "../src/mesh/index.ts";
import { type NodeId, nodeIdFromBytes, type SimulatedNode } from "../src/sim/index.ts";
import { Ledger } from "./ledger.ts";
import { Mesh, type MeshSetup, percentile } from "./mesh.ts";
import { NodeHost, type NodeTraffic } from "./node-host.ts";

export type WholeNode = SimulatedNode<NodeHost>;

/** Neighbours on each side that a node has links to. */
const perSide = 3;

/** A simulated mesh of whole nodes, and what is to be measured about it. */
export class WholeMesh extends Mesh<NodeHost> {
  readonly ledger: Ledger;
  #before: { readonly traffic: NodeTraffic; readonly atMs: number } | undefined;

  constructor(setup: MeshSetup, options?: MeshOptions) {
    const watcher = new Ledger();
    super(
      setup,
      (context, given) =>
        new NodeHost(context, { ...given, watcher, ...(options === undefined ? {} : { options }) }),
    );
    this.ledger = watcher;
  }

  /** A running node by chance. */
  pick(): WholeNode {
    const running = this.nodes.filter(({ state }) => state === "running");
    return running[this.simulation.random.integer(running.length)] as WholeNode;
  }

  send(from: WholeNode, to: WholeNode): void {
    if (from === to) return;
    from.act((host, now) => host.send(to.id, this.ledger.message(from.id, to.id), now));
  }

  /** A random key of the directory. */
  key(): NodeId {
    return nodeIdFromBytes(this.simulation.random.bytes(32));
  }

  /** Whether each running node has links to its nearest neighbours on both sides. */
  isRingWhole(): boolean {
    const running = this.running().toSorted((a, b) => comparePoints(a.id, b.id));
    const { length } = running;
    return running.every((node, index) => {
      for (let step = 1; step <= Math.min(perSide, length - 1); step++) {
        if (!node.host.isLinked((running[(index + step) % length] as WholeNode).id)) return false;
      }
      return true;
    });
  }

  /** Links of each running node. */
  degrees(): number[] {
    return this.running().map(({ host }) => [...host.linked].length);
  }

  /** Nodes that want more links than to six neighbours and one for each bucket, and links that only one end knows of. */
  excess(): number {
    return this.running().filter(({ host }) => {
      const { ring } = host.mesh;
      return ring.wanted.size > 2 * perSide + ring.buckets;
    }).length;
  }

  /** From here on `rates` measures. */
  measure(): void {
    this.#before = { traffic: this.#traffic(), atMs: this.simulation.nowMs };
  }

  /** What a node sends per second, by what it is for, since `measure` or the beginning. */
  rates(): NodeTraffic {
    const seconds = (this.simulation.nowMs - (this.#before?.atMs ?? 0)) / 1_000;
    const rates = this.#traffic();
    for (const name of Object.keys(rates) as (keyof NodeTraffic)[]) {
      rates[name] = (rates[name] - (this.#before?.traffic[name] ?? 0)) / (seconds * this.nodes.length);
    }
    return rates;
  }

  /** All that the nodes have sent so far. */
  #traffic(): NodeTraffic {
    const sum: NodeTraffic = {
      probesDirect: 0,
      probesForwarded: 0,
      passed: 0,
      exchanges: 0,
      ring: 0,
      directory: 0,
      sessions: 0,
    };
    for (const { host } of this.nodes) {
      for (const name of Object.keys(sum) as (keyof NodeTraffic)[]) sum[name] += host.traffic[name];
    }
    return sum;
  }

  /** Follows messages between random pairs; returns the hops of each. */
  traceHops(count: number): number[] {
    const { traces } = this.ledger;
    traces.length = 0;
    for (let token = 0; token < count; token++) {
      const [from, to] = [this.pick(), this.pick()];
      if (from !== to) from.act((host, now) => host.trace(token, to.id, now));
      this.simulation.run({ forMs: 5 });
    }
    this.simulation.run({ forMs: 6_000 });
    return traces.map((trace) => (trace.type === "traced" ? trace.path.length : Infinity));
  }

  /** Mean and most, for people. */
  static summary(values: readonly number[]): string {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return `${mean.toFixed(2)} on average, ${percentile(values, 1)} at most`;
  }
}
