import type { LogEntry } from "../src/sim/index.ts";

/** What a scenario is run with. */
export interface ScenarioSetup {
  readonly seed: number;
  readonly nodes: number;
  /** How long it lasts, milliseconds, if it is one in which nothing happens. Default: the scenario's own. */
  readonly forMs?: number;
  readonly log?: (entry: LogEntry) => void;
}

/** What came of it. */
export interface ScenarioResult {
  /** One line each for people: what was measured. */
  readonly figures: Readonly<Record<string, string | number>>;
  /** What should have held and did not. */
  readonly failures: readonly string[];
  /** Virtual time that passed, milliseconds. */
  readonly virtualMs: number;
  readonly events: number;
  readonly digest: string;
}

/** A history that can be had again: the same setup, the same result. */
export interface Scenario {
  readonly about: string;
  /** How many nodes when nobody says. */
  readonly nodes: number;
  run(setup: ScenarioSetup): ScenarioResult;
}
