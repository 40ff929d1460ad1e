import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Queue } from "../../src/base/queue.ts";
import { randomFrom, seededRandom } from "../../src/base/random.ts";
import { after, at, earliest } from "../../src/base/time.ts";
import { Timers } from "../../src/base/timers.ts";

test("Queue does what an array does", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("push" as const), count: fc.nat(800) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("shift" as const), count: fc.nat(900) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const), count: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const queue = new Queue<number>();
      let model: number[] = [];
      let next = 0;
      for (const { do: action, count } of steps) {
        if (action === "clear") {
          queue.clear();
          model = [];
        }
        for (let index = 0; index < count; index++) {
          if (action === "push") {
            queue.push(next);
            model.push(next++);
          } else expect(queue.shift()).toBe(model.shift());
        }
        expect(queue.length).toBe(model.length);
        expect(queue.peek()).toBe(model[0]);
      }
    }),
    { numRuns: 30 },
  );
});

describe("Timers", () => {
  test("expire what is due, in the order in which it is due and then was set", () => {
    const step = fc.record({
      do: fc.constantFrom("set", "set", "set", "clear", "expire"),
      name: fc.constantFrom("a", "b", "c", "d", "e"),
      ms: fc.nat(20),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const timers = new Timers<string>();
        let model: { name: string; due: number }[] = [];
        let now = at(0);
        for (const { do: action, name, ms } of steps) {
          if (action === "expire") {
            now = after(now, ms);
            const due = model.filter((entry) => entry.due <= now);
            // Array.sort is stable, and the model is in the order of setting.
            due.sort((a, b) => a.due - b.due);
            model = model.filter((entry) => entry.due > now);
            expect(timers.expire(now)).toEqual(due.map((entry) => entry.name));
          } else {
            model = model.filter((entry) => entry.name !== name);
            if (action === "set") {
              model.push({ name, due: now + ms });
              timers.set(name, after(now, ms));
            } else timers.clear(name);
          }
          expect(timers.has(name)).toBe(model.some((entry) => entry.name === name));
          expect(timers.deadline()).toBe(
            model.length === 0 ? undefined : Math.min(...model.map(({ due }) => due)),
          );
        }
      }),
    );
  });

  test("clearAll stops them all", () => {
    const timers = new Timers<string>();
    timers.set("a", at(1));
    timers.clearAll();
    expect(timers.deadline()).toBeUndefined();
    expect(timers.expire(at(9))).toEqual([]);
  });

  test("earliest takes undefined for never", () => {
    expect(earliest(undefined, undefined)).toBeUndefined();
    expect(earliest(at(3), undefined)).toBe(3);
    expect(earliest(undefined, at(3))).toBe(3);
    expect(earliest(at(4), at(3))).toBe(3);
    expect(earliest(at(3), at(4))).toBe(3);
  });
});

describe("Random", () => {
  test("the same seed gives the same history, another one another", () => {
    const history = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 20 }, () => random.u32());
    };
    expect(history(1)).toEqual(history(1));
    expect(history(1)).not.toEqual(history(2));
  });

  test("stays in range, reaches both ends, and prefers nothing", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 16 }), (seed, below) => {
        const random = seededRandom(seed);
        const counts = Array.from({ length: below }, () => 0);
        for (let count = 0; count < below * 1_000; count++) {
          const value = random.integer(below);
          if (!(Number.isInteger(value) && value >= 0 && value < below))
            throw new Error(`${value} of ${below}`);
          (counts[value] as number) += 1;
        }
        // 1,000 expected with a standard deviation below 32: ten of those.
        for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(320);
        const float = random.float();
        expect(float >= 0 && float < 1).toBe(true);
        expect(random.bytes(below)).toHaveLength(below);
      }),
      { numRuns: 20 },
    );
  });

  test("the largest word is still below 1", () => {
    const random = randomFrom(() => 0xffff_ffff);
    expect(random.float()).toBeLessThan(1);
    expect(random.integer(2 ** 32)).toBe(0xffff_ffff);
    expect(random.bytes(2)).toEqual(Uint8Array.of(255, 255));
  });
});
