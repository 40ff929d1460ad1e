import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bitOf,
  compareDistance,
  comparePoints,
  positionOf,
  ringDistance,
  sharedBits,
  xorDistance,
} from "../../src/base/id-space.ts";
import { type NodeId, nodeIdBytes, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { Members } from "../../src/ring/index.ts";

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(nodeIdFromBytes);
/** Ids that differ late, as random ones hardly do. */
const nearId = fc.tuple(fc.nat(31), fc.nat(255)).map(([index, value]) => {
  const bytes = new Uint8Array(32);
  bytes[index] = value;
  return nodeIdFromBytes(bytes);
});
const id = fc.oneof(anyId, nearId);

const number = (each: NodeId): bigint =>
  nodeIdBytes(each).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
const sign = (value: bigint): number => (value === 0n ? 0 : value < 0n ? -1 : 1);

describe("the space of ids, against arithmetic on whole numbers", () => {
  test("order, XOR distance, common bits and single bits", () => {
    fc.assert(
      fc.property(id, id, id, fc.nat(255), (a, b, target, index) => {
        expect(Math.sign(comparePoints(a, b))).toBe(sign(number(a) - number(b)));
        const [da, db] = [number(a) ^ number(target), number(b) ^ number(target)];
        expect(Math.sign(compareDistance(target, a, b))).toBe(sign(da - db));
        expect(sharedBits(a, b)).toBe(
          256 - (number(a) === number(b) ? 0 : (number(a) ^ number(b)).toString(2).length),
        );
        expect(BigInt(bitOf(a, index))).toBe((number(a) >> BigInt(255 - index)) & 1n);
      }),
      { numRuns: 2_000 },
    );
  });

  test("distances of positions are those of the first 48 bits", () => {
    const whole = 1n << 48n;
    fc.assert(
      fc.property(id, id, (a, b) => {
        const [left, right] = [number(a) >> 208n, number(b) >> 208n];
        expect(BigInt(xorDistance(positionOf(a), positionOf(b)))).toBe(left ^ right);
        const apart = left > right ? left - right : right - left;
        const expected = apart * 2n > whole ? whole - apart : apart;
        expect(BigInt(ringDistance(positionOf(a), positionOf(b)))).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("members in the order of ids", () => {
  test("neighbours and buckets are those that a search of all members finds", () => {
    fc.assert(
      fc.property(id, fc.uniqueArray(id, { maxLength: 40 }), fc.boolean(), (self, ids, present) => {
        const others = ids.filter((each) => each !== self);
        const members = new Members(present ? [...others, self] : others);
        const rank = (each: NodeId): bigint => (number(each) - number(self) + (1n << 256n)) % (1n << 256n);
        const clockwise = others.toSorted((a, b) => sign(rank(a) - rank(b)));
        expect([...members.around(self, 1)]).toEqual(clockwise);
        expect([...members.around(self, -1)]).toEqual(clockwise.toReversed());
        const expected = new Map<number, NodeId[]>();
        for (const each of others.toSorted(comparePoints)) {
          const bits = sharedBits(self, each);
          expected.set(bits, [...(expected.get(bits) ?? []), each]);
        }
        const found = members.buckets(self);
        expect(found.map(({ bits }) => bits)).toEqual([...expected.keys()].toSorted((a, b) => a - b));
        for (const bucket of found) {
          expect(Array.from({ length: bucket.size }, (_, index) => bucket.at(index))).toEqual(
            expected.get(bucket.bits),
          );
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("members that come and go", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(nearId, fc.boolean()), { maxLength: 60 }), (changes) => {
        const members = new Members();
        const model = new Set<NodeId>();
        for (const [each, up] of changes) {
          if (up) {
            members.add(each);
            model.add(each);
          } else {
            members.delete(each);
            model.delete(each);
          }
          expect(members.has(each)).toBe(up);
        }
        expect([...members]).toEqual([...model].toSorted(comparePoints));
        expect(members.size).toBe(model.size);
      }),
    );
  });
});
