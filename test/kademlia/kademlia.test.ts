import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareDistance, sharedBits } from "../../src/base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { utf8 } from "../../src/base/text.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import {
  Buckets,
  type Claim,
  decodeMessage,
  encodeMessage,
  type KademliaMessage,
  readRecord,
  signRecord,
  supersedes,
} from "../../src/kademlia/index.ts";
import { freshSeeds } from "../support/seeds.ts";
import { Network, type NetworkNode } from "./support/network.ts";

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(nodeIdFromBytes);
const values = (records: readonly { readonly value: Uint8Array }[]): string[] =>
  records.map(({ value }) => new TextDecoder().decode(value)).sort();

describe("buckets", () => {
  test("closest is what a search of all finds, for as many as are kept", () => {
    fc.assert(
      fc.property(anyId, anyId, fc.uniqueArray(anyId, { maxLength: 60 }), (self, target, ids) => {
        const buckets = new Buckets(self, 60);
        for (const id of ids) buckets.add(id);
        const expected = ids.filter((id) => id !== self).sort((a, b) => compareDistance(target, a, b));
        expect(buckets.closest(target, 20)).toEqual(expected.slice(0, 20));
        expect(buckets.closest(self, 100)).toHaveLength(expected.length);
      }),
    );
  });

  test("§2.2 of the Kademlia paper: who answers keeps its place, who is dead leaves it to the latest that waits", () => {
    const random = seededRandom(1);
    const self = nodeIdFromBytes(random.bytes(32));
    const ids: NodeId[] = [];
    while (ids.length < 50) {
      const id = nodeIdFromBytes(random.bytes(32));
      if (sharedBits(self, id) === 0) ids.push(id);
    }
    const buckets = new Buckets(self, 20);
    for (const id of ids) buckets.add(id);
    expect(ids.filter((id) => buckets.has(id))).toEqual(ids.slice(0, 20));
    const [first, second, third] = ids as [NodeId, NodeId, NodeId];
    buckets.fail(first);
    expect(buckets.has(first)).toBe(true);
    buckets.add(first);
    buckets.fail(first);
    expect(buckets.has(first)).toBe(true);
    buckets.fail(first);
    expect(buckets.has(first)).toBe(false);
    expect(buckets.has(ids[49] as NodeId)).toBe(true);
    buckets.remove(second);
    expect(buckets.has(ids[48] as NodeId)).toBe(true);
    expect(buckets.has(third)).toBe(true);
    expect(buckets.size).toBe(20);
  });
});

describe("records", () => {
  const keys = identityCrypto.generateKeyPair();
  const crypto = coreCrypto(keys.privateKey);
  const claim: Claim = {
    kind: 3,
    key: nodeIdFromBytes(new Uint8Array(32).fill(7)),
    sequence: 5,
    issuedMs: 1_700_000_000_000,
    ttlMs: 60_000,
    value: utf8("value"),
  };

  test("come back as they were signed, owned by whoever signed", () => {
    const record = signRecord(claim, keys.publicKey, crypto);
    expect(readRecord(record.bytes, crypto)).toEqual(record);
    expect(record).toMatchObject({ ...claim, owner: nodeIdFromBytes(crypto.sha256(keys.publicKey)) });
  });

  test("every changed byte is found", () => {
    const { bytes } = signRecord(claim, keys.publicKey, crypto);
    for (let index = 0; index < bytes.length; index++) {
      const changed = bytes.slice();
      changed[index] = (changed[index] as number) ^ 1;
      expect(() => readRecord(changed, crypto)).toThrow();
    }
    expect(() => readRecord(bytes.subarray(0, -1), crypto)).toThrow(/expected/);
  });

  test("a record signed with another key than it names is refused", () => {
    const other = identityCrypto.generateKeyPair();
    expect(() => signRecord(claim, other.publicKey, crypto)).toThrow(/did not sign/);
  });

  test("what is too long or lasts too long", () => {
    expect(() => signRecord({ ...claim, value: new Uint8Array(1_025) }, keys.publicKey, crypto)).toThrow(
      /1024/,
    );
    expect(() => signRecord({ ...claim, ttlMs: 86_400_001 }, keys.publicKey, crypto)).toThrow(/lasts/);
  });

  test("conflicts are settled the same way in every order", () => {
    const records = [1, 2, 2, 3].map((sequence, index) =>
      signRecord({ ...claim, sequence, value: utf8(`${index}`) }, keys.publicKey, crypto),
    );
    fc.assert(
      fc.property(fc.shuffledSubarray(records, { minLength: 1 }), (some) => {
        const best = some.reduce((a, b) => (supersedes(b, a) ? b : a));
        for (const each of some) expect(each === best || supersedes(best, each)).toBe(true);
      }),
    );
  });
});

