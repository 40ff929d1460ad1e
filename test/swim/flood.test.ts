import { describe, expect, test } from "vitest";
import { Person, Subject } from "./support.ts";

describe("thousands of invented members do not", () => {
  const inventions = Array.from({ length: 2_000 }, (_, number) => {
    const person = new Person("x");
    return person.sign({ name: `x${number}@host:1`, address: `x:${number}` });
  });

  test("delay what is said of real ones: an accusation and a record travel in the packets of the next second", () => {
    const [alice, bob, carol, mallory] = ["alice", "bob", "carol", "mallory"].map(
      (name) => new Person(name),
    ) as [Person, Person, Person, Person];
    const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0 });
    for (const person of [alice, bob, carol, mallory])
      subject.gossip(person, person.sign({ incarnation: 0 }));
    subject.pass(20_000);
    for (const record of inventions) subject.gossip(mallory, record);
    const accusation = bob.accuse(alice);
    subject.gossip(bob, accusation);
    const record = carol.sign({ incarnation: 1, address: "new:1" });
    subject.gossip(carol, record);
    const told = subject.pass(1_000).flatMap(({ news }) => news.map(({ bytes }) => bytes.join()));
    expect(told).toContain(accusation.bytes.join());
    expect(told).toContain(record.bytes.join());
  });
});
