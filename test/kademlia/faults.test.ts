import { describe, expect, test } from "vitest";
import { compareDistance } from "../../src/base/id-space.ts";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { utf8 } from "../../src/base/text.ts";
import {
  Buckets,
  decodeMessage,
  encodeMessage,
  type KademliaMessage,
  signRecord,
} from "../../src/kademlia/index.ts";
import { Network, type NetworkNode } from "./support/network.ts";

const texts = (records: readonly { readonly value: Uint8Array }[]): string[] =>
  records.map(({ value }) => new TextDecoder().decode(value)).sort();

describe("a node that is cut off for a while, and not missed", () => {
  test("§4.1: keeps the nodes that did not answer, as long as there are none to take their places", () => {
    const random = seededRandom(1);
    const buckets = new Buckets(nodeIdFromBytes(random.bytes(32)), 2);
    const ids = Array.from({ length: 50 }, () => nodeIdFromBytes(random.bytes(32)));
    for (const id of ids) buckets.add(id);
    const { size } = buckets;
    for (let round = 0; round < 10; round++) for (const id of ids) buckets.fail(id);
    expect(buckets.size).toBe(size);
  });

  test("finds its way again when it is back, though nobody tells it of members anew", () => {
    const network = new Network(25, 1);
    const [node, owner] = network.nodes as [NetworkNode, NetworkNode];
    // Not one of those that keep it.
    const ids = network.nodes.map(({ id }) => id);
    const keepers = (point: string) => ids.toSorted((a, b) => compareDistance(point, a, b)).slice(0, 21);
    let key = network.point();
    while (keepers(key).includes(node.id)) key = network.point();
    network.publish(owner, key, utf8("here"));
    node.group = 1;
    for (let token = 1_000; token < 1_200; token++)
      network.tell(node, { type: "find", token, target: network.point() });
    network.run(600_000);
    node.group = 0;
    expect(texts(network.get(node, key))).toEqual(["here"]);
  });
});

describe("more records than lookups at a time", () => {
  test("are all published, and withdrawn, in the end", () => {
    const network = new Network(30, 2, { lookupsMax: 2 });
    const [node, reader] = network.nodes as [NetworkNode, NetworkNode];
    const keys = Array.from({ length: 100 }, () => network.point());
    for (const key of keys)
      network.tell(node, { type: "publish", kind: 1, key, value: utf8("v"), ttlMs: 3_600_000 });
    network.run(120_000);
    expect(node.said.filter(({ type }) => type === "refused")).toEqual([]);
    for (const key of keys) expect(texts(network.get(reader, key))).toEqual(["v"]);
    for (const key of keys) network.tell(node, { type: "withdraw", kind: 1, key });
    network.run(120_000);
    expect(node.said.filter(({ type }) => type === "refused")).toEqual([]);
    for (const key of keys) expect(network.get(reader, key)).toEqual([]);
  });

  test("that nobody can be asked about end one after the other, however many wait", () => {
    const network = new Network(2, 3, { lookupsMax: 1_000 });
    const [node, other] = network.nodes as [NetworkNode, NetworkNode];
    other.group = 1;
    for (let token = 0; token < 11_000; token++)
      network.tell(node, { type: "find", token, target: network.point() });
    network.tell(node, { type: "memberDown", id: other.id });
    network.run(10_000);
    expect(node.said.filter(({ type }) => type === "nodes")).toHaveLength(11_000);
  });
});

