import { describe, expect, test } from "vitest";
import { signAccusation } from "../../src/swim/accusation.ts";
import { decodeSync, encodeSync, type SyncMessage } from "../../src/swim/sync-messages.ts";
import { Person, type Sent, Subject } from "./support.ts";

const [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map((name) => new Person(name)) as [
  Person,
  Person,
  Person,
  Person,
];

/** A subject that knows these people, and has told all news there was. */
function acquainted(people: readonly Person[], options = {}): Subject {
  const subject = new Subject({ probeIntervalMs: 1_000, ...options });
  for (const person of people) {
    person.sign({ incarnation: 0 });
    subject.gossip(person, person.record);
  }
  return subject;
}

function heads(sent: readonly Sent[], kind: string): Sent[] {
  return sent.filter(({ head }) => head.kind === kind);
}

/** Lets time pass until somebody is asked. */
function nextPing(subject: Subject): Sent {
  for (let passed = 0; passed < 2_000; passed++) {
    const [ping] = heads(subject.pass(1), "ping");
    if (ping !== undefined) return ping;
  }
  throw new Error("nobody is asked");
}

/** Lets time pass; whoever is asked answers, but for those given. */
function passAnswering(
  subject: Subject,
  ms: number,
  silent: readonly Person[],
  people: readonly Person[],
): void {
  for (let passed = 0; passed < ms; passed += 10) {
    for (const { to, head } of subject.pass(10)) {
      const person = people.find(({ id }) => id === to);
      if (person === undefined || silent.includes(person)) continue;
      if (head.kind === "ping") subject.hear(person, { kind: "ack", sequence: head.sequence });
      if (head.kind === "pingRequest") subject.hear(person, { kind: "nack", sequence: head.sequence });
    }
  }
}

describe("SWIM §3.1: probes", () => {
  test("a ping is answered with its sequence", () => {
    const subject = acquainted([alice]);
    expect(heads(subject.hear(alice, { kind: "ping", sequence: 7 }), "ack")).toMatchObject([
      { to: alice.id, head: { sequence: 7 } },
    ]);
  });

  test("each fourth question goes to the neighbour, the others to each member once in a pass (§4.3)", () => {
    const people = [alice, bob, carol, dave];
    const subject = acquainted(people);
    const asked = Array.from({ length: 32 }, () => {
      const ping = nextPing(subject);
      const { head } = ping;
      if (head.kind === "ping")
        subject.hear(people.find(({ id }) => id === ping.to) as Person, { ...head, kind: "ack" });
      return ping.to;
    });
    const ids = people.map(({ id }) => id).sort();
    const neighbour = ids.find((id) => id > subject.swim.id) ?? ids[0];
    const turn = [0, 1, 2, 3].find((first) =>
      asked.every((to, index) => index % 4 !== first || to === neighbour),
    );
    expect(turn).toBeDefined();
    const others = asked.filter((_, index) => index % 4 !== turn);
    for (let pass = 0; pass < 6; pass++) {
      expect(new Set(others.slice(pass * 4, pass * 4 + 4)).size).toBe(4);
    }
  });

  test("who does not answer is asked again, and through others, before anybody suspects it", () => {
    const people = [alice, bob, carol, dave];
    const subject = acquainted(people);
    const first = nextPing(subject);
    const rest = subject.pass(990);
    expect(heads(rest, "ping").filter(({ to }) => to === first.to)).toHaveLength(2);
    const requests = heads(rest, "pingRequest");
    expect(requests).toHaveLength(3);
    for (const { to, head } of requests) {
      expect(head).toMatchObject({ target: first.to });
      expect(to).not.toBe(first.to);
    }
    expect(subject.swim.member(first.to)?.state).toBe("alive");
    subject.pass(20);
    expect(subject.swim.member(first.to)?.state).toBe("suspect");
  });

  test("an answer through a helper counts, one of a stranger does not", () => {
    for (const [isHelper, state] of [
      [true, "alive"],
      [false, "suspect"],
    ] as const) {
      const people = [alice, bob, carol, dave];
      const subject = acquainted(people, { helpers: 1 });
      const ping = nextPing(subject);
      const request = heads(subject.pass(400), "pingRequest")[0] as Sent;
      const others = people.filter(({ id }) => id !== ping.to && (id === request.to) === isHelper);
      if (ping.head.kind === "ping") subject.hear(others[0] as Person, { ...ping.head, kind: "ack" });
      subject.pass(620);
      expect(subject.swim.member(ping.to)?.state).toBe(state);
    }
  });

  test("a request to ask somebody is carried out, and its answer or its absence reported", () => {
    const subject = acquainted([alice, bob], { probeIntervalMs: 100_000 });
    const [ping] = heads(subject.hear(alice, { kind: "pingRequest", sequence: 9, target: bob.id }), "ping");
    expect(ping?.to).toBe(bob.id);
    if (ping?.head.kind !== "ping") throw new Error("no ping");
    expect(heads(subject.hear(bob, { ...ping.head, kind: "ack" }), "ack")).toMatchObject([
      { to: alice.id, head: { sequence: 9 } },
    ]);
    subject.hear(alice, { kind: "pingRequest", sequence: 10, target: bob.id });
    expect(heads(subject.pass(300), "nack")).toMatchObject([{ to: alice.id, head: { sequence: 10 } }]);
  });
});

describe("Lifeguard", () => {
  test("a suspect that nobody confirms has 5 s; it is asked itself before it is given up", () => {
    const subject = acquainted([alice, bob, carol, dave], { probeIntervalMs: 1e6, confirmers: 0 });
    subject.gossip(bob, bob.accuse(alice));
    expect(subject.news().at(-1)).toBe("memberSuspect alice");
    const early = heads(subject.pass(3_900), "ping");
    expect(early.filter(({ to }) => to === alice.id)).toEqual([]);
    const late = heads(subject.pass(1_099), "ping").filter(({ to }) => to === alice.id);
    expect(late).toHaveLength(3);
    // The buddy system: the suspect is told of what.
    for (const { news } of late) expect(news[0]?.kind).toBe("accusation");
    expect(subject.swim.member(alice.id)?.state).toBe("suspect");
    subject.pass(1);
    expect(subject.news().at(-1)).toBe("memberDown alice");
  });

  test("a member held for dead of which somebody tells is asked: it may be this node that was cut off", () => {
    const subject = acquainted([alice, bob, carol, dave], { probeIntervalMs: 1e6, confirmers: 0 });
    subject.gossip(bob, bob.accuse(alice));
    subject.pass(5_000);
    expect(subject.swim.member(alice.id)?.state).toBe("dead");
    subject.pass(10_000);
    expect(heads(subject.pass(1_000), "ping").filter(({ to }) => to === alice.id)).toEqual([]);
    subject.gossip(carol, alice.record);
    const [asked] = heads(subject.pass(1_000), "ping").filter(({ to }) => to === alice.id);
    expect(asked?.news[0]?.kind).toBe("accusation");
  });

  test("confirmations shorten it to 2 s", () => {
    const subject = acquainted([alice, bob, carol, dave, new Person("erin")], {
      probeIntervalMs: 1e6,
      confirmers: 0,
    });
    subject.gossip(bob, bob.accuse(alice), carol.accuse(alice), dave.accuse(alice));
    const erin = new Person("erin");
    subject.gossip(erin, erin.record);
    subject.gossip(erin, erin.accuse(alice));
    subject.pass(1_999);
    expect(subject.swim.member(alice.id)?.state).toBe("suspect");
    subject.pass(1);
    expect(subject.swim.member(alice.id)?.state).toBe("dead");
  });

  test("whoever hears of a suspicion may look for itself at once, so that it is soon confirmed", () => {
    for (const [confirmers, count] of [
      [100, 1],
      [0, 0],
    ] as const) {
      const subject = acquainted([alice, bob, carol, dave], {
        probeIntervalMs: 1e6,
        probeTimeoutMs: 300,
        confirmers,
      });
      const pings = heads(subject.gossip(bob, bob.accuse(alice)), "ping").filter(({ to }) => to === alice.id);
      expect(pings).toHaveLength(count);
    }
  });

  test("the same accuser twice confirms nothing", () => {
    const subject = acquainted([alice, bob, carol, dave], { probeIntervalMs: 1e6, confirmers: 0 });
    for (let count = 0; count < 5; count++) subject.gossip(bob, bob.accuse(alice));
    subject.pass(4_999);
    expect(subject.swim.member(alice.id)?.state).toBe("suspect");
  });

  test("a suspect that answers is not given up, whoever accuses it", () => {
    const people = [alice, bob, carol, dave];
    const subject = acquainted(people, { probeIntervalMs: 1e6, confirmers: 0 });
    subject.gossip(bob, bob.accuse(alice), carol.accuse(alice), dave.accuse(alice));
    passAnswering(subject, 10_000, [], people);
    expect(subject.news()).not.toContain("memberDown alice");
    expect(subject.swim.member(alice.id)?.state).toBe("alive");
  });

  test("whoever is accused says that it lives, in the answer to whoever told it, and to others", () => {
    const subject = acquainted([alice, bob]);
    const sent = subject.hear(alice, { kind: "ping", sequence: 1 }, bob.accuse(subject));
    const [ack] = heads(sent, "ack");
    expect(subject.record.incarnation).toBe(1);
    expect(ack?.news[0]).toEqual({ kind: "record", bytes: subject.record.bytes });
    expect(subject.swim.healthScore).toBe(1);
    expect(
      heads(subject.pass(400), "gossip").some(({ news }) => news.some(({ kind }) => kind === "record")),
    ).toBe(true);
  });

  test("a newer record ends the suspicion", () => {
    const subject = acquainted([alice, bob, carol, dave]);
    subject.gossip(bob, bob.accuse(alice));
    subject.gossip(carol, alice.sign({ incarnation: 1 }));
    expect(subject.swim.member(alice.id)).toMatchObject({ state: "alive", incarnation: 1 });
    expect(subject.news().slice(-2)).toEqual(["memberSuspect alice", "memberChanged alice"]);
    expect(subject.swim.counters.refuted).toBe(1);
  });

  test("silence of everybody, helpers too, makes a node doubt itself", () => {
    const subject = acquainted([alice, bob, carol, dave]);
    subject.pass(10_000);
    expect(subject.swim.healthScore).toBeGreaterThan(3);
  });

  test("a node that doubts itself asks more slowly, and waits longer before it accuses", () => {
    for (const [score, suspectAfterMs] of [
      [0, 1_000],
      [3, 4_000],
    ] as const) {
      const subject = acquainted([alice, bob, carol, dave]);
      for (let count = 0; count < score; count++)
        subject.swim.handle({ type: "loopDelay", delayMs: 400 }, subject.now);
      const { to } = nextPing(subject);
      subject.pass(suspectAfterMs - 5);
      expect(subject.swim.member(to)?.state).toBe("alive");
      subject.pass(10);
      expect(subject.swim.member(to)?.state).toBe("suspect");
    }
  });

  test("helpers that answer show that it is not this node", () => {
    const people = [alice, bob, carol, dave];
    const subject = acquainted(people);
    passAnswering(subject, 8_000, [alice], people);
    expect(subject.swim.member(alice.id)?.state).toMatch(/suspect|dead/);
    expect(subject.swim.healthScore).toBe(0);
  });

  test("a late event loop makes a node doubt itself", () => {
    const subject = acquainted([alice]);
    subject.swim.handle({ type: "loopDelay", delayMs: 20 }, subject.now);
    expect(subject.swim.healthScore).toBe(0);
    subject.swim.handle({ type: "loopDelay", delayMs: 400 }, subject.now);
    expect(subject.swim.healthScore).toBe(1);
  });

  test("a node that stood still accuses nobody of silence", () => {
    const people = [alice, bob, carol, dave];
    const subject = acquainted(people);
    subject.pass(1_000);
    // Nothing happens for a long time, and then one tick.
    subject.now = (subject.now + 30_000) as typeof subject.now;
    subject.swim.handle({ type: "tick" }, subject.now);
    subject.drain();
    expect(subject.news().filter((text) => !text.startsWith("memberUp"))).toEqual([]);
    expect(subject.swim.healthScore).toBe(1);
  });
});

describe("members", () => {
  test("are told once when they come, change, leave and come back", () => {
    const subject = acquainted([bob]);
    subject.gossip(bob, alice.sign({ incarnation: 0 }), alice.record);
    subject.gossip(bob, alice.sign({ incarnation: 1 }));
    subject.gossip(bob, alice.sign({ incarnation: 2, address: "elsewhere:1" }));
    subject.gossip(bob, alice.sign({ incarnation: 3, address: "elsewhere:1", metadata: Uint8Array.of(1) }));
    subject.gossip(bob, alice.sign({ incarnation: 4, hasLeft: true }));
    expect(subject.swim.member(alice.id)).toMatchObject({ state: "left", incarnation: 4 });
    subject.gossip(bob, alice.sign({ incarnation: 5, address: "home:1" }));
    expect(subject.news().slice(1)).toEqual([
      "memberUp alice",
      "memberChanged alice",
      "memberChanged alice",
      "memberDown alice",
      "memberUp alice",
    ]);
    expect(subject.swim.member(alice.id)).toMatchObject({
      name: "alice@host:4433",
      address: "home:1",
      state: "alive",
      incarnation: 5,
    });
  });

  test("that leave are not tried again; those that are gone are, at once, after 5 s and more and more rarely", () => {
    const subject = acquainted([alice, bob], { probeIntervalMs: 1e6, confirmers: 0 });
    subject.gossip(bob, bob.accuse(alice), bob.sign({ incarnation: 1, hasLeft: true }));
    subject.pass(3_600_000);
    const dials = subject.seen.filter(({ type }) => type === "wantLink");
    expect(new Set(dials.map((dial) => ("address" in dial ? dial.address : "")))).toEqual(
      new Set(["alice.example:4433"]),
    );
    expect(dials.length).toBeGreaterThan(20);
    expect(dials.length).toBeLessThan(80);
  });

  test("a farewell is told, and then its author is done", () => {
    const subject = acquainted([alice, bob]);
    subject.swim.handle({ type: "leave" }, subject.now);
    subject.swim.handle({ type: "leave" }, subject.now);
    const sent = subject.pass(2_500);
    expect(subject.seen.filter(({ type }) => type === "farewellTold")).toHaveLength(1);
    expect(subject.swim.self).toMatchObject({ state: "left", incarnation: 1 });
    expect(
      sent.some(({ news }) => news.some(({ bytes }) => bytes.length === subject.record.bytes.length)),
    ).toBe(true);
    expect(subject.pass(60_000)).toEqual([]);
    subject.swim.handle({ type: "join", address: "alice.example:4433" }, subject.now);
    expect(subject.swim.self).toMatchObject({ state: "alive", incarnation: 2 });
  });

  test("an address or metadata of its own that changes makes a new record", () => {
    const subject = acquainted([alice]);
    subject.swim.handle({ type: "update", address: "new:1", metadata: Uint8Array.of(9) }, subject.now);
    expect(subject.swim.self).toMatchObject({ address: "new:1", metadata: Uint8Array.of(9), incarnation: 1 });
  });

  test("a node that others know from an earlier life overtakes it", () => {
    const earlier = new Person("subject");
    const subject = new Subject({}, earlier);
    subject.gossip(alice, earlier.sign({ incarnation: 41, address: "old:1" }));
    expect(subject.swim.self).toMatchObject({ incarnation: 42, address: "subject.example:4433" });
  });
});

describe("known are", () => {
  test("members, and for ten minutes those that died; not those that left, nor strangers", () => {
    const subject = acquainted([alice, bob], { probeIntervalMs: 1e7, confirmers: 0 });
    const known = () => [alice, bob, carol].map(({ id }) => subject.swim.isKnown(id, subject.now));
    const members = () => [alice, bob, carol].map(({ id }) => subject.swim.isMember(id));
    expect(known()).toEqual([true, true, false]);
    subject.gossip(bob, bob.accuse(alice), bob.sign({ incarnation: 1, hasLeft: true }));
    subject.pass(4_999);
    expect(members()).toEqual([true, false, false]);
    subject.pass(1);
    expect(members()).toEqual([false, false, false]);
    subject.pass(599_999);
    expect(known()).toEqual([true, false, false]);
    subject.pass(1);
    expect(known()).toEqual([false, false, false]);
    subject.gossip(alice, alice.sign({ incarnation: 1 }));
    expect(known()).toEqual([true, false, false]);
    expect(subject.swim.isKnown(subject.id, subject.now)).toBe(true);
  });
});

describe("exchanges", () => {
  test("whoever wants the record of this node itself gets it", () => {
    const subject = acquainted([alice]);
    subject.swim.handle({ type: "linkUp", peer: alice.id, address: "alice.example:4433" }, subject.now);
    const tell = (message: SyncMessage): void =>
      subject.swim.handle({ type: "message", from: alice.id, payload: encodeSync(message) }, subject.now);
    tell({ kind: "offer", count: 1, hash: [1, 2] });
    tell({ kind: "wants", wanted: [subject.id], disputed: [] });
    subject.drain();
    const messages = subject.seen.flatMap((output) =>
      output.type === "message" ? [decodeSync(output.payload, 100)] : [],
    );
    expect(messages.at(-1)).toEqual({ kind: "records", isLast: true, records: [subject.record.bytes] });
  });

  test("whoever says that this node is dead hears from it, with whatever it says so", () => {
    const subject = acquainted([alice, bob]);
    const refuted = subject.hear(bob, { kind: "ack", sequence: 1 }, bob.accuse(subject));
    expect(refuted.filter(({ to }) => to === bob.id).flatMap(({ news }) => news)).toContainEqual({
      kind: "record",
      bytes: subject.record.bytes,
    });
    // Also of what was refuted before: bob has not heard of it.
    const old = signAccusation(subject.id, 0, bob.id, bob.crypto);
    const [again] = subject.hear(bob, { kind: "nack", sequence: 2 }, old);
    expect(again?.news[0]).toEqual({ kind: "record", bytes: subject.record.bytes });
    expect(subject.swim.self.incarnation).toBe(1);
  });

  test("a joining node dials, offers what it knows, and lets the link go when both agree", () => {
    const subject = new Subject();
    subject.swim.handle({ type: "join", address: "alice.example:4433" }, subject.now);
    subject.drain();
    expect(subject.seen).toContainEqual({ type: "wantLink", address: "alice.example:4433" });
    subject.swim.handle({ type: "linkUp", peer: alice.id, address: "alice.example:4433" }, subject.now);
    subject.drain();
    expect(subject.seen.some((output) => output.type === "message" && output.payload[0] === 1)).toBe(true);
    subject.swim.handle(
      { type: "message", from: alice.id, payload: encodeSync({ kind: "same" }) },
      subject.now,
    );
    subject.drain();
    expect(subject.seen.at(-1)).toEqual({ type: "dropLink", peer: alice.id });
  });

  test("an exchange that does not end is given up, and its link let go", () => {
    const subject = new Subject();
    subject.swim.handle({ type: "join", address: "a:1" }, subject.now);
    subject.swim.handle({ type: "linkUp", peer: alice.id, address: "a:1" }, subject.now);
    subject.pass(10_000);
    expect(subject.seen.filter(({ type }) => type === "dropLink")).toHaveLength(1);
  });

  test("what is remembered of the last life is tried at once", () => {
    const last = acquainted([alice, bob]);
    const remembered = last.swim.remembered();
    expect(JSON.parse(JSON.stringify(remembered))).toEqual([
      { id: alice.id, name: "alice@host:4433", address: "alice.example:4433" },
      { id: bob.id, name: "bob@host:4433", address: "bob.example:4433" },
    ]);
  });
});
