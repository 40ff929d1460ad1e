// Installs the package as a stranger would get it, into an empty folder, and uses each of its entry points.
// The engine is not compiled a second time: the library built here is put where the install script would put it.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "macula-package-"));
const run = (command, args, cwd) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

const program = `
import { MaculaNode, atom, tuple } from "macula";
import { decode, encode } from "macula/etf";
import { decodeFrame, encodeFrame, frameType } from "macula/wire";
import { QuicEndpoint } from "macula/quic";
import { Simulation } from "macula/testing";
const bytes = encode(tuple(atom("ok"), 1));
const { frame } = decodeFrame(encodeFrame(frameType.send, bytes));
if (decode(frame.payload).elements[1] !== 1 || typeof QuicEndpoint.listen !== "function") throw new Error("broken");
if (new Simulation({ seed: 1 }).digest() !== new Simulation({ seed: 1 }).digest()) throw new Error("no simulation");
const settings = { realm: "package", cookie: "x4m2q8v7n5w3k9z6r1tp", stateDir: null, discovery: { mdns: false } };
const one = await MaculaNode.start({ ...settings, name: "one@localhost:0" });
const two = await MaculaNode.start({ ...settings, name: "two@localhost:0" });
one.exportModule("math", { add: (a, b) => a + b });
if ((await two.rpc(one.name, "math", "add", [1, 2])) !== 3) throw new Error("wrong sum");
await Promise.all([one.close(), two.close()]);
`;

try {
  const [{ filename }] = JSON.parse(
    run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root),
  );
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "stranger", private: true, type: "module" }),
  );
  run("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", join(folder, filename)], folder);
  const native = join(folder, "node_modules/macula/native");
  mkdirSync(native, { recursive: true });
  for (const file of readdirSync(join(root, "native")).filter((name) => name.endsWith(".node"))) {
    copyFileSync(join(root, "native", file), join(native, file));
  }
  writeFileSync(join(folder, "program.mjs"), program);
  run(process.execPath, ["program.mjs"], folder);
  console.log(`the package works when installed: macula ${run("npx", ["macula", "version"], folder).trim()}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
