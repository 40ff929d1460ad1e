import { describe, expect, test } from "vitest";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { AddressBook } from "../../src/swim/address-book.ts";
import type { MemberRecord } from "../../src/swim/record.ts";
import { Table } from "../../src/swim/table.ts";
import { Person, Subject } from "./support.ts";

const people = Array.from({ length: 6 }, (_, index) => new Person(`p${index}`));
const [alice, bob, carol, dave, eve, mallory] = people as [Person, Person, Person, Person, Person, Person];
const random = seededRandom(4);

/** The same record under another id: the table does not look at signatures. */
function invented(): MemberRecord {
  return { ...alice.record, id: nodeIdFromBytes(random.bytes(32)) };
}

/** A table of four members, full, of which Mallory told of two that nobody has heard. */
function full(): Subject {
  const subject = new Subject({ probeIntervalMs: 1e6, membersMax: 4, confirmers: 0 });
  subject.gossip(mallory, mallory.sign({}));
  subject.gossip(alice, alice.sign({}));
  subject.gossip(mallory, bob.sign({}), carol.sign({}));
  return subject;
}

describe("a member that makes room for another", () => {
  test("is said to be gone: whoever counts members would keep it for ever", () => {
    const subject = full();
    subject.gossip(dave, dave.sign({}));
    const ups = subject.news().filter((line) => line.startsWith("memberUp"));
    expect(ups).toHaveLength(5);
    expect(subject.news().filter((line) => line.startsWith("memberDown"))).toHaveLength(1);
    expect(subject.swim.members()).toHaveLength(4);
  });

  test("while it is asked is not given up a second time, and takes nobody with it", () => {
    const subject = new Subject({ probeIntervalMs: 1_000, membersMax: 4, confirmers: 0 });
    subject.gossip(mallory, mallory.sign({}));
    subject.gossip(alice, alice.sign({}));
    subject.gossip(mallory, bob.sign({}), carol.sign({}));
    // Asks whoever is accused, so that Bob and Carol are both being asked.
    for (let passed = 0; passed < 9_000; passed += 10) {
      for (const { to, head } of subject.pass(10)) {
        const asked = [alice, mallory].find(({ id }) => id === to);
        if (head.kind === "ping" && asked !== undefined) subject.hear(asked, { ...head, kind: "ack" });
        if (head.kind !== "ping" || asked !== undefined || head.sequence === 0) continue;
        // Now, of all times, others come.
        subject.gossip(dave, dave.sign({}));
        subject.gossip(eve, eve.sign({}));
      }
    }
    const { swim } = subject;
    const living = swim.members().filter(({ state }) => state === "alive" || state === "suspect");
    expect(swim.livingCount).toBe(living.length + 1);
    for (const { id } of [alice, mallory]) expect(swim.member(id)?.state).toBe("alive");
    const downs = subject.news().filter((line) => line.startsWith("memberDown"));
    expect(new Set(downs).size).toBe(downs.length);
  });
});

describe("a peer that invents members", () => {
  test("does not push out those that another peer told of, though those are more", () => {
    const table = new Table(1_000, seededRandom(1), () => {});
    // A newcomer learns of nearly all from the member it joins through.
    const honest = Array.from({ length: 800 }, invented);
    for (const record of honest) table.add(record, alice.id);
    for (let count = 0; count < 100_000; count++) table.add(invented(), mallory.id);
    expect(honest.filter(({ id }) => table.get(id) === undefined)).toEqual([]);
  });

  test("does not have those forgotten that were really there, when its own are found to be dead", () => {
    const book = new AddressBook(100);
    book.add({ id: alice.id, name: "alice@a:1", address: "a:1", wasHeard: true }, at(0), at(0));
    for (let count = 0; count < 1_000; count++) {
      const { id, name, address } = invented();
      book.add({ id, name, address, wasHeard: false }, at(1), at(1));
    }
    expect(book.remembered().map(({ id }) => id)).toContain(alice.id);
    expect(book.size).toBe(100);
    for (let count = 0; count < 100; count++) {
      const { id, name, address } = invented();
      book.add({ id, name, address, wasHeard: true }, at(2), at(2));
    }
    const { id, name, address } = invented();
    book.add({ id, name, address, wasHeard: false }, at(3), at(3));
    expect(book.remembered().map((each) => each.id)).not.toContain(id);
  });
});

describe("addresses", () => {
  test("of those just gone are tried at once, though others have been gone for days", () => {
    const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0 });
    for (const person of [alice, bob, carol]) subject.gossip(person, person.sign({ incarnation: 0 }));
    subject.gossip(carol, carol.accuse(alice));
    subject.pass(86_400_000);
    // They have not answered for a day either, but come back.
    for (const person of [bob, carol]) subject.gossip(person, person.sign({ incarnation: 1_000 }));
    subject.gossip(carol, carol.accuse(bob));
    subject.pass(5_500);
    expect(subject.swim.member(bob.id)?.state).toBe("dead");
    const before = subject.seen.length;
    subject.pass(10_000);
    const dialled = subject.seen
      .slice(before)
      .flatMap((output) => (output.type === "wantLink" ? [output.peer] : []));
    expect(dialled).toContain(bob.id);
  });

  test("remembered of a last life in which more were known than can be tried are those of the living", () => {
    const remembered = Array.from({ length: 5 }, (_, index) => {
      const { id } = invented();
      return { id, name: `n${index}@a:1`, address: `a:${index}` };
    });
    const book = new AddressBook(3);
    book.addRemembered(remembered, at(0));
    expect(book.remembered()).toEqual(remembered.slice(0, 3));
  });
});
