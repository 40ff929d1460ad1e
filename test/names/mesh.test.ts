import { describe, expect, test } from "vitest";
import { freshSeeds } from "../support/seeds.ts";
import { NamesMesh, type NamesNode } from "./support/names-mesh.ts";

const first = <T>(items: readonly T[]): T => items[0] as T;

for (const seed of [1, ...freshSeeds(1)]) {
  describe(`seed ${seed}`, () => {
    test("a name registered at one node is found at all, until it is unregistered", () => {
      const mesh = new NamesMesh(60, seed);
      const owner = mesh.pick();
      expect(mesh.ask([owner, mesh.pick(owner)], "printer")).toEqual([undefined, undefined]);
      expect(mesh.settle(owner, "printer", "it")).toBe("registered");
      expect(new Set(mesh.ask(mesh.nodes, "printer"))).toEqual(new Set(["it"]));
      expect(mesh.settle(mesh.pick(owner), "printer", "another")).toBe("taken");
      expect(mesh.settle(owner, "printer", "again")).toBe("taken");
      mesh.unregister(owner, "printer");
      // What was asked for before is remembered for five seconds.
      mesh.simulation.run({ forMs: 6_000 });
      expect(new Set(mesh.ask(mesh.nodes, "printer"))).toEqual(new Set([undefined]));
      expect(mesh.settle(mesh.pick(owner), "printer", "another")).toBe("registered");
      expect(new Set(mesh.ask(mesh.nodes, "printer"))).toEqual(new Set(["another"]));
    });

    test("of many that register at once one gets the name, and all agree on it", () => {
      // Clocks apart by up to two seconds: who is first by them may claim last.
      const mesh = new NamesMesh(60, seed, { clockOffsetMs: 1_000 });
      for (let round = 0; round < 10; round++) {
        const name = `name ${round}`;
        const some = mesh.nodes.filter(() => mesh.simulation.random.integer(3) === 0);
        const tokens: number[] = [];
        for (const node of some) {
          const delayMs = mesh.simulation.random.integer(round * 100 + 1);
          mesh.simulation.later(delayMs, () => void tokens.push(mesh.register(node, name, node.name)));
        }
        mesh.simulation.run({ forMs: 15_000 });
        expect(tokens.every((token) => mesh.answer(token) !== undefined)).toBe(true);
        const holders = some.filter(({ host }) => host.names.names().includes(name));
        expect(holders).toHaveLength(1);
        expect(new Set(mesh.ask(mesh.nodes, name))).toEqual(new Set([first(holders).name]));
      }
    });

    test("the name of a node that crashed is free for another", () => {
      const mesh = new NamesMesh(60, seed);
      const owner = mesh.pick();
      const heir = mesh.pick(owner);
      expect(mesh.settle(owner, "db", "old")).toBe("registered");
      expect(mesh.settle(heir, "db", "new")).toBe("taken");
      mesh.crash(owner);
      mesh.simulation.run({ forMs: 10_000 });
      expect(new Set(mesh.ask(mesh.running, "db"))).toEqual(new Set([undefined]));
      expect(mesh.settle(heir, "db", "new")).toBe("registered");
      expect(new Set(mesh.ask(mesh.running, "db"))).toEqual(new Set(["new"]));
    });

    test("names of a node's former life do not come back with it", () => {
      const mesh = new NamesMesh(40, seed);
      const owner = mesh.pick();
      expect(mesh.settle(owner, "db", "old")).toBe("registered");
      mesh.crash(owner);
      mesh.simulation.run({ forMs: 12_000 });
      mesh.restart(owner);
      mesh.simulation.run({ forMs: 12_000 });
      expect(new Set(mesh.ask(mesh.nodes, "db"))).toEqual(new Set([undefined]));
      expect(mesh.settle(owner, "db", "new")).toBe("registered");
      expect(new Set(mesh.ask(mesh.nodes, "db"))).toEqual(new Set(["new"]));
    });

    test("both sides of a partition register; once it heals one has the name everywhere within 30 s and the other is told", () => {
      const mesh = new NamesMesh(60, seed);
      const halves = (): [NamesNode[], NamesNode[]] => [
        mesh.nodes.filter((_, index) => index % 2 === 0),
        mesh.nodes.filter((_, index) => index % 2 === 1),
      ];
      const [left, right] = halves();
      mesh.partition(left, right);
      mesh.simulation.run({ forMs: 20_000 });
      const expected = new Map<string, { winner: NamesNode; loser: NamesNode }>();
      for (let round = 0; round < 10; round++) {
        const [older, younger] = round % 2 === 0 ? [left, right] : [right, left];
        const winner = older[mesh.simulation.random.integer(30)] as NamesNode;
        const loser = younger[mesh.simulation.random.integer(30)] as NamesNode;
        expected.set(`name ${round}`, { winner, loser });
        expect(mesh.settle(winner, `name ${round}`, winner.name)).toBe("registered");
        expect(mesh.settle(loser, `name ${round}`, loser.name)).toBe("registered");
      }
      mesh.simulation.run({ forMs: 120_000 });
      for (const [name, { winner, loser }] of expected) {
        expect(new Set(mesh.ask(left.includes(winner) ? left : right, name))).toEqual(new Set([winner.name]));
        expect(new Set(mesh.ask(left.includes(loser) ? left : right, name))).toEqual(new Set([loser.name]));
      }
      expect(mesh.conflicts).toEqual([]);
      mesh.heal(left, right);
      mesh.simulation.run({ forMs: 30_000 });
      const told = new Map(mesh.conflicts.map(({ name, by, lostTo }) => [name, [by, lostTo]]));
      expect(mesh.conflicts).toHaveLength(10);
      for (const [name, { winner, loser }] of expected) {
        expect(told.get(name)).toEqual([loser.id, winner.id]);
        expect(new Set(mesh.ask(mesh.nodes, name))).toEqual(new Set([winner.name]));
      }
    });

    test("99.9 % of look-ups are right when 20 % of the nodes have crashed since the names were registered", () => {
      const mesh = new NamesMesh(100, seed);
      const owners = mesh.nodes.slice(0, 40);
      const tokens = owners.map((owner) => mesh.register(owner, `name of ${owner.name}`, owner.name));
      mesh.simulation.run({ forMs: 15_000 });
      expect(tokens.map((token) => mesh.answer(token)?.type)).toEqual(tokens.map(() => "registered"));
      for (const node of mesh.nodes.filter((_, index) => index % 5 === 2)) mesh.crash(node);
      mesh.simulation.run({ forMs: 11_000 });
      const asked: { readonly owner: NamesNode; readonly token: number }[] = [];
      for (let count = 0; count < 2_000; count++) {
        const owner = owners[count % owners.length] as NamesNode;
        asked.push({ owner, token: mesh.whereis(mesh.pick(owner), `name of ${owner.name}`) });
        mesh.simulation.run({ forMs: 10 });
      }
      mesh.simulation.run({ forMs: 6_000 });
      const wrong = asked.filter(({ owner, token }) => {
        return mesh.text(token) !== (owner.state === "running" ? owner.name : undefined);
      });
      expect(wrong.length).toBeLessThanOrEqual(2);
    });
  });
}
