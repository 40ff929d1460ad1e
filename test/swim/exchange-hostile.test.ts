import { describe, expect, test } from "vitest";
import { encodeSync, type ListEntry, type SyncMessage } from "../../src/swim/sync-messages.ts";
import { Person, Subject } from "./support.ts";

const people = Array.from({ length: 8 }, (_, index) => new Person(`p${index}`));
const [alice, mallory] = people as [Person, Person];

/** A subject that knows all, has a link to Mallory, and has begun an exchange with her. */
function exchanging(): Subject {
  const subject = new Subject({ probeIntervalMs: 1e6, confirmers: 0 });
  for (const person of people) subject.gossip(person, person.sign({ incarnation: 3 }));
  subject.swim.handle({ type: "join", address: "m:1" }, subject.now);
  subject.swim.handle({ type: "linkUp", peer: mallory.id, address: "m:1" }, subject.now);
  subject.drain();
  return subject;
}

function say(subject: Subject, message: SyncMessage): Uint8Array[] {
  const before = subject.seen.length;
  subject.swim.handle({ type: "message", from: mallory.id, payload: encodeSync(message) }, subject.now);
  subject.drain();
  return subject.seen.slice(before).flatMap((output) => (output.type === "message" ? [output.payload] : []));
}

function entryOf(person: Person, incarnation: number): ListEntry {
  return { id: person.id, incarnation, fingerprint: 0, state: "alive" };
}

describe("a partner in an exchange", () => {
  test("gets what it lacks once, however many lists it sends", () => {
    const subject = exchanging();
    // Five bytes that say that it knows nobody: it is sent all there is.
    expect(say(subject, { kind: "list", entries: [] }).map(([kind]) => kind)).toEqual([4, 5]);
    for (let count = 0; count < 10; count++) expect(say(subject, { kind: "list", entries: [] })).toEqual([]);
    expect(subject.swim.counters.uninvited).toBe(10);
  });

  test("gets a record once, however often it lists an older one, and is asked for one once", () => {
    const subject = exchanging();
    const entries = Array.from({ length: 1_000 }, () => [entryOf(alice, 0), entryOf(people[2] as Person, 9)]);
    const said = say(subject, { kind: "list", entries: entries.flat() });
    const sent = said.reduce((sum, { length }) => sum + length, 0);
    // Seven records and one id, not a thousand of each.
    expect(sent).toBeLessThan(9 * 300);
  });

  test("that says the list contradicts itself is believed neither way: first one thing, then the other", () => {
    const subject = exchanging();
    const entries = [entryOf(alice, 9), { ...entryOf(alice, 3), state: "dead" } as const];
    say(subject, { kind: "list", entries });
    subject.pass(50);
    expect(subject.swim.member(alice.id)).toMatchObject({ state: "alive", incarnation: 3 });
  });

  test("cannot go on sending records when the last of them were said to be the last", () => {
    const subject = exchanging();
    say(subject, { kind: "list", entries: [entryOf(alice, 9)] });
    say(subject, { kind: "records", isLast: true, records: [alice.sign({ incarnation: 9 }).bytes] });
    expect(subject.swim.member(alice.id)?.incarnation).toBe(9);
    say(subject, { kind: "records", isLast: false, records: [alice.sign({ incarnation: 10 }).bytes] });
    expect(subject.swim.member(alice.id)?.incarnation).toBe(9);
    expect(subject.swim.counters.uninvited).toBe(1);
  });

  test("that never sends its last records is given up", () => {
    const subject = exchanging();
    say(subject, { kind: "list", entries: [entryOf(alice, 9)] });
    subject.pass(10_001);
    expect(subject.seen.filter(({ type }) => type === "dropLink")).toHaveLength(1);
    say(subject, { kind: "records", isLast: true, records: [alice.sign({ incarnation: 9 }).bytes] });
    expect(subject.swim.member(alice.id)?.incarnation).toBe(3);
  });
});
