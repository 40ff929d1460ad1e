import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import { comparePoints } from "../../src/base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { utf8 } from "../../src/base/text.ts";
import { at } from "../../src/base/time.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import {
  type Claim,
  compareClaims,
  encodeClaim,
  type NameRecord,
  Names,
  type NamesInput,
  type NamesOptions,
  type NamesOutput,
  nameKey,
  readClaim,
  resolveNamesOptions,
} from "../../src/names/index.ts";

const crypto = coreCrypto(identityCrypto.generateKeyPair().privateKey);
const idOf = (byte: number): NodeId => nodeIdFromBytes(new Uint8Array(32).fill(byte));
const self = idOf(5);
const [smaller, bob, carol] = [idOf(1), idOf(6), idOf(7)];
const startMs = 1_700_000_000_000;

describe("claims", () => {
  test("come back as they were made", () => {
    const claim = { life: 0xffff_ffff, registeredMs: startMs, value: utf8("value") };
    const record = { kind: 1, owner: bob, value: encodeClaim(claim) };
    expect(readClaim(record)).toEqual({ ...claim, owner: bob });
    expect(readClaim({ ...record, kind: 2 })).toBeUndefined();
  });

  test("any bytes are a claim or none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (value) => {
        try {
          expect(readClaim({ kind: 1, owner: bob, value })?.value.length).toBe(value.length - 12);
        } catch (error) {
          expect(error).toMatchObject({ code: "DECODE" });
        }
      }),
    );
  });

  test("the key of a name is SHA-256 over a prefix and its UTF-8", () => {
    const expected = crypto.sha256(utf8("macula/1.0 global name\0Zürich"));
    expect(nameKey("Zürich", crypto)).toBe(nodeIdFromBytes(expected));
  });

  test.each(["", "x".repeat(256), "ü".repeat(128), "\ud800"])("%j is no global name", (name) => {
    expect(() => nameKey(name, crypto)).toThrow(/1 to 255 bytes/);
  });

  test("the longest name and value there may be", () => {
    expect(nameKey("ü".repeat(127), crypto)).toHaveLength(52);
    const claim = { life: 0, registeredMs: 0, value: new Uint8Array(512) };
    expect(encodeClaim(claim)).toHaveLength(524);
    expect(() => encodeClaim({ ...claim, value: new Uint8Array(513) })).toThrow(/512/);
  });

  test("of several the oldest counts, then the smaller node id's, in whatever order they are seen", () => {
    const claims: Claim[] = [
      [9, smaller],
      [8, carol],
      [8, bob],
      [8, self],
    ].map(([registeredMs, owner]) => ({
      registeredMs: registeredMs as number,
      owner: owner as NodeId,
      life: 1,
      value: new Uint8Array(),
    }));
    fc.assert(
      fc.property(fc.shuffledSubarray(claims, { minLength: 4 }), (shuffled) => {
        const order = shuffled.sort(compareClaims).map(({ owner }) => owner);
        expect(order).toEqual([self, bob, carol, smaller]);
      }),
    );
    expect(comparePoints(self, bob)).toBeLessThan(0);
  });
});

/** The machine and what it says; the test is the directory. */
class Subject {
  readonly living = new Map<NodeId, number>([
    [smaller, 1],
    [bob, 1],
    [carol, 1],
  ]);
  readonly names: Names;
  now = 0;

  constructor(options: NamesOptions = {}) {
    this.names = new Names(
      {
        self,
        life: 9,
        crypto,
        random: seededRandom(1),
        wallClock: (now) => startMs + now,
        lifeOf: (id) => this.living.get(id),
      },
      resolveNamesOptions(options),
    );
  }

  tell(input: NamesInput): NamesOutput[] {
    this.names.handle(input, at(this.now));
    return this.drain();
  }

  /** Lets time pass, tick by tick. */
  pass(ms: number): NamesOutput[] {
    const end = this.now + ms;
    const said: NamesOutput[] = [];
    for (let due = this.names.deadline(); due !== undefined && due <= end; due = this.names.deadline()) {
      this.now = Math.max(this.now, due);
      said.push(...this.tell({ type: "tick" }));
    }
    this.now = end;
    return said;
  }

