import { describe, expect, test } from "vitest";
import { alone, swimMesh } from "../../sim/membership-alone.ts";
import type { Scenario, ScenarioResult } from "../../sim/scenario.ts";

const { crash, join, lossy, partition, pauses, restarts, stable, steady } = alone;

// What docs/membership.md promises, in sizes for every run; `npm run sim` shows it at 1,000 nodes and over hours.

/** Seeds that are the same in every run, and one that never was. */
const seeds = [1, 2, Math.floor(Math.random() * 2 ** 31)];

/** A failure names the command that repeats it with every event. */
function expectToHold(name: string, scenario: Scenario, nodes: number, seed: number): ScenarioResult {
  const result = scenario.run({ seed, nodes });
  expect(
    result.failures,
    `npm run sim -- --scenario membership-${name} --nodes ${nodes} --seed ${seed} --log`,
  ).toEqual([]);
  return result;
}

test("the same seed gives the same history, another seed another", () => {
  const digests = [7, 7, 8].map((seed) => restarts.run({ seed, nodes: 15 }).digest);
  expect(digests[0]).toBe(digests[1]);
  expect(digests[0]).not.toBe(digests[2]);
});

describe.each(seeds)("seed %i", (seed) => {
  test.each([20, 100])(
    "a crash is known to every survivor of %i within 10 s, and nobody else is given up",
    (nodes) => {
      expectToHold("crash", crash, nodes, seed);
    },
  );

  test.each([20, 100])("a newcomer is known to all of %i within 10 s", (nodes) => {
    expectToHold("join", join, nodes, seed);
  });

  test("nobody is given up in an hour at 1 % loss", () => {
    expectToHold("stable", stable, 20, seed);
  });

  test("nobody is given up in an hour at 20 % loss", () => {
    expectToHold("lossy", lossy, 20, seed);
  });

  test("nobody is given up while 5 % of the nodes stand still now and then", () => {
    expectToHold("pauses", pauses, 20, seed);
  });

  test.each([20, 40])("a mesh of %i that was parted for five minutes is one again within 30 s", (nodes) => {
    expectToHold("partition", partition, nodes, seed);
  });

  test("members that crash, come back elsewhere, leave, join and stand still agree in the end", () => {
    expectToHold("restarts", restarts, 30, seed);
  });
});

test("what a node sends does not grow with the mesh: within 20 % from 100 to 400 nodes", () => {
  const [few, many] = [100, 400].map((nodes) =>
    Number(expectToHold("steady", steady, nodes, 1).figures["sent per node and second"]),
  );
  expect(Math.abs((many ?? 0) / (few ?? 1) - 1)).toBeLessThan(0.2);
});

describe("a node", () => {
  test("that crashes and comes back elsewhere at once is the same member at another address, from what it remembers", () => {
    const mesh = swimMesh({ seed: 3 });
    mesh.addAcquainted(10);
    const { simulation } = mesh;
    const node = mesh.nodes[4] ?? mesh.add();
    simulation.run({ forMs: 20_000 });
    mesh.rememberAndCrash(node);
    simulation.run({ forMs: 500 });
    simulation.restart(node, "192.0.2.7:4433");
    // Nobody tells it where to join.
    expect(simulation.runUntil(() => mesh.agrees(), { withinMs: 10_000 })).toBeDefined();
    simulation.run({ forMs: 2_000 });
    for (const { host } of mesh.nodes.filter((other) => other !== node)) {
      expect(host.swim.member(node.id)).toMatchObject({
        state: "alive",
        address: "192.0.2.7:4433",
        incarnation: 1,
      });
    }
  });

  test("that leaves is known to have left everywhere, and nobody suspects it", () => {
    const mesh = swimMesh({ seed: 4, network: { lossRate: 0.05 } });
    mesh.addAcquainted(50);
    const { simulation } = mesh;
    const node = mesh.nodes[0] ?? mesh.add();
    node.act((host, now) => host.leave(now));
    expect(simulation.runUntil(() => node.host.farewellTold, { withinMs: 3_000 })).toBeDefined();
    simulation.stop(node);
    simulation.run({ forMs: 30_000 });
    for (const { host } of mesh.running()) expect(host.swim.member(node.id)?.state).toBe("left");
    expect(mesh.suspicions).toBe(0);
  });

  test("that hears all and is heard by nobody is suspected, and does not have the others given up", () => {
    const mesh = swimMesh({ seed: 5 });
    mesh.addAcquainted(20);
    const { simulation } = mesh;
    const node = mesh.nodes[0] ?? mesh.add();
    for (const other of mesh.nodes) if (other !== node) simulation.cut(node, other);
    simulation.run({ forMs: 30_000 });
    const others = mesh.nodes.filter((other) => other !== node);
    for (const { host } of others) {
      expect(host.swim.member(node.id)?.state).toBe("dead");
      expect(host.swim.livingCount).toBe(19);
    }
    simulation.heal();
    expect(simulation.runUntil(() => mesh.agrees(), { withinMs: 30_000 })).toBeDefined();
  });

  test("reached by some only is given up by none: the others answer for it", () => {
    const mesh = swimMesh({ seed: 6 });
    mesh.addAcquainted(20);
    const { simulation } = mesh;
    const [one, other] = mesh.nodes;
    if (one === undefined || other === undefined) throw new Error("no nodes");
    simulation.cut(one, other);
    simulation.run({ forMs: 300_000 });
    expect(one.host.swim.member(other.id)?.state).toBe("alive");
    expect(mesh.falsePositives).toBe(0);
  });
});
