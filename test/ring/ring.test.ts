import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { comparePoints, sharedBits } from "../../src/base/id-space.ts";
import { type NodeId, nodeIdBytes, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import {
  decodeLinkUse,
  encodeLinkUse,
  type LinkUse,
  Ring,
  type RingInput,
  type RingOptions,
  type RingOutput,
  resolveRingOptions,
} from "../../src/ring/index.ts";
import { StaticMesh } from "../routing/support/static-mesh.ts";

/** Node number `value` of 256, evenly around the ring. */
function id(value: number): NodeId {
  const bytes = new Uint8Array(32);
  bytes[0] = value;
  return nodeIdFromBytes(bytes);
}
const number = (each: NodeId): number => nodeIdBytes(each)[0] as number;

/** One ring and what it says, in short: `want 3`, `drop 3`, `wanted 3`. */
class One {
  readonly ring: Ring;
  now = 0;

  constructor(self: number, members: readonly number[], options: RingOptions = {}, seed = 1) {
    this.ring = new Ring(id(self), resolveRingOptions(options), seededRandom(seed));
    for (const each of members) this.tell({ type: "memberUp", id: id(each) });
  }

  tell(input: RingInput): void {
    this.ring.handle(input, at(this.now));
  }

  use(from: number, use: LinkUse): void {
    this.tell({ type: "linkUse", from: id(from), payload: encodeLinkUse(use) });
  }

  /** All that it says until then. */
  until(now: number): string[] {
    const said: string[] = [];
    for (;;) {
      for (let output = this.ring.poll(); output !== undefined; output = this.ring.poll())
        said.push(text(output));
      const due = this.ring.deadline();
      if (due === undefined || due > now) break;
      this.now = Math.max(this.now, due);
      this.tell({ type: "tick" });
    }
    this.now = now;
    return said;
  }
}

function text(output: RingOutput): string {
  switch (output.type) {
    case "wantLink":
      return `want ${number(output.id)}`;
    case "dropLink":
      return `drop ${number(output.id)}`;
    default:
      return `${decodeLinkUse(output.payload)} ${number(output.to)}`;
  }
}

const up = (value: number): RingInput => ({ type: "linkUp", id: id(value) });
const down = (value: number): RingInput => ({ type: "linkDown", id: id(value) });

describe("DESIGN §8: which links", () => {
  test("three neighbours on each side, and one into each bucket that they leave out", () => {
    const others = Array.from({ length: 255 }, (_, index) => index + 1);
    const one = new One(0, others);
    one.until(0);
    expect(one.ring.neighbours.map(number)).toEqual([1, 2, 3, 255, 254, 253]);
    const wanted = [...one.ring.wanted].map(number);
    // 255 is in the farthest bucket, 1 in the nearest, 2 and 3 in the next: five are left.
    expect(wanted).toHaveLength(6 + 5);
    expect(new Set(wanted.map((each) => sharedBits(id(0), id(each)))).size).toBe(8);
  });

  test("two nodes are each other's neighbours on both sides", () => {
    const one = new One(0, [200]);
    expect(one.until(0)).toEqual(["want 200"]);
    expect(one.ring.neighbours.map(number)).toEqual([200]);
  });

  test("a bucket is served by a link that the other end made", () => {
    const others = Array.from({ length: 255 }, (_, index) => index + 1);
    const one = new One(0, others);
    one.tell(up(77));
    one.until(0);
    expect([...one.ring.wanted].map(number).filter((each) => sharedBits(id(0), id(each)) === 1)).toEqual([
      77,
    ]);
  });

  test("what is wanted is said again at each check until there is a link", () => {
    const one = new One(0, [9]);
    expect(one.until(0)).toEqual(["want 9"]);
    expect(one.until(4_999)).toEqual([]);
    expect(one.until(5_000)).toEqual(["want 9"]);
    one.tell(up(9));
    expect(one.until(20_000)).toEqual(["wanted 9"]);
    one.tell(down(9));
    expect(one.until(20_000)).toEqual(["want 9"]);
  });

  test("a thousand members made known at once are looked at once", () => {
    const one = new One(0, [], { neighboursPerSide: 1 });
    for (let value = 1; value < 256; value++) one.tell({ type: "memberUp", id: id(value) });
    const said = one.until(0);
    expect(said.every((each) => each.startsWith("want"))).toBe(true);
    expect(said).toHaveLength(one.ring.wanted.size);
  });
});

describe("who closes", () => {
  test("a link that neither end wants is closed after the grace period by the smaller id, else by the larger", () => {
    const members = [1, 2, 3, 250, 251, 252];
    const small = new One(0, members, { graceMs: 30_000 });
    small.tell(up(100));
    // Not a member (any more): nothing wants it.
    expect(small.until(29_999)).toContain("unwanted 100");
    expect(small.until(30_000)).toContain("drop 100");
    const large = new One(255, members, { graceMs: 30_000 });
    large.tell(up(100));
    expect(large.until(59_999)).not.toContain("drop 100");
    expect(large.until(60_000)).toContain("drop 100");
  });

  test("one that the other end wants stays, until it does not", () => {
    const one = new One(0, []);
    one.tell(up(100));
    one.use(100, "wanted");
    expect(one.until(1_000_000)).toEqual(["unwanted 100"]);
    one.use(100, "unwanted");
    expect(one.until(1_029_999)).toEqual([]);
    expect(one.until(1_036_000)).toEqual(["drop 100"]);
  });

  test("one that something else of this node holds stays", () => {
    const one = new One(0, []);
    one.tell({ type: "hold", id: id(100), held: true });
    one.tell(up(100));
    expect(one.until(1_000_000)).toEqual(["wanted 100"]);
    one.tell({ type: "hold", id: id(100), held: false });
    expect(one.until(1_040_000)).toEqual(["unwanted 100", "drop 100"]);
  });

  test("two rings that come to different opinions never cut a link that one of them wants", () => {
    const mesh = new StaticMesh(150, 5);
    mesh.settle(120_000);
    for (const node of mesh.nodes) {
      for (const wanted of node.ring.wanted) expect(node.links.has(wanted)).toBe(true);
      for (const link of node.links) {
        expect(node.ring.wanted.has(link) || mesh.node(link).ring.wanted.has(node.id)).toBe(true);
      }
    }
  });
});

describe("bounds and hostile peers", () => {
  test("guests beyond the bound are refused, the latest first", () => {
    const one = new One(0, [], { guestsMax: 3 });
    for (const guest of [10, 11, 12, 13]) {
      one.tell(up(guest));
      one.use(guest, "wanted");
    }
    const said = one.until(0);
    expect(said.filter((each) => each.startsWith("refused") || each.startsWith("drop"))).toEqual([
      "refused 13",
      "drop 13",
    ]);
    expect(one.ring.counters.refusals).toBe(1);
  });

  test("whoever is refused takes another member of the bucket", () => {
    const one = new One(0, [128, 129, 130, 131], { neighboursPerSide: 1 });
    one.until(0);
    const first = [...one.ring.wanted].map(number);
    const refusing = first[0] as number;
    one.tell(up(refusing));
    one.use(refusing, "refused");
    expect(one.until(0)).toContain(`drop ${refusing}`);
    expect([...one.ring.wanted].map(number)).not.toContain(refusing);
  });

  test("a member that no link can be made to does not keep its place for ever", () => {
    const one = new One(0, [1, 2, 3, 4, 5], { neighboursPerSide: 1, patienceMs: 15_000, avoidMs: 60_000 });
    one.tell(up(2));
    one.tell(up(5));
    one.until(14_999);
    expect(one.ring.neighbours.map(number)).toEqual([1, 5]);
    const said = one.until(20_000);
    expect(said).toContain("drop 1");
    expect(one.ring.neighbours.map(number)).toEqual([2, 5]);
    one.until(80_000);
    expect(one.ring.neighbours.map(number)).toEqual([1, 5]);
  });

  test("what is no LINK_USE is counted and ignored", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (payload) => {
        const one = new One(0, [1]);
        one.tell(up(1));
        one.until(0);
        one.tell({ type: "linkUse", from: id(1), payload });
        expect(one.until(0)).toEqual([]);
        expect(one.ring.counters.malformed).toBe(1);
      }),
    );
    const one = new One(0, [1]);
    one.use(200, "wanted");
    expect(one.until(0)).toEqual(["want 1"]);
  });
});