  /** Registers a name that nobody else wants; returns our record. */
  hold(name: string, value = utf8("ours")): NameRecord {
    const looked = tokenOf(this.tell({ type: "register", token: 1_000, name, value }));
    const published = this.tell({ type: "found", token: looked, records: [] })[0];
    if (published?.type !== "publish") throw new Error("not published");
    this.tell({ type: "published", kind: published.kind, key: published.key });
    const record = { kind: published.kind, owner: self, value: published.value };
    const read = tokenOf(this.pass(250));
    expect(this.tell({ type: "found", token: read, records: [record] })).toEqual([
      { type: "registered", token: 1_000 },
    ]);
    return record;
  }

  drain(): NamesOutput[] {
    const said: NamesOutput[] = [];
    for (let output = this.names.poll(); output !== undefined; output = this.names.poll()) said.push(output);
    return said;
  }
}

function tokenOf(said: readonly NamesOutput[]): number {
  const get = said[0];
  if (said.length !== 1 || get?.type !== "get") throw new Error(`not one get: ${JSON.stringify(said)}`);
  return get.token;
}

function recordOf(owner: NodeId, registeredMs: number, text = "theirs", life = 1): NameRecord {
  return { kind: 1, owner, value: encodeClaim({ life, registeredMs, value: utf8(text) }) };
}

const register = (name: string, token = 1): NamesInput => {
  return { type: "register", token, name, value: utf8("ours") };
};
const key = nameKey("db", crypto);

