import { describe, expect, test } from "vitest";
import { swimMesh } from "../../sim/membership-alone.ts";
import type { Mesh } from "../../sim/mesh.ts";
import type { SwimHost } from "../../sim/swim-host.ts";
import type { SimulatedNode } from "../../src/sim/index.ts";
import { signAccusation } from "../../src/swim/accusation.ts";
import { encodePacket, type NewsItem } from "../../src/swim/packet.ts";
import type { ListEntry } from "../../src/swim/sync-messages.ts";
import { encodeSync } from "../../src/swim/sync-messages.ts";
import { freshSeeds } from "../support/seeds.ts";
import { Person, Subject } from "./support.ts";

// A member whose word counts, and who says what harms most, in a mesh that is well otherwise.

/** What the liar has gossip in it arrives at every other node, each half second for a minute. */
function lieForAMinute(
  mesh: Mesh<SwimHost>,
  liar: SimulatedNode<SwimHost>,
  lies: () => readonly NewsItem[],
): void {
  const { simulation } = mesh;
  for (let atMs = 0; atMs < 60_000; atMs += 500) {
    simulation.later(atMs, () => {
      for (const victim of mesh.running()) {
        if (victim === liar) continue;
        const payload = encodePacket({ kind: "gossip" }, lies());
        victim.act((host, now) => host.swim.handle({ type: "datagram", from: liar.id, payload }, now));
      }
    });
  }
  simulation.run({ forMs: 60_000 });
}

function meshWithLiar(seed: number): {
  readonly mesh: Mesh<SwimHost>;
  readonly liar: SimulatedNode<SwimHost>;
} {
  const mesh = swimMesh({ seed, network: { lossRate: 0.01 } });
  mesh.addAcquainted(20);
  mesh.simulation.run({ forMs: 10_000 });
  return { mesh, liar: mesh.nodes[7] ?? mesh.add() };
}

const total = (mesh: Mesh<SwimHost>, counter: "disbelieved" | "stale" | "refuted"): number =>
  mesh.nodes.reduce((sum, { host }) => sum + host.swim.counters[counter], 0);

describe.each([1, ...freshSeeds(1)])("one liar among twenty, seed %i", (seed) => {
  test("that accuses everybody of silence has nobody given up, and soon is not listened to", () => {
    const { mesh, liar } = meshWithLiar(seed);
    const { crypto, id } = liar.host.context;
    lieForAMinute(mesh, liar, () =>
      mesh.nodes
        .filter((node) => node !== liar && mesh.simulation.random.integer(4) === 0)
        .map(({ host }) => {
          const accusation = signAccusation(host.swim.id, host.swim.self.incarnation, id, crypto);
          return { kind: "accusation", bytes: accusation.bytes };
        }),
    );
    expect(mesh.falsePositives).toBe(0);
    expect(total(mesh, "disbelieved")).toBeGreaterThan(total(mesh, "refuted"));
    expect(mesh.simulation.runUntil(() => mesh.agrees(), { withinMs: 10_000 })).toBeDefined();
  });

  test("that repeats what others once said, records and accusations, changes nothing", () => {
    const { mesh, liar } = meshWithLiar(seed);
    const [one, other] = mesh.nodes.filter((node) => node !== liar) as [
      SimulatedNode<SwimHost>,
      SimulatedNode<SwimHost>,
    ];
    const { crypto, id } = one.host.context;
    const accusation = signAccusation(other.id, other.host.swim.self.incarnation, id, crypto);
    const news: NewsItem[] = mesh.nodes.map(({ host }) => ({
      kind: "record",
      bytes: host.swim.record.bytes,
    }));
    news.push({ kind: "accusation", bytes: accusation.bytes });
    for (const node of mesh.nodes)
      node.act((host, now) => host.swim.handle({ type: "update", metadata: Uint8Array.of(7) }, now));
    mesh.simulation.run({ forMs: 10_000 });
    const before = mesh.suspicions;
    lieForAMinute(mesh, liar, () => news.slice(-4));
    expect(mesh.suspicions).toBe(before);
    expect(total(mesh, "stale")).toBeGreaterThan(1_000);
    for (const { host } of mesh.nodes)
      for (const { metadata } of host.swim.members()) expect([...metadata]).toEqual([7]);
  });
});

test("a list by which hundreds are dead has them asked, so many at a time", () => {
  const people = Array.from({ length: 60 }, (_, index) => new Person(`p${index}`));
  const mallory = people[0] as Person;
  const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0 });
  for (const person of people) subject.gossip(person, person.sign({}));
  subject.swim.handle({ type: "join", address: "m:1" }, subject.now);
  subject.swim.handle({ type: "linkUp", peer: mallory.id, address: "m:1" }, subject.now);
  const entries = people.map(({ id, record }): ListEntry => {
    const [fingerprint] = record.fingerprint;
    return { id, incarnation: 0, fingerprint, state: "dead" };
  });
  const payload = encodeSync({ kind: "list", entries });
  subject.swim.handle({ type: "message", from: mallory.id, payload }, subject.now);
  const asked = (ms: number) =>
    new Set(subject.pass(ms).flatMap(({ to, head }) => (head.kind === "ping" ? [to] : []))).size;
  expect(asked(99)).toBe(25);
  expect(asked(100)).toBe(25);
  expect(asked(100)).toBe(10);
  expect(subject.news().filter((line) => line.startsWith("memberDown"))).toEqual([]);
});
