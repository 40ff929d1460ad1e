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
