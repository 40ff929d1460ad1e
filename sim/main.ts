// npm run sim -- --scenario NAME [--nodes N] [--seed N] [--log]: a whole network in virtual time.
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { formatLogEntry, type LogEntry } from "../src/sim/index.ts";
import { alone } from "./membership-alone.ts";
import { ping } from "./ping.ts";
import { routes } from "./routes.ts";
import type { Scenario, ScenarioResult } from "./scenario.ts";
import { whole } from "./whole.ts";

const scenarios: Readonly<Record<string, Scenario>> = {
  ...whole,
  routes,
  ...Object.fromEntries(Object.entries(alone).map(([name, scenario]) => [`membership-${name}`, scenario])),
  ping,
};

const help = `Runs a network of simulated nodes in virtual time. The same seed gives the same history.

  npm run sim -- --scenario NAME [--nodes N] [--seed N] [--runs N] [--minutes N] [--log]

  --scenario NAME   what happens; one of those below
  --nodes N         how many nodes (default: the scenario's own number)
  --seed N          what decides all that is left to chance (default: a fresh one, which is printed)
  --runs N          that many runs, with seeds counting up from --seed (default 1)
  --minutes N       virtual minutes of a scenario in which nothing happens (default: the scenario's own number)
  --log             print every event, one a line; grep for a node's name to follow it
  --help

Scenarios (with their number of nodes); those called membership-NAME run nodes that have nothing but membership:

${Object.entries(scenarios)
  .map(([name, { about, nodes }]) => `  ${name.padEnd(20)} ${String(nodes).padStart(5)}  ${about}`)
  .join("\n")}

Exit code 0 when all that the scenario promises held, 1 when not, 2 when it was called wrongly.`;

function fail(message: string): never {
  console.error(`${message}\n\nnpm run sim -- --help shows how it is used`);
  process.exit(2);
}

function settings() {
  try {
    return parseArgs({
      options: {
        scenario: { type: "string" },
        nodes: { type: "string" },
        seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
        runs: { type: "string", default: "1" },
        minutes: { type: "string" },
        log: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

const values = settings();
if (values.help) {
  console.log(help);
  process.exit(0);
}
const name = values.scenario ?? fail("--scenario is missing");
const scenario =
  scenarios[name] ?? fail(`no scenario called ${name}; there are ${Object.keys(scenarios).join(", ")}`);
const nodes = count("nodes", values.nodes ?? String(scenario.nodes), 2);
const firstSeed = count("seed", values.seed, 0);
const runs = count("runs", values.runs, 1);
const forMs = values.minutes === undefined ? undefined : 60_000 * count("minutes", values.minutes, 1);

function count(option: string, text: string, least: number): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least) return number;
  return fail(`--${option} is ${JSON.stringify(text)}, a whole number of at least ${least} is needed`);
}

let failed = 0;
for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
  const log = values.log ? print : undefined;
  const startMs = performance.now();
  const result = scenario.run({
    seed,
    nodes,
    ...(forMs === undefined ? {} : { forMs }),
    ...(log === undefined ? {} : { log }),
  });
  report(seed, result, performance.now() - startMs);
  if (result.failures.length > 0) failed++;
}
if (runs > 1) console.log(`${runs - failed} of ${runs} runs passed`);
process.exitCode = failed > 0 ? 1 : 0;

/** At once, so that the log is whole when the run fails, and held back by a slow reader. */
function print(entry: LogEntry): void {
  try {
    writeSync(1, `${formatLogEntry(entry)}\n`);
  } catch (error) {
    // The reader (head, a pager) has seen enough.
    if ((error as NodeJS.ErrnoException).code === "EPIPE") process.exit(0);
    throw error;
  }
}

function report(seed: number, result: ScenarioResult, wallMs: number): void {
  console.log(`scenario ${name}, ${nodes} nodes, seed ${seed}`);
  for (const [what, value] of Object.entries(result.figures)) console.log(`  ${what.padEnd(44)} ${value}`);
  const megabytes = Math.round(process.memoryUsage().rss / 2 ** 20);
  console.log(
    `  ${(result.virtualMs / 1_000).toFixed(1)} s of virtual time in ${(wallMs / 1_000).toFixed(1)} s, ` +
      `${result.events} events, ${megabytes} MB, digest ${result.digest}`,
  );
  for (const failure of result.failures) console.log(`  FAILED: ${failure}`);
  if (result.failures.length > 0) {
    console.log(
      `  again, with every event: npm run sim -- --scenario ${name} --nodes ${nodes} --seed ${seed} --log`,
    );
  }
}