describe("registration", () => {
  test("looks, publishes, waits, looks again", () => {
    const subject = new Subject();
    const [looked] = subject.tell(register("db"));
    expect(looked).toEqual({ type: "get", token: 1, key, holders: Infinity });
    subject.now = 40;
    const value = encodeClaim({ life: 9, registeredMs: startMs + 40, value: utf8("ours") });
    expect(subject.tell({ type: "found", token: 1, records: [] })).toEqual([
      { type: "publish", kind: 1, key, value, ttlMs: 600_000 },
    ]);
    expect(subject.tell({ type: "published", kind: 1, key })).toEqual([]);
    expect(subject.pass(249)).toEqual([]);
    const read = tokenOf(subject.pass(1));
    const records = [{ kind: 1, owner: self, value }];
    expect(subject.names.names()).toEqual([]);
    expect(subject.tell({ type: "found", token: read, records })).toEqual([{ type: "registered", token: 1 }]);
    expect(subject.names.names()).toEqual(["db"]);
  });

  test("of a name that a living member has, or that is ours already, is refused", () => {
    const subject = new Subject();
    const token = tokenOf(subject.tell(register("db")));
    const records = [recordOf(carol, startMs - 2), recordOf(bob, startMs - 1)];
    expect(subject.tell({ type: "found", token, records })).toEqual([{ type: "taken", token: 1, by: carol }]);
    subject.hold("db");
    expect(subject.tell(register("db", 2))).toEqual([{ type: "taken", token: 2, by: self }]);
  });

  test.each([
    ["of a member that is dead", recordOf(idOf(99), 1)],
    ["of a former life of a member", recordOf(bob, 1, "theirs", 2)],
    ["of our own former life", recordOf(self, 1, "theirs", 8)],
    ["of another kind", { ...recordOf(bob, 1), kind: 2 }],
    ["that cannot be read", { kind: 1, owner: bob, value: Uint8Array.of(1, 2, 3) }],
  ])("a record %s does not count", (_, record) => {
    const subject = new Subject();
    const token = tokenOf(subject.tell(register("db")));
    expect(subject.tell({ type: "found", token, records: [record] })).toMatchObject([{ type: "publish" }]);
    expect(subject.names.counters.malformed).toBe(record.value.length === 3 ? 1 : 0);
  });

  test.each([
    ["older", recordOf(carol, startMs - 1), "taken"],
    ["as old and of a smaller node", recordOf(smaller, startMs), "taken"],
    ["as old and of a greater node", recordOf(bob, startMs), "registered"],
    ["younger", recordOf(smaller, startMs + 1), "registered"],
  ])("a claim made at the same time that is %s", (_, record, expected) => {
    const subject = new Subject();
    const looked = tokenOf(subject.tell(register("db")));
    const [published] = subject.tell({ type: "found", token: looked, records: [] });
    subject.tell({ type: "published", kind: 1, key });
    const read = tokenOf(subject.pass(250));
    const ours = { kind: 1, owner: self, value: (published as { value: Uint8Array }).value };
    const said = subject.tell({ type: "found", token: read, records: [record, ours] });
    expect(said).toEqual(
      expected === "registered"
        ? [{ type: "registered", token: 1 }]
        : [
            { type: "withdraw", kind: 1, key },
            { type: "taken", token: 1, by: record.owner },
          ],
    );
  });

  test("fails when the directory does not answer, at each step, and nothing stays published", () => {
    const failed = { type: "failed", token: 1, error: expect.objectContaining({ code: "TIMEOUT" }) };
    const withdrawn = { type: "withdraw", kind: 1, key };
    for (let steps = 0; steps < 3; steps++) {
      const subject = new Subject();
      const looked = tokenOf(subject.tell(register("db")));
      if (steps > 0) subject.tell({ type: "found", token: looked, records: [] });
      if (steps > 1) {
        subject.tell({ type: "published", kind: 1, key });
        subject.pass(250);
      }
      expect(subject.pass(4_999)).toEqual([]);
      expect(subject.pass(1)).toEqual(steps === 0 ? [failed] : [withdrawn, failed]);
      expect(subject.names.deadline()).toBeUndefined();
      subject.hold("db");
    }
  });

  test("fails when the directory has too much to do", () => {
    const error = new MeshError("LIMIT", "too much");
    const subject = new Subject();
    const get = subject.tell(register("db"))[0];
    if (get?.type !== "get") throw new Error("not asked");
    expect(subject.tell({ type: "refused", input: get, error })).toEqual([
      { type: "failed", token: 1, error },
    ]);
    const looked = tokenOf(subject.tell(register("db", 2)));
    const publish = subject.tell({ type: "found", token: looked, records: [] })[0];
    if (publish?.type !== "publish") throw new Error("not published");
    expect(subject.tell({ type: "refused", input: publish, error })).toEqual([
      { type: "withdraw", kind: 1, key },
      { type: "failed", token: 2, error },
    ]);
    // That the withdrawal was refused, too, changes nothing.
    expect(subject.tell({ type: "refused", input: { type: "withdraw", kind: 1, key }, error })).toEqual([]);
    subject.hold("db");
    // Storing it again is tried again by the directory itself.
    expect(subject.tell({ type: "refused", input: publish, error })).toEqual([]);
    expect(subject.names.names()).toEqual(["db"]);
  });

  test("fails when nobody kept what was published", () => {
    const subject = new Subject();
    const looked = tokenOf(subject.tell(register("db")));
    subject.tell({ type: "found", token: looked, records: [] });
    subject.tell({ type: "published", kind: 1, key });
    const read = tokenOf(subject.pass(250));
    expect(subject.tell({ type: "found", token: read, records: [] })).toEqual([
      { type: "withdraw", kind: 1, key },
      { type: "failed", token: 1, error: expect.objectContaining({ code: "LIMIT" }) },
    ]);
  });

  test("unregistered before it was registered, it ends", () => {
    const subject = new Subject();
    const looked = tokenOf(subject.tell(register("db")));
    const closed = { type: "failed", token: 1, error: expect.objectContaining({ code: "CLOSED" }) };
    expect(subject.tell({ type: "unregister", name: "db" })).toEqual([closed]);
    expect(subject.tell({ type: "found", token: looked, records: [] })).toEqual([]);
    const again = tokenOf(subject.tell(register("db")));
    subject.tell({ type: "found", token: again, records: [] });
    expect(subject.tell({ type: "unregister", name: "db" })).toEqual([
      { type: "withdraw", kind: 1, key },
      closed,
    ]);
    expect(subject.tell({ type: "published", kind: 1, key })).toEqual([]);
    expect(subject.names.deadline()).toBeUndefined();
  });

  test("what is too long or too much fails and asks nobody", () => {
    const limit = { type: "failed", token: 1, error: expect.objectContaining({ code: "LIMIT" }) };
    const subject = new Subject({ ownNamesMax: 2, pendingMax: 3 });
    expect(subject.tell(register(""))).toEqual([limit]);
    const value = new Uint8Array(513);
    expect(subject.tell({ type: "register", token: 1, name: "db", value })).toEqual([limit]);
    subject.hold("one");
    subject.tell(register("two", 2));
    expect(subject.tell(register("three"))).toEqual([limit]);
    subject.tell({ type: "whereis", token: 3, name: "three" });
    subject.tell({ type: "whereis", token: 4, name: "three" });
    expect(subject.tell({ type: "whereis", token: 1, name: "three" })).toEqual([limit]);
    expect(subject.tell({ type: "whereis", token: 1, name: "" })).toEqual([limit]);
    expect(subject.tell({ type: "unregister", name: "" })).toEqual([]);
    // Each answer makes room.
    expect(subject.pass(5_000).filter(({ type }) => type === "failed")).toHaveLength(3);
    expect(subject.tell(register("two"))).toMatchObject([{ type: "get" }]);
  });
});

