import { describe, expect, test } from "vitest";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { standInCrypto } from "../../src/sim/index.ts";
import { signAccusation } from "../../src/swim/accusation.ts";
import { AddressBook } from "../../src/swim/address-book.ts";
import { News } from "../../src/swim/news.ts";
import { type MemberRecord, signRecord } from "../../src/swim/record.ts";
import { encodeSync, type ListEntry } from "../../src/swim/sync-messages.ts";
import { Table } from "../../src/swim/table.ts";
import { Person, Subject } from "./support.ts";

const [alice, bob, mallory] = ["alice", "bob", "mallory"].map((name) => new Person(name)) as [
  Person,
  Person,
  Person,
];

function acquainted(people: readonly Person[], options = {}): Subject {
  const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0, ...options });
  for (const person of people) subject.gossip(person, person.sign({ incarnation: 0 }));
  return subject;
}

/** A record that costs nothing to make. */
function invented(number: number): MemberRecord {
  const publicKey = seededRandom(number).bytes(91);
  const content = {
    name: "x@host:1",
    address: "x:1",
    metadata: new Uint8Array(),
    incarnation: 0,
    hasLeft: false,
  };
  return signRecord(content, publicKey, standInCrypto(publicKey));
}

describe("forgery and replay", () => {
  test("a record that somebody else signed changes nothing", () => {
    const subject = acquainted([alice]);
    // Alice's key, Mallory's signature.
    const content = { ...alice.record, incarnation: 9, address: "evil:1" };
    expect(() => signRecord(content, alice.publicKey, mallory.crypto)).toThrow();
    const bytes = alice.sign({ incarnation: 9, address: "evil:1" }).bytes.slice();
    bytes.set(mallory.crypto.sign(bytes), bytes.length - 64);
    subject.gossip(mallory, { ...alice.record, bytes });
    expect(subject.swim.member(alice.id)).toMatchObject({ incarnation: 0, address: "alice.example:4433" });
    expect(subject.swim.counters.forged).toBe(1);
  });

  test("nobody can say farewell for another", () => {
    const subject = acquainted([alice]);
    const bytes = alice.record.bytes.slice();
    bytes[0] = 1;
    subject.gossip(mallory, { ...alice.record, bytes });
    expect(subject.swim.member(alice.id)?.state).toBe("alive");
    expect(subject.swim.counters.forged).toBe(1);
  });

  test("old records and old accusations, replayed, change nothing", () => {
    const subject = acquainted([alice, bob]);
    const [old, accusation] = [alice.record, bob.accuse(alice)];
    subject.gossip(alice, alice.sign({ incarnation: 5 }));
    subject.gossip(mallory, old, accusation);
    expect(subject.swim.member(alice.id)).toMatchObject({ state: "alive", incarnation: 5 });
    expect(subject.swim.counters.stale).toBe(2);
  });

  test("an accusation under another's name, by a stranger, of a stranger or of a record to come is not heard", () => {
    const subject = acquainted([alice, bob]);
    subject.gossip(mallory, signAccusation(alice.id, 0, bob.id, mallory.crypto));
    expect(subject.swim.counters.forged).toBe(1);
    subject.gossip(mallory, mallory.accuse(alice), bob.accuse(mallory));
    expect(subject.swim.counters.unknown).toBe(2);
    subject.gossip(bob, signAccusation(alice.id, 1, bob.id, bob.crypto));
    expect(subject.swim.counters.stale).toBe(1);
    expect(subject.swim.member(alice.id)?.state).toBe("alive");
  });

  test("bytes that are no packet are counted", () => {
    const subject = acquainted([alice]);
    for (const payload of [new Uint8Array(), Uint8Array.of(99), new Uint8Array(1_200).fill(1)]) {
      subject.swim.handle({ type: "datagram", from: alice.id, payload }, subject.now);
      subject.swim.handle({ type: "message", from: alice.id, payload }, subject.now);
    }
    expect(subject.swim.counters.malformed).toBeGreaterThan(4);
  });
});

