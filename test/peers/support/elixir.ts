import { spawnSync } from "node:child_process";
import { describe, test } from "vitest";

/** Tests with a real Elixir. Without one they fail in CI (`CI` set) and are skipped, loudly, elsewhere. */
export function describeWithElixir(name: string, body: () => void): void {
  if (spawnSync("elixir", ["--version"], { stdio: "ignore" }).status === 0) {
    describe(name, body);
    return;
  }
  if (process.env["CI"]) {
    test(name, () => {
      throw new Error("elixir is missing: apt-get install elixir erlang-dev");
    });
    return;
  }
  console.warn(`\n*** SKIPPED, because elixir is missing: ${name} ***\n`);
  describe.skip(name, body);
}
