import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PoolOutput } from "../../src/link/index.ts";
import { World, type WorldNode } from "./support/world.ts";

/** What must hold between two nodes once everything has come to rest: one link, the same connection on both sides. */
function expectOneLink(a: WorldNode, b: WorldNode): void {
  expect([...a.up.keys()]).toEqual([b.name]);
  expect([...b.up.keys()]).toEqual([a.name]);
  expect(a.up.get(b.name)?.peer).toBe(b.up.get(a.name));
  expect(a.ends.size).toBe(1);
  expect(b.ends.size).toBe(1);
}

const numbers = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

describe("DESIGN §5: when both dial at once", () => {
  test("one link stays in every interleaving, and every signal arrives once and in order", () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(30), fc.nat(30), (seed, aSteps, bSteps) => {
        const world = new World(seed);
        const a = world.add("a", 1);
        const b = world.add("b", 2);
        world.send(a, b, 0);
        for (let step = 0; step < bSteps; step++) world.step(0);
        world.send(b, a, 100);
        for (let step = 0; step < aSteps; step++) world.step(0);
        for (const each of numbers(1, 5)) {
          world.send(a, b, each);
          world.send(b, a, 100 + each);
          world.step(0);
        }
        world.run();
        expectOneLink(a, b);
        expect(b.received).toEqual(numbers(0, 6));
        expect(a.received).toEqual(numbers(100, 6));
        expect(a.history).toEqual([`up ${b.name}`]);
        expect(b.history).toEqual([`up ${a.name}`]);
      }),
      { numRuns: 2_000 },
    );
  });

  test("the connection dialled by the smaller node id stays", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2);
    world.tell(a, { type: "connect", name: b.name });
    world.tell(b, { type: "connect", name: a.name });
    world.run();
    expectOneLink(a, b);
    expect(a.up.get(b.name)?.role).toBe("dialler");
  });

  test("a peer that can only dial out gets its link even though the smaller id dials too", () => {
    fc.assert(
      fc.property(fc.integer(), fc.boolean(), (seed, smallerBehindFirewall) => {
        const world = new World(seed);
        const a = world.add("a", 1);
        const b = world.add("b", 2);
        (smallerBehindFirewall ? a : b).reachable = false;
        world.send(a, b, 1);
        world.send(b, a, 2);
        world.run();
        expectOneLink(a, b);
        expect([a.received, b.received]).toEqual([[2], [1]]);
      }),
      { numRuns: 300 },
    );
  });

  test("five nodes that all dial each other end with one link per pair", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const world = new World(seed);
        const nodes = numbers(1, 5).map((id) => world.add(`n${id}`, id));
        for (const from of nodes) {
          for (const to of nodes) if (from !== to) world.send(from, to, from.creation);
        }
        world.run();
        for (const node of nodes) {
          expect(node.up.size).toBe(4);
          expect(node.ends.size).toBe(4);
          expect(node.received).toHaveLength(4);
          expect(node.history.filter((each) => each.startsWith("up"))).toHaveLength(4);
          expect(node.history).toHaveLength(4);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("DESIGN §5: lives of a node", () => {
  test("nodes that come and go: up and down alternate, and the survivors end with one link", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(fc.nat(20), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        (seed, lives, told) => {
          const world = new World(seed);
          const a = world.add("a", 1);
          let b = world.add("b", 2);
          for (const [life, steps] of lives.entries()) {
            world.send(a, b, life);
            for (let step = 0; step < steps; step++) world.step();
            world.kill(b, told);
            b = world.add("b", 2, life + 2);
            world.tell(b, { type: "connect", name: a.name });
          }
          world.run();
          world.tell(b, { type: "connect", name: a.name });
          world.run();
          expectOneLink(a, b);
          const changes = a.history.filter((each) => !each.startsWith("unreachable"));
          for (const [index, change] of changes.entries()) {
            expect(change).toBe(`${index % 2 === 0 ? "up" : "down"} ${b.name}`);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("a new life is down before it is up again, also when nobody noticed the end of the old one", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2, 7);
    world.tell(a, { type: "connect", name: b.name });
    world.run();
    world.kill(b, false);
    const reborn = world.add("b", 2, 8);
    world.tell(reborn, { type: "connect", name: a.name });
    world.run();
    expectOneLink(a, reborn);
    expect(a.history).toEqual([`up ${b.name}`, `down ${b.name}`, `up ${b.name}`]);
  });

  test("name_taken: another node id does not get a name that has a live link", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2);
    world.tell(a, { type: "connect", name: b.name });
    world.run();
    const thief = world.add("b", 3);
    world.tell(thief, { type: "connect", name: a.name });
    world.run();
    expectOneLink(a, b);
    expect(thief.history).toEqual([`unreachable ${a.name} NAME_TAKEN`]);
  });

  test("a name whose link is dead goes to another node id", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2);
    world.tell(a, { type: "connect", name: b.name });
    world.run();
    world.kill(b, false);
    const heir = world.add("b", 3);
    world.tell(heir, { type: "connect", name: a.name });
    world.run();
    expectOneLink(a, heir);
    expect(a.history).toEqual([`up ${b.name}`, `down ${b.name}`, `up ${b.name}`]);
  });
});