describe("a wall clock that steps back", () => {
  test("by an hour does not hide what its node says in its next life", () => {
    const network = new Network(40, 4);
    const [owner, reader] = network.nodes as [NetworkNode, NetworkNode];
    const key = network.point();
    owner.clockMs = 50_000;
    network.publish(owner, key, utf8("before"));
    owner.clockMs = -30_000;
    network.restart(owner);
    network.publish(owner, key, utf8("after"));
    expect(texts(network.get(reader, key))).toEqual(["after"]);
    network.tell(owner, { type: "withdraw", kind: 1, key });
    network.run(20_000);
    expect(network.get(reader, key)).toEqual([]);
  });

  test("does not keep a node from saying the same for longer", () => {
    const network = new Network(40, 5, { republishMs: 20_000, clockSkewMs: 60_000 });
    const [owner, reader] = network.nodes as [NetworkNode, NetworkNode];
    const key = network.point();
    owner.clockMs = 55_000;
    network.publish(owner, key, utf8("here"), 1, 60_000);
    owner.clockMs = -55_000;
    for (let count = 0; count < 30; count++) {
      network.run(10_000);
      expect(texts(network.get(reader, key)), `after ${count} times 10 s`).toEqual(["here"]);
    }
  });

  test("and whoever says that there is a newer record has to show it, signed by its owner", () => {
    const network = new Network(30, 6);
    const [owner, liar] = network.nodes as [NetworkNode, NetworkNode];
    const key = liar.id;
    const { bytes } = signRecord(
      {
        kind: 1,
        key,
        sequence: Number.MAX_SAFE_INTEGER - 2,
        issuedMs: 1_700_000_000_000,
        ttlMs: 60_000,
        value: utf8("x"),
      },
      liar.publicKey,
      liar.crypto,
    );
    network.intercept = (node, input) => {
      if (node !== liar || input.type !== "message") return undefined;
      const message = decodeMessage(input.payload);
      if (message.type !== "store") return undefined;
      const answer: KademliaMessage = {
        type: "records",
        id: message.id,
        records: [bytes],
        more: false,
        nodes: [],
      };
      return { to: input.from, payload: encodeMessage(answer) };
    };
    network.publish(owner, key, utf8("mine"));
    expect(owner.said.filter(({ type }) => type === "published")).toHaveLength(1);
    const found = network.get(network.nodes[3] as NetworkNode, key);
    expect(found.find((record) => record.owner === owner.id)?.sequence).toBeLessThan(2_000_000_000_000);
  });
});

describe("a node that answers slowly", () => {
  test("with one more record each time does not hold a lookup up for longer than it may last", () => {
    const network = new Network(30, 7, { lookupTimeoutMs: 30_000 });
    const [victim, liar] = network.nodes as [NetworkNode, NetworkNode];
    const key = liar.id;
    const pages = Array.from({ length: 200 }, (_, kind) => {
      const claim = {
        kind,
        key,
        sequence: 1,
        issuedMs: 1_700_000_000_000,
        ttlMs: 3_600_000,
        value: utf8("x"),
      };
      return signRecord(claim, liar.publicKey, liar.crypto).bytes;
    });
    let page = 0;
    network.intercept = (node, input) => {
      if (node !== liar || input.type !== "message") return undefined;
      const question = decodeMessage(input.payload);
      if (question.type !== "get") return undefined;
      const records = [pages[page++ % 200] as Uint8Array];
      const payload = encodeMessage({ type: "records", id: question.id, records, more: true, nodes: [] });
      return { to: input.from, payload, afterMs: 1_900 };
    };
    network.tell(victim, { type: "get", token: 7, key });
    network.run(30_001);
    expect(victim.said).toContainEqual(expect.objectContaining({ type: "found", token: 7 }));
    expect(victim.kademlia.sizes.lookups).toBe(0);
  });
});

describe("an owner that has just died, or is on the other side of a partition", () => {
  test("is found for as long as it is known, and is asked nothing", () => {
    const network = new Network(40, 8);
    const [owner, reader] = network.nodes as [NetworkNode, NetworkNode];
    const key = owner.id;
    network.publish(owner, key, utf8("here"));
    owner.alive = false;
    network.dead.set(owner.id, network.now + 600_000);
    for (const node of network.nodes) network.tell(node, { type: "memberDown", id: owner.id });
    const startedAt = network.now;
    expect(texts(network.get(reader, key))).toEqual(["here"]);
    expect(network.now - startedAt).toBeLessThan(2_000);
    network.run(600_000);
    expect(network.get(reader, key)).toEqual([]);
    expect(reader.kademlia.counters.strangers).toBeGreaterThan(0);
  });
});
