import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

test("a node whose terminal is closed ends, though nobody reads its last log lines", async () => {
  const home = mkdtempSync(join(tmpdir(), "macula-hang-up-"));
  const command = `${process.execPath} ${main} start --name hung@localhost:0`;
  // All processes hold descriptor 3: its end is the end of the last of them.
  const terminal = spawn("script", ["-qfec", command, "/dev/null"], {
    env: { ...process.env, MACULA_HOME: home },
    stdio: ["pipe", "pipe", "inherit", "pipe"],
  });
  try {
    let output = "";
    for await (const chunk of terminal.stdout as Readable) {
      output += String(chunk);
      if (output.includes("Ctrl-C stops the node")) break;
    }
    expect(output).toContain("hung@localhost");
    const last = terminal.stdio[3] as Readable;
    last.resume();
    const ended = once(last, "end");
    terminal.kill("SIGKILL");
    await ended;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