describe("DESIGN §5: 0-RTT changes nothing before the handshake is complete", () => {
  const replayed = (
    world: World,
    node: WorldNode,
    peer: { name: string; nodeId: WorldNode["nodeId"]; creation: number },
  ) => {
    const connection = node.pool.number();
    node.pool.handle({ type: "inbound", connection, address: "x" }, world.now);
    node.pool.handle({ type: "introduced", connection, peer, early: true }, world.now);
    const outputs: PoolOutput[] = [];
    for (let output = node.pool.poll(); output !== undefined; output = node.pool.poll()) outputs.push(output);
    return { connection, outputs };
  };

  test("a replayed hello of a linked node neither probes nor ends its link, even with another creation", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2);
    world.tell(a, { type: "connect", name: b.name });
    world.run();
    const { name, nodeId } = b;
    expect(replayed(world, a, { name, nodeId, creation: 1 }).outputs).toEqual([]);
    expect(replayed(world, a, { name, nodeId, creation: 9 }).outputs).toEqual([]);
    expectOneLink(a, b);
  });

  test("a replayed hello is answered, and holds up no dial", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = world.add("b", 2);
    const { connection, outputs } = replayed(world, a, b);
    expect(outputs).toEqual([{ type: "admit", connection }]);
    world.tell(a, { type: "connect", name: b.name });
    world.run();
    expect(a.history).toEqual([`up ${b.name}`]);
  });
});

