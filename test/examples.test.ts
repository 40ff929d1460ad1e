import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProgram } from "./node/support/program.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What each example must print, in this order. */
const outputs: Readonly<Record<string, readonly RegExp[]>> = {
  "call-and-spawn.ts": [/^1 \+ 2 = 3$/m, /^the other side: RangeError: by zero$/m, /^worker 7 on /m],
  "gen-server.ts": [/^1 2$/m, /^MeshError: .*RangeError: only next/m, /^after the restart: 1$/m],
  "logging.ts": [
    /^info node\.started /m,
    /^warn link\.unreachable .*"code":"REFUSED"/m,
    /^info node\.stopped /m,
  ],
  "node-down.ts": [/^ready$/m, /noconnection/, /noconnection/, /^worker@localhost:\d+ is gone: /m],
  "processes.ts": [/^21 doubled is 42$/m],
  "slow-receiver.ts": [/^100000 sent, waited [1-9]\d* times$/m, /^100000 received, in order$/m],
  "two-nodes.ts": [/^connected: true \[ 'node1@localhost:\d+' \]$/m, /^logger got \{hello,node2\}$/m],
};

const programs = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));
let folder: string;

beforeAll(() => {
  // Inside the package, where "macula" is its own name.
  folder = mkdtempSync(join(root, "build-examples-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("each example says what it prints, here", () => {
  expect(programs.toSorted()).toEqual(Object.keys(outputs).toSorted());
});

test.each(programs)("%s runs as written, to its end", async (file) => {
  const { outputText } = ts.transpileModule(readFileSync(join(root, "examples", file), "utf8"), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const program = join(folder, file.replace(/ts$/, "mjs"));
  writeFileSync(program, outputText);
  const { code, output } = await runProgram(program);
  expect({ code, output }).toMatchObject({ code: 0 });
  for (const expected of outputs[file] ?? []) expect(output).toMatch(expected);
});
