import { describe, expect, test } from "vitest";
import {
  expectedConfirmations,
  retryDelayMs,
  suspicionTimeoutMs,
  transmissionsMax,
} from "../../src/swim/formulas.ts";
import { resolveSwimOptions } from "../../src/swim/options.ts";

describe("Lifeguard §IV.B: the time of a suspicion", () => {
  test.each([
    [0, 3, 5_000],
    [1, 3, 3_500],
    [2, 3, 2_623],
    [3, 3, 2_000],
    [9, 3, 2_000],
    [0, 1, 5_000],
    [1, 1, 2_000],
    [0, 0, 2_000],
  ])("%i of %i confirmations: %i ms", (confirmations, expected, ms) => {
    expect(Math.round(suspicionTimeoutMs(confirmations, expected, 2_000, 5_000))).toBe(ms);
  });

  test.each([
    [2, 0],
    [3, 1],
    [4, 2],
    [5, 3],
    [1_000, 3],
  ])("among %i members, %i confirmations can be expected", (members, expected) => {
    expect(expectedConfirmations(3, members)).toBe(expected);
  });
});

describe("SWIM §4.1: how often news is repeated", () => {
  test.each([
    [1, 3],
    [20, 10],
    [100, 14],
    [1_000, 21],
    [10_000, 28],
  ])("among %i members %i times", (members, times) => {
    expect(transmissionsMax(3, members)).toBe(times);
  });
});

describe("addresses of those that are gone", () => {
  test.each([
    [0, 5_000],
    [300_000, 30_000],
    [3_600_000, 360_000],
    [1e9, 600_000],
  ])("are tried again, after %i ms, every %i ms", (goneMs, delayMs) => {
    expect(retryDelayMs(goneMs)).toBe(delayMs);
  });
});

describe("settings", () => {
  test.each([
    [{ probeTimeoutMs: 400 }, "probeTimeoutMs is 400"],
    [{ suspicionMaxMs: 1_000 }, "suspicionMaxMs is 1000"],
    [{ lastCheckMs: 3_000 }, "lastCheckMs is 3000"],
    [{ datagramBytesMax: 500 }, "datagramBytesMax is 500"],
    [{ gossipFanout: 0 }, "gossipFanout is 0"],
    [{ helpers: Number.NaN }, "helpers is NaN"],
  ])("%j are refused", (options, message) => {
    expect(() => resolveSwimOptions(options)).toThrow(message);
  });
});
