/** Settings of routing table, lookups and directory. */
export interface KademliaOptions {
  /** Nodes of a bucket, results of a lookup, copies of a record: k, ≥ 1. Default 20. */
  readonly bucketSize?: number;
  /** Questions of one lookup under way at a time: α, ≥ 1. Default 3. */
  readonly parallel?: number;
  /** Wait for an answer, milliseconds, > 0. Default 2,000. */
  readonly requestTimeoutMs?: number;
  /** Questions of one lookup, ≥ `bucketSize`. Default 100. Threat: answers that lead on for ever. */
  readonly queriesMax?: number;
  /** Time for a lookup, milliseconds, > 0. Default 30,000; then it ends with what it has. Threat: answers that come late, again and again. */
  readonly lookupTimeoutMs?: number;
  /** Lookups under way, ≥ 1. Default 256; further ones wait, up to ten times as many, and those of publishing without a bound. */
  readonly lookupsMax?: number;
  /** Nodes that must have a record for a lookup to end before it has come nearest, ≥ 1. Default 3. */
  readonly holdersWanted?: number;
  /** How often an owner stores its records again, milliseconds, > 0. Default 300,000. */
  readonly republishMs?: number;
  /** How long a copy along the path of a lookup is kept at most, milliseconds, ≥ 0. Default 60,000. */
  readonly cacheMs?: number;
  /** How far clocks may be apart, milliseconds, ≥ 0. Default 60,000. */
  readonly clockSkewMs?: number;
  /** Records of this node itself, ≥ 1. Default 4,096. */
  readonly ownRecordsMax?: number;
  /** Records kept for others, ≥ 1. Default 65,536. */
  readonly recordsMax?: number;
  /** The same under one key. Default 1,024. */
  readonly recordsPerKeyMax?: number;
  /** The same of one owner. Default 4,096: in a small mesh every node keeps all that an owner may have. */
  readonly recordsPerOwnerMax?: number;
  /** The same that came by one neighbour. Default 16,384. */
  readonly recordsPerPeerMax?: number;
}

export function resolveKademliaOptions(given: KademliaOptions = {}): Required<KademliaOptions> {
  const options = {
    bucketSize: 20,
    parallel: 3,
    requestTimeoutMs: 2_000,
    queriesMax: 100,
    lookupTimeoutMs: 30_000,
    lookupsMax: 256,
    holdersWanted: 3,
    republishMs: 300_000,
    cacheMs: 60_000,
    clockSkewMs: 60_000,
    ownRecordsMax: 4_096,
    recordsMax: 65_536,
    recordsPerKeyMax: 1_024,
    recordsPerOwnerMax: 4_096,
    recordsPerPeerMax: 16_384,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) {
    const least =
      name === "cacheMs" || name === "clockSkewMs" ? 0 : name === "queriesMax" ? options.bucketSize : 1;
    if (!(value >= least)) throw new RangeError(`${name} is ${value}, at least ${least} is needed`);
  }
  return options;
}
