import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { DiscoveryPlan, type PlanOptions, type PlanOutput } from "../../src/node/discovery/plan.ts";

/** No jitter: the whole of each wait. */
const steady = { ...seededRandom(1), float: () => 0 };

function plan(options: Partial<PlanOptions> = {}): DiscoveryPlan {
  return new DiscoveryPlan({
    bootstrap: 0,
    mdns: false,
    dns: false,
    isReached: () => false,
    random: steady,
    ...options,
  });
}

/** What `plan` does until `untilMs`, with the times. */
function run(machine: DiscoveryPlan, untilMs: number): [number, PlanOutput][] {
  const log: [number, PlanOutput][] = [];
  const take = (now: number): void => {
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) log.push([now, output]);
  };
  machine.handle({ type: "start" }, at(0));
  take(0);
  for (let due = machine.deadline(); due !== undefined && due <= untilMs; due = machine.deadline()) {
    machine.handle({ type: "tick" }, due);
    take(due);
  }
  return log;
}

const timesOf = (log: readonly [number, PlanOutput][], type: PlanOutput["type"]): number[] =>
  log.filter(([, output]) => output.type === type).map(([time]) => time);

describe("the plan of discovery", () => {
  test("all strategies at start", () => {
    const log = run(plan({ bootstrap: 2, mdns: true, dns: true }), 0);
    expect(log).toEqual([
      [0, { type: "try", index: 0 }],
      [0, { type: "try", index: 1 }],
      [0, { type: "browse" }],
      [0, { type: "lookUp" }],
    ]);
  });

  test("nothing to do: no deadline", () => {
    const machine = plan();
    expect(run(machine, 1_000_000)).toEqual([]);
    expect(machine.deadline()).toBeUndefined();
  });

  test("a bootstrap address that is not reached: after 1 s, doubled up to 30 s, for ever", () => {
    const times = timesOf(run(plan({ bootstrap: 1 }), 1_000_000), "try");
    expect(times.slice(0, 9)).toEqual([0, 1_000, 3_000, 7_000, 15_000, 31_000, 61_000, 91_000, 121_000]);
    expect(times.at(-1)).toBe(991_000);
  });

  test("one that is reached is left alone; when it is lost, the back-off begins anew", () => {
    let reached = false;
    const machine = plan({ bootstrap: 1, isReached: () => reached });
    expect(timesOf(run(machine, 15_000), "try")).toEqual([0, 1_000, 3_000, 7_000, 15_000]);
    const tries: number[] = [];
    reached = true;
    for (let now = 31_000; now <= 120_000; now += 500) {
      if (now === 100_000) reached = false;
      machine.handle({ type: "tick" }, at(now));
      while (machine.poll() !== undefined) tries.push(now);
    }
    // It was looked at each 27 s, at 31, 58 and 85 s.
    expect(tries).toEqual([112_000, 113_000, 115_000, 119_000]);
  });

  test("one that is not reached does not hold up another", () => {
    const log = run(plan({ bootstrap: 2, isReached: (index) => index === 1 }), 10_000);
    expect(new Set(log.map(([, output]) => (output.type === "try" ? output.index : -1)))).toEqual(
      new Set([0]),
    );
  });

  test.each(["browse", "lookUp"] as const)("%s: every 30 s, give or take a tenth", (type) => {
    const random = seededRandom(3);
    const times = timesOf(run(plan({ mdns: true, dns: true, bootstrap: 3, random }), 3_600_000), type);
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    expect(gaps.length).toBeGreaterThan(110);
    for (const gap of gaps) {
      expect(gap).toBeGreaterThanOrEqual(27_000);
      expect(gap).toBeLessThanOrEqual(33_000);
    }
    expect(new Set(gaps).size).toBeGreaterThan(100);
  });
});
