import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareDistance, positionOf } from "../../src/base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import {
  decodePacket,
  encodePacket,
  Forwarder,
  type ForwarderOutput,
  packetProtocol,
  resolveForwarderOptions,
} from "../../src/routing/index.ts";
import { freshSeeds } from "../support/seeds.ts";
import { StaticMesh, type StaticNode } from "./support/static-mesh.ts";

const random = seededRandom(1);
const someId = () => nodeIdFromBytes(random.bytes(32));
const [self, left, right, target] = [someId(), someId(), someId(), someId()];

function drain(forwarder: Forwarder): ForwarderOutput[] {
  const outputs: ForwarderOutput[] = [];
  for (let each = forwarder.poll(); each !== undefined; each = forwarder.poll()) outputs.push(each);
  return outputs;
}

function follow(mesh: StaticMesh, from: StaticNode, to: StaticNode): number {
  const { visited, outcome } = mesh.send(from, to.id);
  expect(outcome).toMatchObject({ type: "deliver", visited: visited.slice(0, -1).map(positionOf) });
  expect(new Set(visited).size).toBe(visited.length);
  return visited.length - 1;
}

describe.each([
  { size: 1_000, messages: 2_000 },
  { size: 10_000, messages: 3_000 },
])("DESIGN §8: $size nodes whose membership is given", ({ size, messages }) => {
  test.each([1, ...freshSeeds(1)])("hops and degrees, seed %i", (seed) => {
    const mesh = new StaticMesh(size, seed);
    const hops = Array.from({ length: messages }, () => follow(mesh, mesh.pick(), mesh.pick()));
    const log = Math.log2(size);
    expect(hops.reduce((sum, each) => sum + each) / messages).toBeLessThanOrEqual(log / 2);
    expect(Math.max(...hops)).toBeLessThanOrEqual(log + 2);
    for (const node of mesh.nodes) {
      // Six neighbours and one for each bucket that is not empty, less those that a neighbour serves.
      expect(node.ring.wanted.size).toBeLessThanOrEqual(6 + node.ring.buckets);
      // What others want comes on top: it is spread by chance, so that nobody is the choice of many.
      expect(node.links.size).toBeLessThanOrEqual(3 * log);
    }
  });
});

