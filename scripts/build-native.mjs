// The package's install script: makes native/macula-native.<platform>.node with cargo, unless a prebuilt one is there.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const native = join(root, "native");

function isMusl() {
  return process.platform === "linux" && process.report.getReport().header.glibcVersionRuntime === undefined;
}

const platform = `${process.platform}-${process.arch}${isMusl() ? "-musl" : ""}`;
const target = join(native, `macula-native.${platform}.node`);
const stamp = `${target}.sha256`;

function isPrebuilt() {
  try {
    createRequire(import.meta.url).resolve(`@macula/native-${platform}`);
    return true;
  } catch {
    return false;
  }
}

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [path];
  });
}

/** What the binary was made from. */
function digest() {
  const hash = createHash("sha256");
  const files = [
    ...sources(join(native, "src")),
    ...["Cargo.toml", "Cargo.lock", "build.rs"].map((name) => join(native, name)),
  ];
  for (const file of files.sort((a, b) => (a < b ? -1 : 1)))
    hash.update(relative(native, file)).update("\0").update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

function library() {
  const name =
    { win32: "macula_native.dll", darwin: "libmacula_native.dylib" }[process.platform] ??
    "libmacula_native.so";
  return join(native, "target", "release", name);
}

function fail(sentence) {
  console.error(sentence);
  process.exit(1);
}

function build() {
  if (spawnSync("cargo", ["--version"], { stdio: "ignore" }).error !== undefined) {
    fail(
      `macula: there is no prebuilt QUIC engine for ${platform} and no cargo to build it with: install Rust from https://rustup.rs and run npm install again.`,
    );
  }
  console.log(
    `macula: building the QUIC engine for ${platform} with cargo (about two minutes the first time)`,
  );
  // Musl needs a dynamic C runtime: Node loads a shared library.
  const flags = isMusl() ? { RUSTFLAGS: `${process.env.RUSTFLAGS ?? ""} -C target-feature=-crt-static` } : {};
  const result = spawnSync("cargo", ["build", "--release", "--locked", "--lib", "--quiet"], {
    cwd: native,
    env: { ...process.env, ...flags, CARGO_TARGET_DIR: join(native, "target") },
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.status !== 0)
    fail("macula: the QUIC engine could not be built: cargo's message above says why.");
}

if (!isPrebuilt()) {
  const wanted = digest();
  const current = existsSync(target) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted;
  if (!current) {
    build();
    // Replaced in one step: another process may be running the old one.
    copyFileSync(library(), `${target}.new`);
    renameSync(`${target}.new`, target);
    writeFileSync(stamp, wanted);
  }
}
