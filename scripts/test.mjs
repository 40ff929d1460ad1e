// Every check and every test, in the order in which they are cheap to fail; ends with one summary line.
//
//   npm test            all of it; installs the real peers from Debian's packages when it can
//   CI=true npm test    the same, but a peer that cannot be installed is a failure
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const isCi = ["1", "true"].includes(process.env.CI ?? "");
const totals = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

/** Programs the tests talk to, and the Debian packages they come from. */
const peers = [
  { program: "erl", packages: ["erlang-base", "erlang-crypto"] },
  {
    program: "erlc, with the headers of Erlang's distribution",
    packages: ["erlang-dev"],
    check: `f=$(erl -noinput -eval 'io:put_chars(code:lib_dir(kernel)), halt(0).') && [ -f "$f/include/dist_util.hrl" ] && command -v erlc`,
  },
  { program: "elixir", packages: ["elixir"] },
  { program: "openssl", packages: ["openssl"] },
  { program: "ps", packages: ["procps"] },
  { program: "script", packages: ["bsdutils"] },
  { program: "avahi-daemon", packages: ["avahi-daemon"] },
  { program: "avahi-browse", packages: ["avahi-utils"] },
  { program: "dbus-daemon", packages: ["dbus"] },
  { program: "dnsmasq", packages: ["dnsmasq-base"] },
  { program: "ip", packages: ["iproute2"] },
];

function has({ program, check = `command -v ${program}` }) {
  return spawnSync("sh", ["-c", check], { stdio: "ignore" }).status === 0;
}

function heading(text) {
  console.log(`\n== ${text}`);
}

/** Runs a command, showing its output, and resolves with that output and the exit code. */
function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
        process.stdout.write(chunk);
      });
    }
    child.on("error", (error) => resolve({ code: 127, output: `${output}${error.message}\n` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

function record(name, passed) {
  totals[passed ? "passed" : "failed"] += 1;
  if (!passed) failures.push(name);
}

async function check(name, command, args, options) {
  heading(name);
  const { code } = await run(command, args, options);
  record(name, code === 0);
}

async function installPeers() {
  const missing = peers.filter((peer) => !has(peer));
  if (missing.length === 0) return;
  heading(`installing ${missing.map(({ program }) => program).join(", ")}`);
  const packages = missing.flatMap((peer) => peer.packages);
  if (process.getuid?.() === 0 && has({ program: "apt-get" })) {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", ["update", "-qq"], { env });
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], { env });
  }
  for (const { program, packages: names } of missing.filter((peer) => !has(peer))) {
    console.log(
      `!! ${program} is missing: the tests against it ${isCi ? "FAIL" : "are SKIPPED"}. Install: apt-get install ${names.join(" ")}`,
    );
    if (isCi) record(`install ${program}`, false);
  }
}

async function cargo() {
  const cwd = join(root, "native");
  await check("rustfmt", "cargo", ["fmt", "--check"], { cwd });
  await check("clippy", "cargo", ["clippy", "--locked", "--all-targets", "--", "-D", "warnings"], { cwd });
  heading("cargo test");
  const { code, output } = await run("cargo", ["test", "--locked", "--no-default-features"], { cwd });
  let counted = 0;
  for (const [, passed, failed, ignored] of output.matchAll(
    /test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/g,
  )) {
    totals.passed += Number(passed);
    totals.failed += Number(failed);
    totals.skipped += Number(ignored);
    counted += Number(passed) + Number(failed);
  }
  if (code !== 0 || counted === 0) record("cargo test", false);
}

async function vitest() {
  heading("vitest");
  const folder = mkdtempSync(join(tmpdir(), "macula-test-"));
  const report = join(folder, "vitest.json");
  const { code } = await run(process.execPath, [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
  ]);
  try {
    const results = JSON.parse(readFileSync(report, "utf8"));
    totals.passed += results.numPassedTests;
    totals.failed += results.numFailedTests;
    totals.skipped += results.numPendingTests + results.numTodoTests;
    for (const file of results.testResults) {
      for (const test of file.assertionResults.filter(({ status }) => status === "failed"))
        failures.push(test.fullName);
    }
    // A file that did not even load, or an unhandled error, has no failed test of its own.
    if (code !== 0 && results.numFailedTests === 0) record("vitest", false);
  } catch {
    record("vitest", false);
  }
  rmSync(folder, { recursive: true, force: true });
}

const node = process.execPath;
await installPeers();
await check("native engine", node, ["scripts/build-native.mjs"]);
await check("format", node, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
await check("lint", "node_modules/.bin/oxlint", ["--type-aware", "--deny-warnings"]);
await check("types", node, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json", "--noEmit"]);
await check("cores without Node", node, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.cores.json"]);
await check("dead code", "node_modules/.bin/knip", []);
await check("build", node, ["scripts/build.mjs"]);
await cargo();
await vitest();
await check("build of benches and fuzzers", node, [
  "node_modules/typescript/bin/tsc",
  "-p",
  "tsconfig.bench.json",
]);
// Short forms of `npm run fuzz`, `npm run soak` and `npm run soak:mesh`.
await check("fuzz", node, ["build/fuzz/main.js", "--seconds", "10"]);
await check("soak", node, ["scripts/soak-quic.mjs", "--seconds", "10"]);
await check("soak of a mesh of 25 nodes", node, ["build/bench/soak-mesh.js", "--seconds", "120"]);
await check("the package, installed elsewhere", node, ["scripts/check-package.mjs"]);
await check("demo", node, ["dist/cli/demo/main.js"]);
// The engine is compiled once and must load in every supported Node.
const node24 = ["exec", "--yes", "--package=node@24", "--", "node"];
await check("demo on Node 24", "npm", [...node24, "dist/cli/demo/main.js"]);
// The carrier moves sockets in a way that Node does not document.
await check("API and carrier tests on Node 24", "npm", [
  ...node24,
  "node_modules/vitest/vitest.mjs",
  "run",
  "test/node/macula-node",
  "test/node/raw-socket",
  "test/node/beam-carrier",
]);

if (failures.length > 0) console.log(`\nfailed:\n${failures.map((name) => `  ${name}`).join("\n")}`);
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed === 0 && (!isCi || totals.skipped === 0) ? 0 : 1);