describe("churn", () => {
  test("links do not flap: a member that comes and goes moves nothing but what it serves", () => {
    const mesh = new StaticMesh(300, 3);
    mesh.settle(60_000);
    const before = mesh.nodes.map(({ links }) => new Set(links));
    const visitor = mesh.nodes[7];
    if (visitor === undefined) throw new Error("no such node");
    for (let count = 0; count < 5; count++) {
      mesh.crash(visitor, true);
      mesh.settle(10_000);
      mesh.revive(visitor);
      mesh.settle(10_000);
    }
    let changed = 0;
    for (const [index, node] of mesh.nodes.entries()) {
      if (node === visitor) continue;
      for (const link of node.links) if (link !== visitor.id && !before[index]?.has(link)) changed++;
      for (const link of before[index] ?? []) if (link !== visitor.id && !node.links.has(link)) changed++;
    }
    // Six neighbours find a substitute each, and those whose bucket it served: some thirty link ends, not thousands.
    expect(changed).toBeLessThanOrEqual(100);
  });

  test("after any crashes the ring is whole again and each bucket is served", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 2, max: 60 }), fc.nat(90), (seed, size, percent) => {
        const mesh = new StaticMesh(size, seed);
        const victims = mesh.nodes.filter(() => mesh.random.integer(100) < percent).slice(0, size - 1);
        for (const node of victims) mesh.crash(node, true);
        mesh.settle(70_000);
        const alive = mesh.nodes.filter((node) => node.alive).sort((a, b) => comparePoints(a.id, b.id));
        for (const [index, node] of alive.entries()) {
          const next = alive[(index + 1) % alive.length];
          if (next !== undefined && next !== node) expect(node.links.has(next.id)).toBe(true);
          const served = new Set([...node.links].map((each) => sharedBits(node.id, each)));
          expect(served.size).toBe(node.ring.buckets);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("members that are not there", () => {
  test("are not dialled for ever for whoever holds a link to them", () => {
    const one = new One(0, [9, 100]);
    one.tell({ type: "hold", id: id(100), held: true });
    one.tell({ type: "hold", id: id(0), held: true });
    one.until(0);
    one.tell({ type: "memberDown", id: id(100) });
    expect(one.until(0)).toEqual(["drop 100"]);
    expect(one.until(60_000).filter((line) => line !== "want 9" && line !== "drop 9")).toEqual([]);
    // It is still held when it comes back.
    one.tell({ type: "memberUp", id: id(100) });
    expect(one.until(60_000)).toContain("want 100");
  });

  test("all of them: a node that reaches nobody goes on trying", () => {
    const one = new One(0, [9, 100]);
    one.until(60_000);
    expect(one.until(75_000)).toContain("want 9");
    one.until(600_000);
    expect(one.until(606_000).filter((line) => line === "want 9").length).toBeGreaterThan(0);
  });
});