describe("loop protection", () => {
  test("a packet never meets a node twice, and ends, whatever links there are and however they change", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 2, max: 40 }),
        fc.nat(100),
        fc.nat(3),
        (seed, size, percent, variant) => {
          const mesh = new StaticMesh(size, seed);
          const change = (): void => {
            const [a, b] = [mesh.pick(), mesh.pick()];
            if (a === b) return;
            if (mesh.random.integer(100) < percent) mesh.unlink(a, b);
            else mesh.link(a, b);
          };
          for (let count = 0; count < size * 4; count++) change();
          for (let count = 0; count < 10; count++) {
            const { visited, back } = mesh.send(mesh.pick(), mesh.pick().id, variant, change);
            expect(new Set(visited).size).toBe(visited.length);
            expect(new Set(back).size).toBe(back.length);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("without half of the links into buckets, the ring leads out of every local minimum", () => {
    for (const seed of [1, ...freshSeeds(2)]) {
      const mesh = new StaticMesh(300, seed);
      for (const node of mesh.nodes) {
        for (const id of node.links) {
          if (!node.ring.neighbours.includes(id) && mesh.random.integer(2) === 0)
            mesh.unlink(node, mesh.node(id));
        }
      }
      for (let count = 0; count < 1_000; count++) follow(mesh, mesh.pick(), mesh.pick());
    }
  });

  test("nodes that can have links to a few others only, as behind NATs, are reached by ways that lead no nearer at first", () => {
    for (const seed of [1, ...freshSeeds(5)]) {
      const random = seededRandom(seed);
      const ids = Array.from({ length: 40 }, () => nodeIdFromBytes(random.bytes(32)));
      const open = ids.slice(0, 4);
      const nodes = new Map(ids.map((id) => [id, new Forwarder(id, resolveForwarderOptions())]));
      for (const id of ids) {
        for (const hub of open) {
          if (hub === id) continue;
          nodes.get(id)?.handle({ type: "linkUp", id: hub }, at(0));
          nodes.get(hub)?.handle({ type: "linkUp", id }, at(0));
        }
      }
      for (const source of ids) {
        for (const goal of ids) {
          const packet = { type: "send", target: goal, protocol: 1, payload: Uint8Array.of(1) } as const;
          let current = nodes.get(source) as Forwarder;
          current.handle(packet, at(0));
          let output = current.poll();
          for (let from = source; output?.type === "forward"; output = current.poll()) {
            current = nodes.get(output.to) as Forwarder;
            current.handle({ type: "forward", from, payload: output.payload }, at(0));
            from = output.to;
          }
          expect(output).toMatchObject({ type: "deliver", source });
        }
      }
    }
  });

  test("for others nobody looks for ways round to a node that is not alive", () => {
    const types = Array.from({ length: 50 }, () => {
      const packet = { target: someId(), source: left, protocol: 1, variant: 0, payload: Uint8Array.of(1) };
      const payload = encodePacket({ ...packet, visited: [positionOf(left)] });
      return [false, true].map((isAlive) => {
        const forwarder = new Forwarder(self, resolveForwarderOptions(), () => isAlive);
        for (const id of [left, right]) forwarder.handle({ type: "linkUp", id }, at(0));
        forwarder.handle({ type: "forward", from: left, payload }, at(0));
        return drain(forwarder).map((output) =>
          output.type === "forward" && output.to === right ? "on" : "back",
        );
      });
    });
    expect(new Set(types.map(String))).toEqual(new Set(["on,on", "back,on"]));
  });

  test("a list of visited nodes that is falsified ends at the hop limit", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ hopsMax: 5 }));
    forwarder.handle({ type: "linkUp", id: target }, at(0));
    forwarder.handle({ type: "linkUp", id: left }, at(0));
    const packet = { protocol: 1, variant: 0, target, source: left, payload: Uint8Array.of(1) };
    const visits = (length: number) => Array.from({ length }, (_, index) => ({ high: index, low: 1 }));
    forwarder.handle(
      { type: "forward", from: left, payload: encodePacket({ ...packet, visited: visits(4) }) },
      at(0),
    );
    expect(drain(forwarder)).toMatchObject([{ type: "forward", to: target }]);
    forwarder.handle(
      { type: "forward", from: left, payload: encodePacket({ ...packet, visited: visits(5) }) },
      at(0),
    );
    const [refusal] = drain(forwarder);
    expect(refusal).toMatchObject({ type: "forward", to: left });
    expect(forwarder.counters).toMatchObject({ forwarded: 1, noRoute: 1 });
  });
});

describe("ways that may be bad", () => {
  /** A node with links, and where it sends what is for `to`. */
  function choice(
    links: readonly NodeId[],
    to: NodeId,
    variant: number,
    doubted?: NodeId,
  ): NodeId | undefined {
    const forwarder = new Forwarder(self, resolveForwarderOptions());
    for (const id of links) forwarder.handle({ type: "linkUp", id }, at(0));
    if (doubted !== undefined) forwarder.handle({ type: "doubt", id: doubted, doubted: true }, at(0));
    forwarder.handle({ type: "send", target: to, protocol: 1, payload: Uint8Array.of(1), variant }, at(0));
    const [output] = drain(forwarder);
    return output?.type === "forward" ? output.to : undefined;
  }

  const byDistance = Array.from({ length: 40 }, someId).sort((a, b) => compareDistance(target, a, b));
  const [near, next] = byDistance as [NodeId, NodeId];
  const beyond = byDistance.filter((id) => compareDistance(target, self, id) < 0);

  test("a link that is doubted is taken when there is no other that qualifies", () => {
    expect(choice(byDistance, target, 0)).toBe(near);
    expect(choice(byDistance, target, 0, near)).toBe(next);
    expect(choice([near, ...beyond], target, 0, near)).toBeDefined();
    expect(choice([near], target, 0, near)).toBe(near);
    // It is asked itself whether it is there.
    expect(choice(byDistance, near, 0, near)).toBe(near);
  });

  test("a repetition leaves its source by links that lead farther away, too", () => {
    const links = [near, ...beyond.slice(0, 3)];
    expect(new Set([1, 2, 3, 4].map((variant) => choice(links, target, variant)))).toEqual(new Set(links));
  });
});

