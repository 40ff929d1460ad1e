import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compareDistance } from "../../src/base/id-space.ts";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import type { DirectoryRecord } from "../../src/kademlia/index.ts";
import { RecordStore } from "../../src/kademlia/store.ts";

/** Ids as there are, which differ early: distances are taken by their first 48 bits. */
const anyId = fc.integer().map((seed) => nodeIdFromBytes(seededRandom(seed).bytes(32)));

function recordOf(key: DirectoryRecord["key"], owner: DirectoryRecord["owner"]): DirectoryRecord {
  const bytes = new Uint8Array();
  return { kind: 1, key, owner, sequence: 1, issuedMs: 1, ttlMs: 1_000, value: bytes, bytes };
}

test("a full store keeps the records whose keys are nearest to its node, in whatever order they come", () => {
  const quotas = { recordsPerKeyMax: 100, recordsPerOwnerMax: 1_000, recordsPerPeerMax: 1_000 };
  fc.assert(
    fc.property(anyId, anyId, fc.uniqueArray(anyId, { minLength: 1, maxLength: 60 }), (self, owner, keys) => {
      const store = new RecordStore(self, { recordsMax: 10, ...quotas });
      for (const key of keys) store.put(recordOf(key, owner), owner, at(1_000));
      const nearest = keys.toSorted((a, b) => compareDistance(self, a, b)).slice(0, 10);
      expect(store.size).toBe(nearest.length);
      expect(keys.filter((key) => store.get(key, at(0)).length > 0).toSorted()).toEqual(nearest.toSorted());
      store.sweep(at(1_000));
      expect(store.size).toBe(0);
      for (const key of keys) store.put(recordOf(key, owner), owner, at(2_000));
      expect(store.size).toBe(nearest.length);
    }),
  );
});

test("of many records under the farthest key one makes room for each that comes", () => {
  const key = (first: number) => nodeIdFromBytes(new Uint8Array(32).fill(first, 0, 1));
  const quotas = { recordsPerKeyMax: 100, recordsPerOwnerMax: 100, recordsPerPeerMax: 100 };
  const store = new RecordStore(key(0), { recordsMax: 3, ...quotas });
  for (const owner of [1, 2, 3]) store.put(recordOf(key(200), key(owner)), key(1), at(1_000));
  expect(store.put(recordOf(key(201), key(1)), key(1), at(1_000))).toBe("full");
  for (const near of [10, 11])
    expect(store.put(recordOf(key(near), key(1)), key(1), at(1_000))).toBe("stored");
  expect(store.get(key(200), at(0))).toHaveLength(1);
  expect(store.size).toBe(3);
});
