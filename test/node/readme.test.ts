import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { expect, test } from "vitest";
import { MaculaNode } from "../../src/node/macula-node.ts";
import { withSelf } from "../../src/process/index.ts";
import { freePort } from "../support/free-port.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("README: its first program runs as written, next to a node1", async () => {
  const program = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";
  const cookie = /cookie: "([^"]+)"/.exec(program)?.[1] ?? "";
  const node1 = await MaculaNode.start({
    name: "node1@localhost:0",
    realm: "demo",
    cookie,
    stateDir: null,
    discovery: { mdns: false },
  });
  const folder = mkdtempSync(join(root, "build-readme-"));
  try {
    node1.exportModule("math", { add: (a: number, b: number) => a + b });
    const logged = new Promise((resolve) => {
      node1.spawn(async (self) => resolve(await self.receive()), { name: "logger" });
    });
    const worked = new Promise((resolve) => {
      node1.exportModule("worker", { run: withSelf((_self, answer: number) => resolve(answer)) });
    });
    // Other ports, since something may listen on the usual ones; inside the package, where "macula" is its own name.
    const moved = program
      .replaceAll("4433", String(node1.address.port))
      .replaceAll("4434", String(await freePort()));
    const { outputText } = ts.transpileModule(moved, {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(folder, "readme.mjs"), outputText);
    const env = { ...process.env, MACULA_HOME: join(folder, "home") };
    await promisify(execFile)(process.execPath, [join(folder, "readme.mjs")], { env, timeout: 30_000 });
    expect(await worked).toBe(42);
    expect(await logged).toMatchObject({ elements: [{ name: "hello" }, {}, { any: "term" }] });
  } finally {
    await node1.close();
    rmSync(folder, { recursive: true });
  }
});
