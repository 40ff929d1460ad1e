/** A point in time: milliseconds on a monotonic clock whose zero is arbitrary. Fractions are allowed. */
export type Instant = number & { readonly __brand: "Instant" };

/** The instant `milliseconds` after the clock's zero. */
export function at(milliseconds: number): Instant {
  return milliseconds as Instant;
}

/** The instant `milliseconds` after `start`. */
export function after(start: Instant, milliseconds: number): Instant {
  return (start + milliseconds) as Instant;
}

/** The earlier of two deadlines, where `undefined` means never. */
export function earliest(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a <= b ? a : b;
}
