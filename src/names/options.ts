/** Settings of global names. */
export interface NamesOptions {
  /** Names that this node has or is about to get, ≥ 1. Default 4,096, which is what the directory takes of one node. */
  readonly ownNamesMax?: number;
  /** Registrations and look-ups that wait for the directory, ≥ 1. Default 1,024; further ones fail. */
  readonly pendingMax?: number;
  /** Wait for an answer of the directory, milliseconds, ≥ 1. Default 5,000. A registration asks it three times. */
  readonly timeoutMs?: number;
  /** Between publishing a name and looking whether somebody else did the same, milliseconds, ≥ 0. Default 250. */
  readonly settleMs?: number;
  /** Within which a name is checked after news (it is new, a member came), milliseconds, ≥ 1. Default 4,000. */
  readonly checkSoonMs?: number;
  /** Least gap between checks of all names because members came, milliseconds, ≥ 1. Default 10,000. */
  readonly newsIntervalMs?: number;
  /** How often each name is checked when there is no news, milliseconds, ≥ 1; up to a quarter less or more. Default 60,000. */
  readonly checkIntervalMs?: number;
  /** Names that are checked at a time, ≥ 1. Default 32. */
  readonly checksMax?: number;
  /** How long an answer is kept, milliseconds, ≥ 0. Default 5,000. */
  readonly cacheMs?: number;
  /** Answers kept, ≥ 1. Default 1,024; the oldest goes. */
  readonly cacheMax?: number;
  /** How long the directory keeps a name that its owner no longer stores, milliseconds, ≥ 1, at most a day. Default 600,000. */
  readonly ttlMs?: number;
}

export function resolveNamesOptions(given: NamesOptions = {}): Required<NamesOptions> {
  const options = {
    ownNamesMax: 4_096,
    pendingMax: 1_024,
    timeoutMs: 5_000,
    settleMs: 250,
    checkSoonMs: 4_000,
    newsIntervalMs: 10_000,
    checkIntervalMs: 60_000,
    checksMax: 32,
    cacheMs: 5_000,
    cacheMax: 1_024,
    ttlMs: 600_000,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) {
    const least = name === "settleMs" || name === "cacheMs" ? 0 : 1;
    if (!(value >= least)) throw new RangeError(`${name} is ${value}, at least ${least} is needed`);
  }
  return options;
}
