/** How datagrams fare from one node to another. Rates are probabilities, 0 … 1. */
export interface PathOptions {
  /** Least and greatest fixed delay of a path, one way, milliseconds. Each pair of nodes has its own. Default 1 … 40. */
  readonly delayMs?: readonly [least: number, greatest: number];
  /** Mean of what each datagram takes in addition, exponentially distributed, milliseconds, ≥ 0. Default 2. */
  readonly jitterMs?: number;
  /** Lost. Over a link, each loss costs the message a retransmission instead. Default 0. */
  readonly lossRate?: number;
  /** Delivered twice. Default 0. */
  readonly duplicateRate?: number;
  /** Held back by up to `reorderMs`. Default 0. */
  readonly reorderRate?: number;
  /** Milliseconds, ≥ 0. Default 100. */
  readonly reorderMs?: number;
}

export interface SimulationOptions extends PathOptions {
  /** Decides everything that is left to chance: same seed, same history. An integer. */
  readonly seed: number;
  /** Silence after which an end gives up a link, milliseconds, > 0. Default 7,500. */
  readonly linkTimeoutMs?: number;
  /** Time for a dial, milliseconds, > 0. Default 5,000. */
  readonly dialTimeoutMs?: number;
  /** Clocks start anywhere within ± this, milliseconds, ≥ 0. Default 0. */
  readonly clockOffsetMs?: number;
  /** Clocks run fast or slow by up to this share of time, 0 … 0.1. Default 0; a bad quartz has 0.0001. */
  readonly clockDriftRate?: number;
  /** Datagrams and messages that wait for a paused node, ≥ 0. Default 1,024; further datagrams are lost, as in a socket's buffer. */
  readonly backlogMax?: number;
  /** Called with each thing that happens. Without it nothing is described, which is faster; the digest is the same. */
  readonly log?: (entry: LogEntry) => void;
}

/** Something that happened. */
export interface LogEntry {
  /** Virtual time, milliseconds since the start. */
  readonly atMs: number;
  readonly event: LogEvent;
  readonly node: string;
  readonly peer?: string;
  readonly detail?: string;
}

export type LogEvent =
  | "started"
  | "crashed"
  | "stopped"
  | "paused"
  | "resumed"
  | "moved"
  | "sent"
  | "lost"
  | "received"
  | "linkUp"
  | "linkDown"
  | "linkFailed"
  | "news"
  | "network";

export function resolvePathOptions(given: PathOptions, base?: Required<PathOptions>): Required<PathOptions> {
  const options = {
    delayMs: [1, 40] as const,
    jitterMs: 2,
    lossRate: 0,
    duplicateRate: 0,
    reorderRate: 0,
    reorderMs: 100,
    ...base,
    ...given,
  };
  const [least, greatest] = options.delayMs;
  if (!(least >= 0 && greatest >= least)) throw new RangeError(`delayMs is ${least} to ${greatest}`);
  within("jitterMs", options.jitterMs, 0, Infinity);
  within("lossRate", options.lossRate, 0, 1);
  within("duplicateRate", options.duplicateRate, 0, 1);
  within("reorderRate", options.reorderRate, 0, 1);
  within("reorderMs", options.reorderMs, 0, Infinity);
  return options;
}

export function resolveSimulationOptions(
  given: SimulationOptions,
): Required<Omit<SimulationOptions, "log" | keyof PathOptions>> {
  const { seed, linkTimeoutMs, dialTimeoutMs, clockOffsetMs, clockDriftRate, backlogMax } = given;
  const options = {
    seed,
    linkTimeoutMs: linkTimeoutMs ?? 7_500,
    dialTimeoutMs: dialTimeoutMs ?? 5_000,
    clockOffsetMs: clockOffsetMs ?? 0,
    clockDriftRate: clockDriftRate ?? 0,
    backlogMax: backlogMax ?? 1_024,
  };
  if (!Number.isSafeInteger(seed)) throw new RangeError(`seed is ${seed}, not an integer`);
  within("linkTimeoutMs", options.linkTimeoutMs, 1, Infinity);
  within("dialTimeoutMs", options.dialTimeoutMs, 1, Infinity);
  within("clockOffsetMs", options.clockOffsetMs, 0, Infinity);
  within("clockDriftRate", options.clockDriftRate, 0, 0.1);
  within("backlogMax", options.backlogMax, 0, Infinity);
  return options;
}

function within(name: string, value: number, least: number, greatest: number): void {
  if (value >= least && value <= greatest) return;
  throw new RangeError(`${name} is ${value}, it must be from ${least} to ${greatest}`);
}