describe("a liar", () => {
  test("is not believed any more after twenty accusations that were refuted, and not for ever", () => {
    const subject = acquainted([alice, bob, mallory]);
    for (let incarnation = 0; incarnation < 20; incarnation++) {
      subject.gossip(mallory, mallory.accuse(alice));
      expect(subject.swim.member(alice.id)?.state).toBe("suspect");
      subject.gossip(alice, alice.sign({ incarnation: incarnation + 1 }));
    }
    subject.gossip(mallory, mallory.accuse(alice));
    expect(subject.swim.member(alice.id)?.state).toBe("alive");
    expect(subject.swim.counters).toMatchObject({ refuted: 20, disbelieved: 1 });
    // Others are.
    subject.gossip(bob, bob.accuse(alice));
    expect(subject.swim.member(alice.id)?.state).toBe("suspect");
    subject.gossip(alice, alice.sign({ incarnation: 21 }));
    subject.pass(5_000);
    subject.gossip(mallory, mallory.accuse(alice));
    expect(subject.swim.member(alice.id)?.state).toBe("suspect");
  });

  test("cannot have a node refute without end", () => {
    const subject = acquainted([mallory]);
    for (let count = 0; count < 100; count++) subject.gossip(mallory, mallory.accuse(subject));
    expect(subject.record.incarnation).toBe(20);
  });

  test("that says of many what all others deny is asked about them, and makes nobody dead", () => {
    const subject = acquainted([alice, bob, mallory]);
    const link = (payload: Uint8Array) =>
      subject.swim.handle({ type: "message", from: mallory.id, payload }, subject.now);
    subject.swim.handle({ type: "join", address: "m:1" }, subject.now);
    subject.swim.handle({ type: "linkUp", peer: mallory.id, address: "m:1" }, subject.now);
    const entries: ListEntry[] = [alice, bob].map(({ id, record }) => ({
      id,
      incarnation: 0,
      fingerprint: record.fingerprint[0],
      state: "dead",
    }));
    link(encodeSync({ kind: "list", entries }));
    expect(subject.swim.member(alice.id)?.state).toBe("alive");
    const asked = subject.pass(50).filter(({ head }) => head.kind === "ping");
    expect(asked.map(({ to }) => to).toSorted()).toEqual([alice.id, bob.id].toSorted());
  });

  test("that lists thousands that are not there, or the same one thousands of times, is asked for what there is room for", () => {
    const subject = acquainted([mallory], { membersMax: 100 });
    subject.swim.handle({ type: "join", address: "m:1" }, subject.now);
    subject.swim.handle({ type: "linkUp", peer: mallory.id, address: "m:1" }, subject.now);
    const random = seededRandom(1);
    const entry = (): ListEntry => ({
      id: nodeIdFromBytes(random.bytes(32)),
      incarnation: 0,
      fingerprint: 0,
      state: "alive",
    });
    const same = entry();
    const entries = [...Array.from({ length: 100 }, entry), ...Array.from({ length: 100 }, () => same)];
    const payload = encodeSync({ kind: "list", entries });
    subject.swim.handle({ type: "message", from: mallory.id, payload }, subject.now);
    subject.drain();
    const wants = subject.seen.findLast((output) => output.type === "message");
    expect(wants?.type === "message" ? wants.payload.length : 0).toBe(9 + 99 * 32);
    const lists = encodeSync({ kind: "list", entries: Array.from({ length: 201 }, () => same) });
    subject.swim.handle({ type: "message", from: mallory.id, payload: lists }, subject.now);
    expect(subject.swim.counters.malformed).toBe(1);
  });

  test("cannot bring records, wants or lists that nobody asked for, nor have lists sent all the time", () => {
    const subject = acquainted([mallory]);
    const send = (message: Parameters<typeof encodeSync>[0]) =>
      subject.swim.handle({ type: "message", from: mallory.id, payload: encodeSync(message) }, subject.now);
    subject.swim.handle({ type: "linkUp", peer: mallory.id, address: "m:1" }, subject.now);
    send({ kind: "records", isLast: true, records: [alice.record.bytes] });
    send({ kind: "wants", wanted: [mallory.id], disputed: [] });
    send({ kind: "list", entries: [] });
    expect(subject.swim.counters.uninvited).toBe(3);
    expect(subject.swim.member(alice.id)).toBeUndefined();
    subject.drain();
    const before = subject.seen.length;
    for (let count = 0; count < 50; count++) send({ kind: "offer", count: 0, hash: [0, 0] });
    subject.drain();
    expect(subject.seen.length - before).toBe(1);
  });

  test("cannot have this node ask strangers, or more than its bound at a time", () => {
    const subject = acquainted([alice, bob, mallory], { relaysMax: 8 });
    const carol = new Person("carol");
    const stranger = subject.hear(mallory, { kind: "pingRequest", sequence: 1, target: carol.id });
    expect(stranger.map(({ to, head }) => [to, head.kind])).toEqual([[mallory.id, "nack"]]);
    const pings = Array.from({ length: 10 }, (_, sequence) =>
      subject.hear(mallory, { kind: "pingRequest", sequence, target: alice.id }),
    ).flat();
    expect(pings.filter(({ to }) => to === alice.id)).toHaveLength(1);
    expect(subject.swim.counters.uninvited).toBe(9);
    // Which leaves room for the requests of others, and is over when the question is.
    const others = subject.hear(bob, { kind: "pingRequest", sequence: 1, target: alice.id });
    expect(others.filter(({ to }) => to === alice.id)).toHaveLength(1);
    subject.pass(300);
    const again = subject.hear(mallory, { kind: "pingRequest", sequence: 1, target: alice.id });
    expect(again.filter(({ to }) => to === alice.id)).toHaveLength(1);
  });
});