describe("directory", () => {
  test("what one node publishes all find; the newest counts; what is withdrawn is gone", () => {
    const network = new Network(60, 1);
    const owner = network.pick();
    const key = network.point();
    expect(network.get(network.pick(), key)).toEqual([]);
    network.publish(owner, key, utf8("one"));
    expect(owner.said).toContainEqual({ type: "published", kind: 1, key, copies: 20 });
    for (let count = 0; count < 10; count++)
      expect(values(network.get(network.pick(), key))).toEqual(["one"]);
    network.publish(owner, key, utf8("two"));
    for (let count = 0; count < 10; count++)
      expect(values(network.get(network.pick(), key))).toEqual(["two"]);
    network.tell(owner, { type: "withdraw", kind: 1, key });
    network.run(5_000);
    for (let count = 0; count < 10; count++) expect(network.get(network.pick(), key)).toEqual([]);
  });

  test("what is published again right after it was withdrawn is there", () => {
    const network = new Network(30, 1);
    const owner = network.pick();
    const key = network.point();
    const publish = { type: "publish", kind: 1, key, value: utf8("again"), ttlMs: 3_600_000 } as const;
    // Within a millisecond: the clock alone would put the last before the withdrawal.
    for (const input of [publish, { type: "withdraw", kind: 1, key } as const, publish])
      network.tell(owner, input);
    network.run(20_000);
    for (let count = 0; count < 10; count++)
      expect(values(network.get(network.pick(), key))).toEqual(["again"]);
  });

  test("a lookup that wants more holders asks more nodes", () => {
    const network = new Network(150, 6);
    const key = network.point();
    network.publish(network.pick(), key, utf8("x"));
    const node = network.pick();
    for (const [token, holders] of [3, 8, Infinity].entries()) {
      network.tell(node, { type: "get", token, key, holders });
      network.run(20_000);
    }
    const queries = node.said
      .map((each) => (each.type === "found" ? each.queries : 0))
      .filter((count) => count > 0);
    expect(queries).toHaveLength(3);
    const [few, more, all] = queries as [number, number, number];
    expect(few).toBeLessThan(8);
    expect(more).toBeGreaterThanOrEqual(7);
    expect(all).toBeGreaterThanOrEqual(19);
  });

  test("as many records as one owner may have find room in a small mesh", () => {
    const network = new Network(5, 7);
    const owner = network.pick();
    const keys = Array.from({ length: 4_096 }, () => network.point());
    for (const [index, key] of keys.entries()) {
      network.tell(owner, { type: "publish", kind: 1, key, value: utf8("x"), ttlMs: 3_600_000 });
      // No more at a time than wait for their turn.
      if (index % 1_000 === 999) network.run(5_000);
    }
    network.run(20_000);
    expect(network.nodes.map(({ kademlia }) => kademlia.sizes.records)).toEqual(
      network.nodes.map(() => 4_096),
    );
  });

  test("many owners under one key, more than a message holds", () => {
    const network = new Network(150, 2);
    const key = network.point();
    for (const [index, node] of network.nodes.entries()) {
      network.tell(node, { type: "publish", kind: 1, key, value: utf8(`${index}`), ttlMs: 3_600_000 });
    }
    network.run(30_000);
    expect(network.get(network.pick(), key)).toHaveLength(150);
  });

  test("records end when their owner does, and not before", () => {
    const network = new Network(40, 3, { clockSkewMs: 0, republishMs: 100_000 });
    const owner = network.pick();
    const key = network.point();
    network.publish(owner, key, utf8("here"), 1, 300_000);
    network.run(1_000_000);
    const reader = network.nodes.find((node) => node !== owner) as NetworkNode;
    expect(values(network.get(reader, key))).toEqual(["here"]);
    owner.alive = false;
    network.run(310_000);
    expect(network.get(reader, key)).toEqual([]);
    expect(network.nodes.filter(({ alive }) => alive).map(({ kademlia }) => kademlia.sizes.records)).toEqual(
      Array.from({ length: 39 }, () => 0),
    );
  });

  test("after a partition in which both halves had news, all find the same", () => {
    for (const seed of [4, ...freshSeeds(2)]) {
      const network = new Network(60, seed);
      const key = network.point();
      const [left, right] = [network.nodes[0] as NetworkNode, network.nodes[1] as NetworkNode];
      for (const [index, node] of network.nodes.entries()) node.group = index % 2;
      network.publish(left, key, utf8("left"), 2);
      network.publish(right, key, utf8("right"), 2);
      for (const node of network.nodes) node.group = 0;
      network.run(600_000);
      for (const node of network.nodes) expect(values(network.get(node, key))).toEqual(["left", "right"]);
    }
  });

  test("99.9 % of lookups find a record when 20 % of the nodes have crashed since it was stored", () => {
    for (const seed of [5, ...freshSeeds(1)]) {
      const network = new Network(300, seed);
      const keys = Array.from({ length: 50 }, () => network.point());
      for (const key of keys)
        network.tell(network.pick(), { type: "publish", kind: 1, key, value: utf8("v"), ttlMs: 3_600_000 });
      network.run(20_000);
      for (const node of network.nodes) if (network.random.integer(5) === 0) node.alive = false;
      let missed = 0;
      for (let count = 0; count < 1_000; count++) {
        const found = network.get(network.pick(), keys[count % keys.length] as NodeId);
        if (found.length === 0) missed++;
      }
      expect(missed, `seed ${seed}`).toBeLessThanOrEqual(1);
    }
  });
});

