import { describe, expect, test } from "vitest";
import { swimMesh } from "../../sim/membership-alone.ts";
import { signAccusation } from "../../src/swim/accusation.ts";
import { encodeSync, type SyncMessage } from "../../src/swim/sync-messages.ts";
import { freshSeeds } from "../support/seeds.ts";
import { newsOf, Person, Subject } from "./support.ts";

const [alice, bob, mallory] = ["alice", "bob", "mallory"].map((name) => new Person(name)) as [
  Person,
  Person,
  Person,
];

function acquainted(people: readonly Person[], person?: Person): Subject {
  const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0 }, person);
  for (const each of people) subject.gossip(each, each.sign({ incarnation: 0 }));
  subject.pass(20_000);
  return subject;
}

function exchange(subject: Subject, from: Person, ...messages: SyncMessage[]): void {
  subject.swim.handle({ type: "join", address: "m:1" }, subject.now);
  subject.swim.handle({ type: "linkUp", peer: from.id, address: "m:1" }, subject.now);
  for (const message of messages)
    subject.swim.handle({ type: "message", from: from.id, payload: encodeSync(message) }, subject.now);
  subject.drain();
}

// Whose incarnation has come to its end can neither refute nor change nor leave any more, nor can its later lives.
describe("nobody but a node itself moves its incarnation far", () => {
  test.each([5, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER])(
    "an accusation of a record %i that it never made does not",
    (incarnation) => {
      const subject = acquainted([mallory]);
      subject.gossip(mallory, signAccusation(subject.id, incarnation, mallory.id, mallory.crypto));
      expect(subject.record.incarnation).toBe(0);
      subject.gossip(mallory, mallory.accuse(subject));
      expect(subject.record.incarnation).toBe(1);
    },
  );

  test("a list that says so does not: it is asked for that record", () => {
    const subject = acquainted([mallory]);
    const { id } = subject;
    const incarnation = Number.MAX_SAFE_INTEGER - 1;
    const entries = [{ id, incarnation, fingerprint: 0, state: "alive" }] as const;
    exchange(subject, mallory, { kind: "list", entries });
    expect(subject.record.incarnation).toBe(0);
    const wants = encodeSync({ kind: "wants", wanted: [id], disputed: [] });
    expect(subject.seen).toContainEqual({ type: "message", to: mallory.id, payload: wants });
  });
});

describe("a node in a new life hears of its last one", () => {
  test("from whoever it shows an older record", () => {
    const subject = acquainted([alice]);
    subject.gossip(alice, alice.sign({ incarnation: 7 }));
    const last = alice.record;
    subject.pass(20_000);
    const answers = subject.gossip(alice, alice.sign({ incarnation: 2 }));
    expect(answers.map(({ to, news }) => [to, news])).toEqual([[alice.id, newsOf(last)]]);
    // Of others' old records nothing is said: a relay could have it send all day.
    expect(subject.gossip(bob, alice.record)).toEqual([]);
  });

  test("and overtakes it, by gossip or in an exchange", () => {
    for (const way of ["gossip", "exchange"] as const) {
      const earlier = new Person("subject");
      const subject = acquainted([alice], earlier);
      const record = earlier.sign({ incarnation: 41, address: "old:1" });
      if (way === "gossip") subject.gossip(alice, record);
      else {
        const [fingerprint] = record.fingerprint;
        const entries = [{ id: subject.id, incarnation: 41, fingerprint, state: "left" }] as const;
        exchange(
          subject,
          alice,
          { kind: "list", entries },
          { kind: "records", isLast: true, records: [record.bytes] },
        );
      }
      expect(subject.swim.self).toMatchObject({ incarnation: 42, address: "subject.example:4433" });
    }
  });

  test.each([1, ...freshSeeds(1)])(
    "also when it comes back before it was missed, with nothing remembered: seed %i",
    (seed) => {
      const mesh = swimMesh({ seed, network: { lossRate: 0.05 } });
      mesh.addAcquainted(20);
      const { simulation } = mesh;
      const node = mesh.nodes[3] ?? mesh.add();
      for (let count = 0; count < 9; count++) {
        node.act((host, now) => host.swim.handle({ type: "update", metadata: Uint8Array.of(count) }, now));
        simulation.run({ forMs: 3_000 });
      }
      simulation.crash(node);
      simulation.run({ forMs: 300 });
      simulation.restart(node);
      mesh.join(node);
      const seen = () =>
        mesh.nodes.every(
          ({ host }) => host === node.host || host.swim.member(node.id)?.metadata.length === 0,
        );
      expect(simulation.runUntil(() => seen() && mesh.agrees(), { withinMs: 5_000 })).toBeDefined();
      expect(node.host.swim.self.incarnation).toBeGreaterThan(9);
    },
  );
});

describe("a node that signs two records with one incarnation", () => {
  test("does not part the mesh: all take the same one, whichever they heard first", () => {
    const pair = [alice.sign({ address: "one:1" }), alice.sign({ address: "two:1" })] as const;
    const told = [pair, pair.toReversed()].map((records) => {
      const subject = new Subject({ probeIntervalMs: 1e6 });
      for (const record of records) subject.gossip(bob, record);
      return subject.swim.member(alice.id)?.address;
    });
    expect(told[0]).toBe(told[1]);
  });

  test("nor do two that met different ones: an exchange asks for the greater, and sends it", () => {
    const records = [alice.sign({ address: "one:1" }), alice.sign({ address: "two:1" })].sort(
      (a, b) => a.fingerprint[0] - b.fingerprint[0],
    );
    const [lesser, greater] = records as [typeof alice.record, typeof alice.record];
    for (const [known, listed] of [
      [lesser, greater],
      [greater, lesser],
    ] as const) {
      const subject = acquainted([bob]);
      subject.gossip(bob, known);
      const [fingerprint] = listed.fingerprint;
      const entries = [{ id: alice.id, incarnation: 0, fingerprint, state: "alive" }] as const;
      exchange(subject, bob, { kind: "list", entries });
      const wants = encodeSync({ kind: "wants", wanted: [alice.id], disputed: [] });
      const sent = subject.seen.flatMap((output) => (output.type === "message" ? [output.payload] : []));
      expect(sent.some((payload) => payload.join() === wants.join())).toBe(known === lesser);
      const isSent = sent.some(
        (payload) => payload[0] === 4 && payload.join().includes(greater.bytes.join()),
      );
      expect(isSent).toBe(known === greater);
    }
  });
});
