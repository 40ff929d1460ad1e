import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BufferPool } from "../../src/base/buffer-pool.ts";

test("what is given back is taken again, for anything of about its size", () => {
  const pool = new BufferPool(1_000_000);
  const first = pool.take(70_000);
  pool.give(first.subarray(10, 20));
  expect(pool.idleBytes).toBe(first.length);
  expect(pool.take(75_000).buffer).toBe(first.buffer);
  expect(pool.idleBytes).toBe(0);
  expect(pool.take(75_000).buffer).not.toBe(first.buffer);
});

test("no buffer is too short, none above 256 bytes is more than a quarter too long", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20_000_000 }), (bytes) => {
      const { length } = new BufferPool(0).take(bytes);
      expect(length).toBeGreaterThanOrEqual(bytes);
      expect(length).toBeLessThanOrEqual(Math.max(256, bytes * 1.25));
    }),
    { numRuns: 200 },
  );
});

test("no more is kept than the limit, and nothing of another size", () => {
  const pool = new BufferPool(1_000);
  const buffers = Array.from({ length: 5 }, () => pool.take(256));
  for (const buffer of buffers) pool.give(buffer);
  expect(pool.idleBytes).toBe(3 * 256);
  pool.give(new Uint8Array(100));
  pool.give(new Uint8Array(1_001));
  expect(pool.idleBytes).toBe(3 * 256);
});

test("a size that nobody wants any more makes room for those in use", () => {
  const pool = new BufferPool(1_000_000);
  for (const buffer of Array.from({ length: 20 }, () => pool.take(65_536))) pool.give(buffer);
  const small = pool.take(65_536);
  for (const buffer of Array.from({ length: 10 }, () => pool.take(98_304))) pool.give(buffer);
  expect(pool.idleBytes).toBeLessThanOrEqual(1_000_000);
  const kept = Array.from({ length: 10 }, () => pool.take(98_304));
  expect(pool.idleBytes).toBeLessThan(65_536);
  for (const buffer of kept) pool.give(buffer);
  const again = Array.from({ length: 10 }, () => pool.take(98_304).buffer);
  expect(new Set(again)).toEqual(new Set(kept.map(({ buffer }) => buffer)));
  pool.give(small);
  expect(pool.idleBytes).toBe(65_536);
});