describe("hostile nodes", () => {
  /** A network of which one node says what the test wants. */
  function withLiar(): {
    network: Network;
    liar: NetworkNode;
    victim: NetworkNode;
    send: (message: KademliaMessage) => void;
  } {
    const network = new Network(30, 9, {
      recordsPerPeerMax: 50,
      recordsPerOwnerMax: 30,
      recordsPerKeyMax: 40,
      recordsMax: 100,
    });
    const [liar, victim] = [network.nodes[0] as NetworkNode, network.nodes[1] as NetworkNode];
    const send = (message: KademliaMessage): void => {
      const payload = encodeMessage(message);
      network.tell(victim, { type: "message", from: liar.id, via: liar.id, payload });
    };
    return { network, liar, victim, send };
  }
  const claimOf = (network: Network, kind = 1): Claim => ({
    kind,
    key: network.point(),
    sequence: 1,
    issuedMs: 1_700_000_000_000,
    ttlMs: 3_600_000,
    value: utf8("x"),
  });

  test("stores beyond the quotas of owner, peer and key are refused and counted", () => {
    const { network, liar, victim, send } = withLiar();
    const store = (owner: NetworkNode, claim: Claim): void => {
      const { bytes } = signRecord(claim, owner.publicKey, owner.crypto);
      send({ type: "store", id: 1, keepMs: 3_600_000, records: [bytes] });
    };
    for (let count = 0; count < 100; count++) store(liar, claimOf(network));
    expect(victim.kademlia.sizes.records).toBe(30);
    for (const owner of network.nodes) for (let count = 0; count < 5; count++) store(owner, claimOf(network));
    expect(victim.kademlia.sizes.records).toBe(50);
    expect(victim.kademlia.counters.full).toBe(70 + 150 - 20);
  });

  test("records that are forged, of strangers, expired, from the future or garbage are counted and ignored", () => {
    const { network, victim, send } = withLiar();
    const honest = network.nodes[2] as NetworkNode;
    const stranger = new Network(1, 99).nodes[0] as NetworkNode;
    const sign = (claim: Claim, by = honest): Uint8Array =>
      signRecord(claim, by.publicKey, by.crypto).bytes.slice();
    const forged = sign(claimOf(network));
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    const records = [
      forged,
      sign(claimOf(network), stranger),
      sign({ ...claimOf(network), issuedMs: 1_700_000_000_000 - 4_000_000 }),
      sign({ ...claimOf(network), issuedMs: 1_700_000_000_000 + 4_000_000 }),
      new Uint8Array(20),
    ];
    send({ type: "store", id: 1, keepMs: 3_600_000, records });
    expect(victim.kademlia.sizes.records).toBe(0);
    expect(victim.kademlia.counters).toMatchObject({ forged: 1, strangers: 1, expired: 2, malformed: 1 });
  });

  test("a lookup whose questions are answered with made-up nodes ends, and finds the real ones", () => {
    const { network, liar, victim } = withLiar();
    // So that the liar is asked first.
    const key = liar.id;
    const random = seededRandom(3);
    network.intercept = (node, input) => {
      if (node !== liar || input.type !== "message") return undefined;
      const question = decodeMessage(input.payload);
      if (question.type !== "find" && question.type !== "get") return undefined;
      const nodes = Array.from({ length: 20 }, () => nodeIdFromBytes(random.bytes(32)));
      return { to: input.from, payload: encodeMessage({ type: "nodes", id: question.id, nodes }) };
    };
    network.tell(victim, { type: "find", token: 1, target: key });
    network.run(60_000);
    const expected = network.nodes
      .filter((node) => node !== victim)
      .map(({ id }) => id)
      .sort((a, b) => compareDistance(key, a, b));
    const said = victim.said.at(-1);
    expect(said).toMatchObject({ type: "nodes", token: 1 });
    expect(said?.type === "nodes" && said.ids).toEqual(expected.slice(0, 20));
    expect(victim.kademlia.counters.strangers).toBe(20);
  });

  test("one that says that there is more for ever is not asked for ever", () => {
    const { network, liar, victim } = withLiar();
    const key = liar.id;
    const { bytes } = signRecord({ ...claimOf(network), key }, liar.publicKey, liar.crypto);
    let asked = 0;
    network.intercept = (node, input) => {
      if (node !== liar || input.type !== "message") return undefined;
      const question = decodeMessage(input.payload);
      if (question.type !== "get") return undefined;
      asked++;
      const answer: KademliaMessage = {
        type: "records",
        id: question.id,
        records: [bytes],
        more: true,
        nodes: [],
      };
      return { to: input.from, payload: encodeMessage(answer) };
    };
    expect(values(network.get(victim, key))).toEqual(["x"]);
    expect(asked).toBeLessThanOrEqual(2);
  });

  test("answers to no question, by somebody else, with too many nodes, and garbage are counted and ignored", () => {
    const { victim, send, network, liar } = withLiar();
    send({ type: "nodes", id: 77, nodes: [] });
    expect(victim.kademlia.counters.unasked).toBe(1);
    const nodes = Array.from({ length: 21 }, () => network.point() as NodeId);
    send({ type: "nodes", id: 77, nodes });
    expect(victim.kademlia.counters.malformed).toBe(1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (payload) => {
        const before = victim.kademlia.counters.malformed;
        network.tell(victim, { type: "message", from: liar.id, via: liar.id, payload });
        expect(victim.kademlia.counters.malformed).toBe(before + 1);
      }),
    );
  });

  test("more lookups than the bound wait, and then are refused", () => {
    const network = new Network(30, 4, { lookupsMax: 2 });
    const node = network.pick();
    for (let token = 0; token < 30; token++)
      network.tell(node, { type: "find", token, target: network.point() });
    expect(node.kademlia.sizes.lookups).toBe(2);
    expect(node.said.filter(({ type }) => type === "refused")).toHaveLength(8);
    network.run(60_000);
    expect(node.said.filter(({ type }) => type === "nodes")).toHaveLength(22);
    expect(node.kademlia.sizes.lookups).toBe(0);
  });
});
