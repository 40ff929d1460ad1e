import { performance } from "node:perf_hooks";
import { at, type Instant } from "../base/time.ts";

/** Now, on the clock that machines are driven with: milliseconds with fractions, never running backwards. */
export function monotonicNow(): Instant {
  return at(performance.now());
}

/**
 * Now, on the wall: milliseconds since 1970, as certificates count. It jumps when somebody sets the clock, so that
 * nothing but validity and logs may depend on it.
 */
export function wallNow(): number {
  return Date.now();
}
