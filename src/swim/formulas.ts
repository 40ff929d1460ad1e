/**
 * How long a suspicion lasts that `confirmations` others share, milliseconds: `maxMs` when nobody does, `minMs` when
 * `expected` do, and between them falling with the logarithm, because the first confirmation says more than the second.
 * Lifeguard (Dadgar, Phillips, Currey: 2018), §IV.B.
 */
export function suspicionTimeoutMs(
  confirmations: number,
  expected: number,
  minMs: number,
  maxMs: number,
): number {
  // In a mesh of two or three nobody is left to confirm: waiting for it would only cost time.
  if (expected < 1) return minMs;
  const share = Math.log(confirmations + 1) / Math.log(expected + 1);
  return Math.max(minMs, maxMs - (maxMs - minMs) * share);
}

/** Confirmations to be expected in a mesh of `members`: neither the suspect nor the first accuser gives one. */
export function expectedConfirmations(wanted: number, members: number): number {
  return Math.max(0, Math.min(wanted, members - 2));
}

/** How often each member passes on a piece of news, so that all of `members` hear it: λ log n, SWIM §4.1. */
export function transmissionsMax(factor: number, members: number): number {
  return Math.max(1, Math.ceil(factor * Math.log(members + 1)));
}

const retryLeastMs = 5_000;
const retryGreatestMs = 600_000;

/**
 * Wait before an address is tried again whose node has been gone for `goneMs`: a tenth of that, from 5 s to 10 minutes.
 * So a partition of five minutes is over half a minute after it ended, and what never returns costs next to nothing.
 */
export function retryDelayMs(goneMs: number): number {
  return Math.min(retryGreatestMs, Math.max(retryLeastMs, goneMs / 10));
}
