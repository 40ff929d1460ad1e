import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { renewAt } from "../../src/identity/index.ts";

const day = 86_400_000;

describe("DESIGN §3: certificates that renew themselves", () => {
  test.each([
    [0, 30 * day, 0, 20 * day],
    [0, 30 * day, 0.5, 18.75 * day],
    [1_000, 1_000, 0.9, 1_000],
    [1_000, 500, 0, 1_000],
    [-12 * day, 0, 0, -4 * day],
  ])("valid from %d to %d with jitter %d: at %d", (notBefore, notAfter, jitter, expected) => {
    expect(renewAt(notBefore, notAfter, jitter)).toBeCloseTo(expected, 3);
  });

  test("always between 7/12 and 8/12 of the life", () => {
    const time = fc.integer({ min: 0, max: 4_000_000_000_000 });
    fc.assert(
      fc.property(
        time,
        fc.nat(400 * day),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (from, life, jitter) => {
          const when = renewAt(from, from + life, jitter);
          expect(when).toBeGreaterThanOrEqual(from + (life * 7) / 12 - 1);
          expect(when).toBeLessThanOrEqual(from + (life * 8) / 12 + 1);
        },
      ),
    );
  });
});
