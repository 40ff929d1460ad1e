import { expect, test } from "vitest";
import type { NodeId } from "../../src/base/node-id.ts";
import { Members } from "../../src/ring/index.ts";
import { decodePacket } from "../../src/routing/index.ts";
import { type SimulatedNode, Simulation } from "../../src/sim/index.ts";
import { freshSeeds } from "../support/seeds.ts";
import { MeshHost, type Watcher } from "./support/mesh-host.ts";

type Node = SimulatedNode<MeshHost>;

/** A mesh in the simulator, whose nodes are told who the members are. */
class Mesh {
  readonly simulation: Simulation;
  readonly nodes: Node[] = [];
  readonly fate = new Map<number, "delivered" | "lost">();
  /** Everything that arrived, by sender and receiver, in order. */
  readonly arrivals = new Map<string, number[]>();
  hopsMax = 0;
  loops = 0;
  found = 0;
  missed = 0;
  readonly #byId = new Map<NodeId, Node>();
  readonly #known = new Set<NodeId>();

  constructor(size: number, seed: number, shared: boolean) {
    this.simulation = new Simulation({ seed });
    const watcher: Watcher = {
      addressOf: (id) => this.#byId.get(id)?.address ?? "nowhere:1",
      isMember: (id) => this.#known.has(id),
      delivered: (by, from, message) => {
        const token = new DataView(message.buffer, message.byteOffset).getUint32(0);
        expect(this.fate.get(token)).not.toBe("delivered");
        this.fate.set(token, "delivered");
        const pair = `${from} ${by}`;
        this.arrivals.set(pair, [...(this.arrivals.get(pair) ?? []), token]);
      },
      lost: (_by, _to, token) => void this.fate.set(token, "lost"),
      forwarded: (_by, _to, payload) => {
        const { visited } = decodePacket(payload);
        this.hopsMax = Math.max(this.hopsMax, visited.length);
        if (new Set(visited.map(({ high, low }) => high * 2 ** 24 + low)).size !== visited.length)
          this.loops++;
      },
      directory: (_by, output) => {
        if (output.type !== "found") return;
        if (output.records.length > 0) this.found++;
        else this.missed++;
      },
    };
    const members = shared ? new Members() : undefined;
    for (let count = 0; count < size; count++) {
      const node = this.simulation.add({ create: (context) => new MeshHost(context, watcher, members) });
      this.nodes.push(node);
      this.#byId.set(node.id, node);
      this.#known.add(node.id);
      members?.add(node.id);
    }
    for (const node of this.nodes) {
      node.act((host, now) => {
        // A table of 10,000 nodes is fed with those it would know: here, with a thousand at random.
        const told = shared ? Array.from({ length: 1_000 }, () => this.pick()) : this.nodes;
        for (const other of told) if (other !== node) host.member(other.id, true, now);
      });
    }
  }

  pick(): Node {
    for (;;) {
      const node = this.nodes[this.simulation.random.integer(this.nodes.length)] as Node;
      if (node.state === "running") return node;
    }
  }

  send(from: Node, to: Node, token: number): void {
    from.act((host, now) => host.send(to.id, token, now));
  }

  /** Kills a node; each of the others hears of it within ten seconds. */
  crash(node: Node): void {
    this.simulation.crash(node);
    for (const other of this.nodes) {
      if (other.state !== "running") continue;
      this.simulation.later(2_000 + this.simulation.random.integer(8_000), () => {
        if (other.state === "running") other.act((host, now) => host.member(node.id, false, now));
      });
    }
  }
}

test("a stable mesh delivers everything, in order, and finds every record", () => {
  for (const seed of [1, ...freshSeeds(1)]) {
    const mesh = new Mesh(200, seed, false);
    mesh.simulation.run({ forMs: 10_000 });
    for (let token = 0; token < 2_000; token++) {
      mesh.send(mesh.pick(), mesh.pick(), token);
      mesh.simulation.run({ forMs: 5 });
    }
    mesh.simulation.run({ forMs: 10_000 });
    expect(
      [...mesh.fate.values()].filter((fate) => fate === "delivered"),
      `seed ${seed}`,
    ).toHaveLength(2_000);
    for (const tokens of mesh.arrivals.values()) expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(mesh.loops).toBe(0);
    const keys = mesh.nodes.slice(0, 50).map(({ id }) => id);
    for (const key of keys) {
      mesh
        .pick()
        .act((host, now) =>
          host.directory({ type: "publish", kind: 1, key, value: Uint8Array.of(1), ttlMs: 3_600_000 }, now),
        );
    }
    mesh.simulation.run({ forMs: 20_000 });
    for (const key of keys)
      mesh.pick().act((host, now) => host.directory({ type: "get", token: 1, key }, now));
    mesh.simulation.run({ forMs: 20_000 });
    expect([mesh.found, mesh.missed], `seed ${seed}`).toEqual([50, 0]);
  }
});

test("while a tenth of the nodes crash within a minute, 99.9 % of the messages between survivors arrive, the rest are told", () => {
  for (const seed of [1, ...freshSeeds(1)]) {
    const mesh = new Mesh(200, seed, false);
    mesh.simulation.run({ forMs: 10_000 });
    const sent: { readonly from: Node; readonly to: Node; readonly token: number }[] = [];
    const victims = Array.from({ length: 20 }, (_, index) => mesh.nodes[index * 10] as Node);
    for (const victim of victims) {
      mesh.simulation.later(mesh.simulation.random.integer(60_000), () => mesh.crash(victim));
    }
    for (let token = 0; token < 4_000; token++) {
      const [from, to] = [mesh.pick(), mesh.pick()];
      mesh.send(from, to, token);
      sent.push({ from, to, token });
      mesh.simulation.run({ forMs: 15 });
    }
    mesh.simulation.run({ forMs: 60_000 });
    const between = sent.filter(({ from, to }) => from.state === "running" && to.state === "running");
    const arrived = between.filter(({ token }) => mesh.fate.get(token) === "delivered");
    const silent = between.filter(({ token }) => mesh.fate.get(token) === undefined);
    expect(arrived.length / between.length, `seed ${seed}`).toBeGreaterThanOrEqual(0.999);
    expect(silent, `seed ${seed}`).toEqual([]);
    // Also to nodes that crashed: told, not left waiting.
    const told = sent.filter(
      ({ from, token }) => from.state === "running" && mesh.fate.get(token) === undefined,
    );
    expect(told.length, `seed ${seed}`).toBeLessThanOrEqual(sent.length / 100);
    expect(mesh.loops).toBe(0);
    for (const tokens of mesh.arrivals.values()) expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
  }
});
