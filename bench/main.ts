// npm run bench [-- NAME…]: every bench, or those named; a table each, and all figures in build/bench.json.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { type BenchTable, printTable } from "./table.ts";

const benches = ["etf", "wire", "quic", "messages", "process", "beam", "idle"] as const;

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(benches as readonly string[]).includes(name));
if (unknown.length > 0) {
  console.error(`no bench called ${unknown.join(", ")}; there are ${benches.join(", ")}`);
  process.exit(2);
}

const tables: Record<string, readonly BenchTable[]> = {};
for (const name of benches) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const bench = (await import(`./${name}.js`)) as { run(): Promise<BenchTable | readonly BenchTable[]> };
  const result = await bench.run();
  tables[name] = Array.isArray(result) ? (result as readonly BenchTable[]) : [result as BenchTable];
  for (const table of tables[name]) printTable(table);
}

const report = {
  date: new Date().toISOString(),
  node: process.version,
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  tables,
};
mkdirSync("build", { recursive: true });
writeFileSync("build/bench.json", `${JSON.stringify(report, null, 2)}\n`);
console.log("\nall figures: build/bench.json");
process.exit(0);
