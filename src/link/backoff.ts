/**
 * Wait before the next dial after `failures` in a row, milliseconds: none after none, then `baseMs` doubled each
 * time up to `maxMs`, of which a random half is taken off, so that nodes that lost a common peer do not all come
 * back at the same instant. `random` is uniform over [0, 1).
 */
export function backoffMs(failures: number, baseMs: number, maxMs: number, random: number): number {
  if (failures <= 0) return 0;
  const whole = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30));
  return whole * (1 - random / 2);
}