describe("memory", () => {
  test("10,000 peers under as many names leave nothing behind; of failures only the latest are kept", () => {
    const world = new World(1);
    const a = world.add("a", 1, 1, { rememberedMax: 100 });
    for (let index = 0; index < 10_000; index++) {
      const connection = a.pool.number();
      const peer = { name: `n${index}@host:1`, nodeId: world.nodes[0]?.nodeId as never, creation: 1 };
      a.pool.handle({ type: "inbound", connection, address: "x" }, world.now);
      a.pool.handle(
        { type: "introduced", connection, peer: { ...peer, nodeId: `${index}` as never }, early: false },
        world.now,
      );
      a.pool.handle({ type: "closed", connection, ending: { code: "timeout", reason: "" } }, world.now);
      while (a.pool.poll() !== undefined);
    }
    expect(a.pool.known).toBe(0);
    for (let index = 0; index < 1_000; index++) world.tell(a, { type: "connect", name: `m${index}@host:1` });
    expect(a.pool.known).toBe(100);
  });

  test("whatever happens, the world comes to rest with links that both sides have", () => {
    const deed = fc.record({ what: fc.nat(4), from: fc.nat(3), to: fc.nat(3), steps: fc.nat(15) });
    fc.assert(
      fc.property(fc.integer(), fc.array(deed, { maxLength: 30 }), (seed, deeds) => {
        const world = new World(seed);
        const names = ["a", "b", "c", "d"];
        const nodes = names.map((name, index) => world.add(name, index + 1));
        let life = 1;
        for (const { what, from, to, steps } of deeds) {
          const [source, target] = [nodes[from] as WorldNode, nodes[to] as WorldNode];
          if (what === 0) target.reachable = !target.reachable;
          else if (what === 1) world.tell(source, { type: "disconnect", name: target.name });
          else if (what === 2) {
            world.kill(source, steps % 2 === 0);
            nodes[from] = world.add(names[from] as string, from + 1, ++life);
          } else if (from !== to) world.send(source, target, steps);
          for (let step = 0; step < steps; step++) world.step();
        }
        for (const node of nodes) node.reachable = true;
        // Dead peers that nobody noticed are found by whoever needs them.
        for (const from of nodes)
          for (const to of nodes) if (from !== to) world.tell(from, { type: "connect", name: to.name });
        world.run();
        for (const node of nodes) {
          const ups = node.history.filter((each) => !each.startsWith("unreachable"));
          for (const name of nodes.map((each) => each.name)) {
            const changes = ups.filter((each) => each.endsWith(name)).map((each) => each.split(" ")[0]);
            for (const [index, change] of changes.entries())
              expect(change).toBe(index % 2 === 0 ? "up" : "down");
          }
          for (const [name, end] of node.up) {
            if (end.peer?.closed === true) continue;
            const peer = nodes.find((each) => each.name === name);
            expect(peer?.up.get(node.name)).toBe(end.peer);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("dialling", () => {
  test("an unreachable node is told once for each attempt, and redialled with a growing, jittered wait", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const b = "gone@host:1";
    const dialledAt: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      world.tell(a, { type: "want", name: b });
      while (a.history.length === attempt) expect(world.step()).toBe(true);
      dialledAt.push(world.now);
    }
    expect(a.history).toEqual(Array.from({ length: 12 }, () => `unreachable ${b} REFUSED`));
    const waits = dialledAt.slice(1).map((each, index) => each - (dialledAt[index] as number));
    for (const [index, wait] of waits.entries()) {
      const whole = Math.min(5_000, 100 * 2 ** index);
      expect(wait).toBeGreaterThanOrEqual(whole / 2);
      expect(wait).toBeLessThanOrEqual(whole);
    }
  });

  test("a peer that ends dials for a connection of its own, which never comes, is unreachable after three", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    const { pool } = a;
    const name = "b@host:1";
    /** Answers every dial with `duplicate`; the errors of those who waited. */
    const play = (): { readonly dials: number; readonly errors: string[] } => {
      let dials = 0;
      const errors: string[] = [];
      for (;;) {
        for (let output = pool.poll(); output !== undefined; output = pool.poll()) {
          if (output.type === "unreachable") errors.push(output.error.code);
          if (output.type !== "dial") continue;
          dials++;
          const ending = { code: "duplicate", reason: "no" } as const;
          pool.handle({ type: "closed", connection: output.connection, ending }, world.now);
        }
        const due = pool.deadline();
        if (due === undefined || dials > 9) return { dials, errors };
        world.now = due;
        pool.handle({ type: "tick" }, world.now);
      }
    };
    for (let round = 0; round < 3; round++) {
      pool.handle({ type: "connect", name }, world.now);
      expect(play()).toEqual({ dials: 3, errors: ["PEER_UNREACHABLE"] });
    }
  });

  test("connect does not wait for the back-off", () => {
    const world = new World(1);
    const a = world.add("a", 1);
    for (let attempt = 1; attempt <= 5; attempt++) {
      world.tell(a, { type: "connect", name: "gone@host:1" });
      expect(a.history).toHaveLength(attempt);
    }
    expect(world.now).toBe(0);
  });

  test("closing: dials, the queue and what waits for its back-off are given up, and nobody is dialled any more", () => {
    const world = new World(1);
    const a = world.add("a", 1, 1, { dialsMax: 1 });
    const friend = world.add("friend", 9);
    world.send(a, friend, 1);
    world.run();
    for (const id of [2, 3]) world.add(`n${id}`, id).reachable = false;
    world.tell(a, { type: "want", name: "gone@host:1" });
    for (const name of ["gone@host:1", "n2@host:1", "n3@host:1"]) world.tell(a, { type: "want", name });
    const before = a.history.length;
    world.tell(a, { type: "close" });
    const given = ["gone", "n2", "n3"].map((name) => `unreachable ${name}@host:1 CLOSED`);
    expect(a.history.slice(before)).toEqual(given);
    world.tell(a, { type: "want", name: "n2@host:1" });
    world.tell(a, { type: "connect", name: "gone@host:1" });
    expect(a.history.slice(before + 3)).toEqual([given[1], given[0]]);
    expect(a.pool.deadline()).toBeUndefined();
    expect([...a.ends.values()]).toEqual([a.up.get(friend.name)]);
  });

  test("bounds: dials at once, nodes waited for, links, handshakes of peers", () => {
    const world = new World(1);
    const a = world.add("a", 1, 1, { dialsMax: 2, wantedMax: 3, linksMax: 3 });
    for (const id of [2, 3, 4, 5]) world.add(`n${id}`, id).reachable = false;
    for (const id of [2, 3, 4, 5]) world.tell(a, { type: "connect", name: `n${id}@host:1` });
    expect(a.ends.size).toBe(2);
    expect(a.history).toEqual(["unreachable n5@host:1 LIMIT"]);
    world.run();
    expect(a.history.filter((each) => each.endsWith("TIMEOUT"))).toHaveLength(3);

    const b = world.add("b", 9, 1, { inboundMax: 3, inboundPerAddressMax: 2 });
    const refused = (): number => {
      let count = 0;
      for (let output = b.pool.poll(); output !== undefined; output = b.pool.poll()) {
        if (output.type === "end" && output.ending.code === "overloaded") count++;
      }
      return count;
    };
    for (const address of ["x", "x", "x", "y", "z"]) {
      b.pool.handle({ type: "inbound", connection: b.pool.number(), address }, world.now);
    }
    expect(refused()).toBe(2);
  });
});
