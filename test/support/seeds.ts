/** Seeds that no run had before; the name of a test that uses one shows it. `MACULA_SEED` sets the first, to replay. */
export function freshSeeds(count: number): number[] {
  const given = process.env["MACULA_SEED"];
  const first = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  return Array.from({ length: count }, (_, index) => first + index);
}