describe("no way", () => {
  test("the sender hears no_route, with the mark of its packet, from wherever it got stuck", () => {
    const mesh = new StaticMesh(200, 7);
    const gone = mesh.pick();
    mesh.crash(gone, false);
    const from = mesh.pick();
    const { visited, outcome, back } = mesh.send(from, gone.id);
    expect(outcome).toEqual({
      type: "undeliverable",
      by: visited.at(-1),
      reason: "no_route",
      target: gone.id,
      mark: Uint8Array.of(1, 2, 3),
    });
    expect(back.at(-1)).toBe(from.id);
  });

  test("a node without links", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions());
    forwarder.handle({ type: "send", target, protocol: 1, payload: Uint8Array.of(9) }, at(0));
    expect(drain(forwarder)).toEqual([
      { type: "undeliverable", by: self, reason: "no_route", target, mark: Uint8Array.of(9) },
    ]);
    expect(forwarder.nextHop(target, at(0))).toBeUndefined();
  });

  test("a failure of a failure is told to nobody", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions());
    forwarder.handle({ type: "linkUp", id: left }, at(0));
    const payload = encodePacket({
      protocol: packetProtocol.failure,
      variant: 0,
      visited: [],
      target,
      source: left,
      payload: Uint8Array.of(0),
    });
    forwarder.handle({ type: "linkDown", id: left }, at(0));
    forwarder.handle({ type: "forward", from: left, payload }, at(0));
    expect(drain(forwarder)).toEqual([]);
    expect(forwarder.counters.unanswered).toBe(1);
  });

  test("what waited for a link that went down takes another way", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions());
    for (const id of [left, right]) forwarder.handle({ type: "linkUp", id }, at(0));
    const first = forwarder.nextHop(left, at(0));
    expect(first).toBe(left);
    forwarder.handle({ type: "linkFull", id: left }, at(0));
    forwarder.handle({ type: "send", target: left, protocol: 1, payload: Uint8Array.of(1) }, at(0));
    expect(drain(forwarder)).toEqual([]);
    forwarder.handle({ type: "linkDown", id: left }, at(0));
    expect(forwarder.waitingBytes).toBe(0);
    const [output] = drain(forwarder);
    // `right` may or may not be nearer to `left` than `self` is; either way the packet is accounted for.
    expect(["forward", "undeliverable"]).toContain(output?.type);
  });
});