describe("look-ups", () => {
  const whereis = (token: number): NamesInput => ({ type: "whereis", token, name: "db" });
  const theirs = { owner: bob, value: utf8("theirs") };

  test("answer with the oldest claim of a living member; questions at the same time are one", () => {
    const subject = new Subject();
    expect(subject.tell(whereis(1))).toEqual([{ type: "get", token: 1, key, holders: 8 }]);
    expect(subject.tell(whereis(2))).toEqual([]);
    const records = [recordOf(idOf(99), 1), recordOf(carol, startMs, "carol's"), recordOf(bob, startMs)];
    expect(subject.tell({ type: "found", token: 1, records })).toEqual([
      { type: "resolved", token: 1, holder: theirs },
      { type: "resolved", token: 2, holder: theirs },
    ]);
    expect(subject.names.deadline()).toBeUndefined();
  });

  test("are remembered for five seconds, while the owner lives", () => {
    const subject = new Subject();
    const ask = (): void => {
      const token = tokenOf(subject.tell(whereis(1)));
      subject.tell({ type: "found", token, records: [recordOf(bob, startMs)] });
    };
    ask();
    subject.now += 4_999;
    expect(subject.tell(whereis(2))).toEqual([{ type: "resolved", token: 2, holder: theirs }]);
    subject.now += 1;
    ask();
    subject.living.delete(bob);
    expect(subject.tell(whereis(3))).toMatchObject([{ type: "get" }]);
    // Back, but in another life.
    subject.living.set(bob, 2);
    expect(subject.tell({ type: "found", token: 3, records: [recordOf(bob, startMs)] })).toEqual([
      { type: "resolved", token: 3, holder: undefined },
    ]);
  });

  test("that find nothing are not remembered", () => {
    const subject = new Subject();
    const token = tokenOf(subject.tell(whereis(1)));
    expect(subject.tell({ type: "found", token, records: [] })).toEqual([
      { type: "resolved", token: 1, holder: undefined },
    ]);
    expect(subject.tell(whereis(2))).toMatchObject([{ type: "get" }]);
  });

  test("of as many names as the cache holds are remembered, the oldest are not", () => {
    const subject = new Subject({ cacheMax: 2 });
    for (const name of ["one", "two", "three"]) {
      const token = tokenOf(subject.tell({ type: "whereis", token: 1, name }));
      subject.tell({ type: "found", token, records: [recordOf(bob, startMs)] });
    }
    const said = ["two", "three", "one"].map((name) => subject.tell({ type: "whereis", token: 1, name })[0]);
    expect(said.map((output) => output?.type)).toEqual(["resolved", "resolved", "get"]);
  });

  test("of a name that is ours need no directory", () => {
    const subject = new Subject();
    subject.hold("db");
    expect(subject.tell(whereis(1))).toEqual([
      { type: "resolved", token: 1, holder: { owner: self, value: utf8("ours") } },
    ]);
    expect(subject.tell({ type: "unregister", name: "db" })).toEqual([{ type: "withdraw", kind: 1, key }]);
    // What we gave up does not count, though the directory may have it still.
    const token = tokenOf(subject.tell(whereis(2)));
    const records = [recordOf(self, 1, "ours", 9)];
    expect(subject.tell({ type: "found", token, records })).toEqual([
      { type: "resolved", token: 2, holder: undefined },
    ]);
  });

  test("fail when the directory does not answer, all who asked; a late answer is nobody's", () => {
    const subject = new Subject();
    subject.tell(whereis(1));
    subject.tell(whereis(2));
    const error = expect.objectContaining({ code: "TIMEOUT" });
    expect(subject.pass(5_000)).toEqual([
      { type: "failed", token: 1, error },
      { type: "failed", token: 2, error },
    ]);
    expect(subject.tell({ type: "found", token: 1, records: [recordOf(bob, 1)] })).toEqual([]);
    expect(subject.tell(whereis(3))).toMatchObject([{ type: "get" }]);
  });
});

