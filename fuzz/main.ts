// npm run fuzz -- [--seconds N] [--seed N] [NAME…]: every fuzzer, or those named, N seconds together.
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { toError } from "../src/base/errors.ts";

const known = ["etf", "wire", "erlang", "carrier", "swim", "routes", "mdns"];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } },
});
const seconds = Number(values.seconds);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error("usage: npm run fuzz -- [--seconds N] [--seed N] [NAME…]");
  process.exit(2);
}
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`no fuzzer called ${unknown.join(", ")}; there are ${known.join(", ")}`);
  process.exit(2);
}

const names = known.filter(
  (name) =>
    (positionals.length === 0 || positionals.includes(name)) &&
    existsSync(new URL(`./${name}.js`, import.meta.url)),
);
let findings = 0;
for (const name of names) {
  const { fuzz } = (await import(`./${name}.js`)) as { fuzz: (seconds: number, seed: number) => number };
  try {
    const runs = fuzz(seconds / names.length, seed);
    console.log(`${name}: ${runs} inputs from seed ${seed}, nothing found`);
  } catch (error) {
    findings++;
    console.error(`${name}: FOUND, from seed ${seed}: ${toError(error).message}`);
  }
}
process.exitCode = findings > 0 ? 1 : 0;