describe("back-pressure", () => {
  const payload = new Uint8Array(1_000);

  test("a full link makes packets wait up to a bound; then sender and neighbour hear that it is busy", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ linkQueueBytesMax: 2_000 }));
    for (const id of [left, target]) forwarder.handle({ type: "linkUp", id }, at(0));
    forwarder.handle({ type: "linkFull", id: target }, at(0));
    const packet = encodePacket({ protocol: 1, variant: 0, visited: [], target, source: left, payload });
    for (let count = 0; count < 3; count++)
      forwarder.handle({ type: "forward", from: left, payload: packet }, at(0));
    const outputs = drain(forwarder);
    expect(outputs.map(({ type }) => type)).toEqual(["busy", "forward"]);
    expect(outputs).toMatchObject([{ to: left }, { to: left }]);
    expect(forwarder.waitingBytes).toBe(2 * packet.length);
    forwarder.handle({ type: "linkReady", id: target }, at(0));
    expect(drain(forwarder)).toMatchObject([
      { type: "forward", to: target },
      { type: "forward", to: target },
    ]);
    expect(forwarder.waitingBytes).toBe(0);
  });

  test("packets without a payload fill a queue, too", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ linkQueueBytesMax: 10_000 }));
    for (const id of [left, target]) forwarder.handle({ type: "linkUp", id }, at(0));
    forwarder.handle({ type: "linkFull", id: target }, at(0));
    const empty = { protocol: 1, variant: 0, visited: [], target, source: left, payload: new Uint8Array() };
    for (let count = 0; count < 10_000; count++)
      forwarder.handle({ type: "forward", from: left, payload: encodePacket(empty) }, at(0));
    drain(forwarder);
    forwarder.handle({ type: "linkReady", id: target }, at(0));
    expect(drain(forwarder).length).toBeLessThan(200);
  });

  test("a link that comes up twice, once in the place of another, loses nothing that waits, and is not full", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions());
    forwarder.handle({ type: "linkUp", id: target }, at(0));
    forwarder.handle({ type: "linkFull", id: target }, at(0));
    forwarder.handle({ type: "send", target, protocol: 1, payload }, at(0));
    expect(drain(forwarder)).toEqual([]);
    forwarder.handle({ type: "linkUp", id: target }, at(0));
    expect(drain(forwarder)).toMatchObject([{ type: "forward", to: target }]);
    expect(forwarder.waitingBytes).toBe(0);
  });

  test("own packets are refused in the same way", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ linkQueueBytesMax: 1 }));
    forwarder.handle({ type: "linkUp", id: target }, at(0));
    forwarder.handle({ type: "linkFull", id: target }, at(0));
    for (let count = 0; count < 2; count++) {
      forwarder.handle({ type: "send", target, protocol: 1, payload }, at(0));
    }
    expect(drain(forwarder)).toMatchObject([{ type: "undeliverable", reason: "busy", target }]);
  });

  test("a neighbour that is busy is spared for a while, its own messages excepted", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ busyMs: 100 }));
    const mesh = new StaticMesh(100, 3);
    const far = mesh.pick();
    for (const node of mesh.nodes.slice(0, 20)) {
      if (node !== far) forwarder.handle({ type: "linkUp", id: node.id }, at(0));
    }
    const best = forwarder.nextHop(far.id, at(0));
    if (best === undefined) throw new Error("seed without a way");
    forwarder.handle({ type: "busy", from: best }, at(0));
    expect(forwarder.nextHop(far.id, at(99))).not.toBe(best);
    expect(forwarder.nextHop(best, at(99))).toBe(best);
    expect(forwarder.nextHop(far.id, at(100))).toBe(best);
  });

  test("a thousand full packets tell the neighbour once in a while only", () => {
    const forwarder = new Forwarder(self, resolveForwarderOptions({ linkQueueBytesMax: 1, busyMs: 100 }));
    for (const id of [left, target]) forwarder.handle({ type: "linkUp", id }, at(0));
    forwarder.handle({ type: "linkFull", id: target }, at(0));
    const packet = encodePacket({ protocol: 1, variant: 0, visited: [], target, source: left, payload });
    for (let count = 0; count < 1_000; count++) {
      forwarder.handle({ type: "forward", from: left, payload: packet }, at(count / 10));
    }
    expect(drain(forwarder).filter(({ type }) => type === "busy")).toHaveLength(2);
  });
});

describe("FORWARD", () => {
  const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(nodeIdFromBytes);
  const half = fc.nat(0xff_ffff);
  const anyPacket = fc.record({
    protocol: fc.nat(255),
    variant: fc.nat(255),
    visited: fc.array(fc.record({ high: half, low: half }), { maxLength: 60 }),
    target: anyId,
    source: anyId,
    payload: fc.uint8Array({ maxLength: 100 }),
  });

  test("decodes to what was encoded", () => {
    fc.assert(
      fc.property(anyPacket, (packet) => {
        expect(decodePacket(encodePacket(packet))).toEqual(packet);
      }),
    );
  });

  test("garbage is counted and ignored", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 67 }), (payload) => {
        const forwarder = new Forwarder(self, resolveForwarderOptions());
        forwarder.handle({ type: "forward", from: left, payload }, at(0));
        expect(drain(forwarder)).toEqual([]);
        expect(forwarder.counters.malformed).toBe(1);
      }),
    );
  });
});
