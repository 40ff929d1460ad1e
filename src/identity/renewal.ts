/** Life of a certificate that a node gives itself, milliseconds: 30 days. */
export const certificateLifeMs = 30 * 86_400_000;

/** A certificate begins this long before it is issued, milliseconds: clocks of other nodes may be behind. 10 minutes. */
export const clockSkewMs = 600_000;

/** Share of its life after which a certificate is renewed: a third remains for the cases in which that fails. */
const renewAfterShare = 2 / 3;

/** Renewals are spread over this share of a life, so that nodes started together do not all renew at once. */
const jitterShare = 1 / 12;

/**
 * When to renew a certificate of that validity: at two thirds of its life, up to a twelfth of it earlier.
 * All times are milliseconds since 1970.
 * @param jitter from [0, 1); the same node should keep its own. Default 0: at two thirds exactly.
 */
export function renewAt(notBefore: number, notAfter: number, jitter = 0): number {
  const life = Math.max(0, notAfter - notBefore);
  return notBefore + life * (renewAfterShare - jitterShare * jitter);
}