describe("checks of what is ours", () => {
  /** Answers each check with what the directory has; returns when they were made. */
  function checks(subject: Subject, forMs: number, records: readonly NameRecord[]): number[] {
    const end = subject.now + forMs;
    const times: number[] = [];
    while (subject.now < end) {
      for (const output of subject.pass(1)) {
        if (output.type !== "get") continue;
        times.push(subject.now);
        expect(subject.tell({ type: "found", token: output.token, records })).toEqual([]);
      }
    }
    return times;
  }

  test("come soon after registration, then every minute", () => {
    const subject = new Subject();
    const record = subject.hold("db");
    const start = subject.now;
    const times = checks(subject, 200_000, [record]);
    expect(times.length).toBeGreaterThanOrEqual(3);
    expect((times[0] as number) - start).toBeLessThanOrEqual(4_000);
    for (const [index, time] of times.entries()) {
      if (index === 0) continue;
      const gap = time - (times[index - 1] as number);
      expect(gap).toBeGreaterThanOrEqual(45_000);
      expect(gap).toBeLessThanOrEqual(75_001);
    }
  });

  test("come soon after members do, at most every ten seconds however many come", () => {
    const subject = new Subject();
    const record = subject.hold("db");
    checks(subject, 5_000, [record]);
    subject.tell({ type: "memberUp", id: bob });
    expect(checks(subject, 5_001, [record])).toHaveLength(1);
    const times: number[] = [];
    for (let count = 0; count < 300; count++) {
      subject.tell({ type: "memberUp", id: bob });
      times.push(...checks(subject, 100, [record]));
    }
    expect(times.length).toBeGreaterThanOrEqual(2);
    expect(times.length).toBeLessThanOrEqual(4);
  });

  test("are so many at a time and no more", () => {
    const subject = new Subject({ checksMax: 3, checkSoonMs: 60_000, timeoutMs: 1_000_000 });
    const records = Array.from({ length: 10 }, (_, index) => subject.hold(`name ${index}`));
    const asked = subject.pass(60_000).filter(({ type }) => type === "get");
    expect(asked).toHaveLength(3);
    const seen = new Set<string>();
    for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
      if (next.type !== "get") continue;
      seen.add(next.key);
      subject.tell({ type: "found", token: next.token, records });
      asked.push(...subject.pass(1).filter(({ type }) => type === "get"));
      expect(asked.length).toBeLessThanOrEqual(3);
    }
    expect(seen.size).toBe(10);
  });

  test("find that an older claim won: withdrawn and told, once", () => {
    const subject = new Subject();
    const record = subject.hold("db");
    const token = tokenOf(subject.pass(4_000));
    const said = subject.tell({ type: "found", token, records: [record, recordOf(carol, startMs - 1)] });
    expect(said).toEqual([
      { type: "withdraw", kind: 1, key },
      { type: "conflict", name: "db", lostTo: carol },
    ]);
    expect(subject.names.names()).toEqual([]);
    expect(subject.names.counters.conflicts).toBe(1);
    expect(subject.names.deadline()).toBeUndefined();
  });

  test("find a younger claim, or one of the dead: nothing", () => {
    const subject = new Subject();
    const record = subject.hold("db");
    const token = tokenOf(subject.pass(4_000));
    const records = [record, recordOf(smaller, startMs + 1), recordOf(idOf(99), 1)];
    expect(subject.tell({ type: "found", token, records })).toEqual([]);
    expect(subject.names.names()).toEqual(["db"]);
  });

  test.each([
    ["nothing", []],
    ["what we said in a former life", [recordOf(self, 1, "ours", 8)]],
  ])("find %s: it is published again as it was", (_, records) => {
    const subject = new Subject();
    const { value } = subject.hold("db");
    const token = tokenOf(subject.pass(4_000));
    expect(subject.tell({ type: "found", token, records })).toEqual([
      { type: "publish", kind: 1, key, value, ttlMs: 600_000 },
    ]);
    expect(subject.names.counters.republished).toBe(1);
    expect(subject.tell({ type: "published", kind: 1, key })).toEqual([]);
  });

  test("that get no answer are made again soon", () => {
    const subject = new Subject();
    subject.hold("db");
    tokenOf(subject.pass(4_000));
    tokenOf(subject.pass(9_000));
    expect(subject.names.names()).toEqual(["db"]);
  });
});

test.each([{ ownNamesMax: 0 }, { timeoutMs: Number.NaN }, { cacheMs: -1 }])("%j is refused", (options) => {
  expect(() => resolveNamesOptions(options)).toThrow(/at least/);
});
