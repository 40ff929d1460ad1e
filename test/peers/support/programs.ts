import { spawnSync } from "node:child_process";
import { describe, test } from "vitest";

function isInstalled(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status === 0;
}

/**
 * Tests with other programs, given with Debian's packages they come from. Without them, and without root where that is
 * needed, they fail in CI (`CI` set) and are skipped, loudly, elsewhere.
 */
export function describeWithPrograms(
  name: string,
  needed: { readonly programs: Readonly<Record<string, string>>; readonly root?: true },
  body: () => void,
): void {
  const missing = Object.entries(needed.programs).filter(([program]) => !isInstalled(program));
  const problems = missing.map(([program, from]) => `${program} is missing: apt-get install ${from}`);
  if (needed.root === true && process.getuid?.() !== 0)
    problems.push("only root can make network namespaces");
  if (problems.length === 0) {
    describe(name, body);
    return;
  }
  if (process.env["CI"]) {
    test(name, () => {
      throw new Error(problems.join("; "));
    });
    return;
  }
  console.warn(`\n*** SKIPPED, because ${problems.join("; ")}: ${name} ***\n`);
  describe.skip(name, body);
}
