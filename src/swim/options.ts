/** Settings of membership. They may differ between nodes, but times should not, or the hasty ones trouble the others. */
export interface SwimOptions {
  /** Gap between probe rounds of a healthy node, milliseconds, > 0. Default 1,000. T′ in the SWIM paper, §3.1. */
  readonly probeIntervalMs?: number;
  /** Wait for an answer before asking again and through others, milliseconds, at most a third of `probeIntervalMs`. Default 300. */
  readonly probeTimeoutMs?: number;
  /** Members asked to probe in our stead, ≥ 0. Default 3. k in the SWIM paper, §3.1. */
  readonly helpers?: number;
  /** How many times slower than healthy a node that finds itself ill may become, less one, ≥ 0. Default 8. S in Lifeguard, §IV.A. */
  readonly healthMax?: number;
  /** Suspicion that as many confirm as can be expected, milliseconds. Default 2,000. Lifeguard §IV.B. */
  readonly suspicionMinMs?: number;
  /** Suspicion that nobody confirms, milliseconds, ≥ `suspicionMinMs`. Default 5,000. */
  readonly suspicionMaxMs?: number;
  /** Confirmations that bring a suspicion down to its least, ≥ 1. Default 3. K in Lifeguard, §IV.B. */
  readonly confirmations?: number;
  /** Members, on average and in the whole mesh, that probe a suspect as soon as they hear of it, ≥ 0. Default 6. */
  readonly confirmers?: number;
  /** For how long a suspect is asked itself before it is given up, milliseconds, ≤ `suspicionMinMs`. Default 1,000. */
  readonly lastCheckMs?: number;
  /** Gap between gossip of a node that has something to tell, milliseconds, > 0. Default 200. */
  readonly gossipIntervalMs?: number;
  /** Members told at a time, ≥ 1. Default 3. */
  readonly gossipFanout?: number;
  /** A piece of news is sent this many times the natural logarithm of the number of members, > 0. Default 4: it misses one member in 400,000. λ in the SWIM paper, §4.1. */
  readonly retransmitFactor?: number;
  /** Longest datagram, bytes, 1,024 … 65,000. Default 1,100, which with headers fits into a QUIC datagram. */
  readonly datagramBytesMax?: number;
  /** Gap between exchanges of the whole state, milliseconds, > 0. Default 30,000. */
  readonly syncIntervalMs?: number;
  /** Time for such an exchange, milliseconds, > 0. Default 10,000. */
  readonly syncTimeoutMs?: number;
  /** Members known, dead ones included, ≥ 1. Default 16,384. The dead make room first, then what its introducers cannot show. */
  readonly membersMax?: number;
  /** Pieces of news waiting to be told, ≥ 1. Default 4,096; the one told most often makes room. */
  readonly newsMax?: number;
  /** Addresses of members that are gone and will be tried again, ≥ 1. Default 1,024; the one gone longest makes room. */
  readonly addressesMax?: number;
  /** Least gap between two such trials, milliseconds, > 0. Default 2,000. */
  readonly retryGapMs?: number;
  /** Probes under way for others, ≥ 1, an eighth of them for each who asks. Default 256; further ones are not done. */
  readonly relaysMax?: number;
}

export type ResolvedSwimOptions = Required<SwimOptions>;

export function resolveSwimOptions(given: SwimOptions = {}): ResolvedSwimOptions {
  const options = {
    probeIntervalMs: 1_000,
    probeTimeoutMs: 300,
    helpers: 3,
    healthMax: 8,
    suspicionMinMs: 2_000,
    suspicionMaxMs: 5_000,
    confirmations: 3,
    confirmers: 6,
    lastCheckMs: 1_000,
    gossipIntervalMs: 200,
    gossipFanout: 3,
    retransmitFactor: 4,
    datagramBytesMax: 1_100,
    syncIntervalMs: 30_000,
    syncTimeoutMs: 10_000,
    membersMax: 16_384,
    newsMax: 4_096,
    addressesMax: 1_024,
    retryGapMs: 2_000,
    relaysMax: 256,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) within(name, value, 0, Infinity);
  within("probeTimeoutMs", options.probeTimeoutMs, 1, options.probeIntervalMs / 3);
  within("suspicionMaxMs", options.suspicionMaxMs, options.suspicionMinMs, Infinity);
  within("lastCheckMs", options.lastCheckMs, 0, options.suspicionMinMs);
  within("datagramBytesMax", options.datagramBytesMax, 1_024, 65_000);
  for (const name of [
    "confirmations",
    "gossipIntervalMs",
    "gossipFanout",
    "syncIntervalMs",
    "syncTimeoutMs",
    "membersMax",
    "newsMax",
    "addressesMax",
    "retryGapMs",
    "relaysMax",
  ] as const) {
    within(name, options[name], 1, Infinity);
  }
  return options;
}

function within(name: string, value: number, least: number, greatest: number): void {
  if (value >= least && value <= greatest) return;
  throw new RangeError(`${name} is ${value}, it must be from ${least} to ${greatest}`);
}
