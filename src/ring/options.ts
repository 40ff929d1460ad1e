/** Settings of the ring. */
export interface RingOptions {
  /** Neighbours on each side, ≥ 1. Default 3. DESIGN §8. */
  readonly neighboursPerSide?: number;
  /** Gap between checks when nothing happens, milliseconds, > 0. Default 5,000. */
  readonly checkIntervalMs?: number;
  /** How long a link stays that neither end wants any more, milliseconds, ≥ 0. Default 30,000. */
  readonly graceMs?: number;
  /** Wait for a wanted link until another member is taken instead, milliseconds, > 0. Default 15,000. */
  readonly patienceMs?: number;
  /** How long a member that could not be reached or refused is passed over, milliseconds, > 0. Default 60,000. */
  readonly avoidMs?: number;
  /** Links that only the other end wants, ≥ 1. Default 64; further ones are refused. */
  readonly guestsMax?: number;
}

export function resolveRingOptions(given: RingOptions = {}): Required<RingOptions> {
  const options = {
    neighboursPerSide: 3,
    checkIntervalMs: 5_000,
    graceMs: 30_000,
    patienceMs: 15_000,
    avoidMs: 60_000,
    guestsMax: 64,
    ...given,
  };
  const least = {
    neighboursPerSide: 1,
    checkIntervalMs: 1,
    graceMs: 0,
    patienceMs: 1,
    avoidMs: 1,
    guestsMax: 1,
  };
  for (const name of Object.keys(least) as (keyof typeof least)[]) {
    if (!(options[name] >= least[name]))
      throw new RangeError(`${name} is ${options[name]}, at least ${least[name]} is needed`);
  }
  return options;
}