describe("bounds", () => {
  test("100,000 bogus members of one peer push out nobody but each other", () => {
    const table = new Table(1_000, seededRandom(1), () => {});
    const honest = Array.from({ length: 300 }, (_, number) => invented(number));
    for (const [index, record] of honest.entries()) {
      const member = table.add(record, index % 2 === 0 ? alice.id : bob.id);
      // A third of them were heard themselves.
      if (index % 3 === 0 && member !== undefined) table.confirm(member);
    }
    // The same record under many ids: the table does not look at signatures.
    const template = invented(300);
    const random = seededRandom(2);
    let added = 0;
    for (let count = 0; count < 100_000; count++) {
      const record = { ...template, id: nodeIdFromBytes(random.bytes(32)) };
      if (table.add(record, mallory.id) !== undefined) added++;
    }
    expect(table.size).toBe(1_000);
    expect(added).toBe(700);
    for (const { id } of honest) expect(table.get(id)).toBeDefined();
    // And a newcomer that somebody else brings finds room.
    const newcomer = invented(301);
    expect(table.add(newcomer, alice.id)).toBeDefined();
    expect(table.size).toBe(1_000);
    for (const { id } of [...honest, newcomer]) expect(table.get(id)).toBeDefined();
  });

  test("the dead make room first, the one gone longest before the others", () => {
    const table = new Table(3, seededRandom(1), () => {});
    const [one, two, three, four] = [1, 2, 3, 4].map(invented) as [
      MemberRecord,
      MemberRecord,
      MemberRecord,
      MemberRecord,
    ];
    const members = [one, two, three].map((record) => table.add(record, alice.id));
    for (const member of [members[1], members[0]]) if (member !== undefined) table.setState(member, "dead");
    table.add(four, alice.id);
    expect([one, two, three, four].map(({ id }) => table.get(id) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  test("news is bounded, and what was told most often makes room", () => {
    const news = new News(3);
    const [one, two, three, four] = ["1", "2", "3", "4"].map((digit) =>
      nodeIdFromBytes(new Uint8Array(32).fill(Number(digit))),
    );
    if (one === undefined || two === undefined || three === undefined || four === undefined)
      throw new Error();
    news.putRecord(one, Uint8Array.of(1));
    news.take(100, 10);
    for (const id of [two, three, four]) news.putRecord(id, Uint8Array.of(2));
    expect(news.size).toBe(3);
    expect(news.has(one)).toBe(false);
    expect(news.dropped).toBe(1);
  });

  test("a packet takes what was told least often, no more than fits, and each as often as it is to be told", () => {
    const news = new News(100);
    const ids = Array.from({ length: 5 }, (_, index) => nodeIdFromBytes(new Uint8Array(32).fill(index)));
    for (const [index, id] of ids.entries()) news.putRecord(id, new Uint8Array(97).fill(index));
    const told = new Map<number, number>();
    for (let packet = 0; packet < 10; packet++) {
      const items = news.take(200, 4);
      expect(items.length).toBeLessThanOrEqual(2);
      for (const { bytes } of items) told.set(bytes[0] as number, (told.get(bytes[0] as number) ?? 0) + 1);
    }
    expect([...told.values()]).toEqual([4, 4, 4, 4, 4]);
    expect(news.size).toBe(0);
  });

  test("addresses to try again are bounded, and the one gone longest makes room", () => {
    const book = new AddressBook(2);
    for (const person of [alice, bob, mallory]) {
      book.add({ id: person.id, name: "a@a:1", address: "a:1", wasHeard: true }, at(0), at(0));
    }
    expect(book.remembered().map(({ id }) => id)).toEqual([bob.id, mallory.id]);
  });

  test("a crowd of accusers counts only as far as it shortens anything", () => {
    const crowd = Array.from({ length: 8 }, (_, index) => new Person(`p${index}`));
    const subject = acquainted([alice, ...crowd]);
    subject.pass(10_000);
    subject.gossip(bob, ...crowd.map((person) => person.accuse(alice)));
    const told = subject.pass(3_000).flatMap(({ news }) => news.filter(({ kind }) => kind === "accusation"));
    expect(new Set(told.map(({ bytes }) => bytes.join())).size).toBeLessThanOrEqual(4);
  });
});
