import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { MeshError, toError } from "../../base/errors.ts";
import { beamDirectory, ensureOwnDirectory } from "./paths.ts";

const run = promisify(execFile);

/** The carrier's Erlang sources: beside `dist/` in the package, beside `src/` in the repository. */
const sourceFolder = fileURLToPath(new URL("../../../beam/src/", import.meta.url));
/** Where the carrier finds the `macula` command (`macula_dist_starter:read_facts/0`). */
const factsFile = "macula_dist.facts";
const oldestRelease = 25;
/** Compiling five files takes a second or two. */
const compileTimeoutMs = 60_000;

export interface EbinOptions {
  readonly stateDir: string;
  /** The `macula` command's JavaScript file. */
  readonly main: string;
}

/**
 * The folder of the compiled carrier, for `erl -pa`. It is compiled with the user's own `erlc` when it was not yet for this OTP
 * release, because the records that the distribution's modules share change between releases.
 * @throws MeshError `UNSUPPORTED` when Erlang is missing or too old, or does not compile it.
 */
export async function carrierEbin({ stateDir, main }: EbinOptions): Promise<string> {
  const release = await otpRelease();
  const sources = await readSources();
  const facts = erlangFacts({ node: process.execPath, main, stateDir });
  const hash = createHash("sha256").update(facts);
  for (const { name, content } of sources) hash.update(`\0${name}\0`).update(content);
  const root = join(beamDirectory(stateDir), "ebin");
  const folder = join(root, `otp${release}-${hash.digest("hex").slice(0, 16)}`);
  await ensureOwnDirectory(beamDirectory(stateDir));
  await mkdir(root, { recursive: true, mode: 0o700 });
  if (await isFolder(folder)) return folder;
  // Complete or not there: others may compile at the same time, or we may be interrupted.
  const temporary = await mkdtemp(join(root, `.${randomBytes(4).toString("hex")}-`));
  try {
    await compile(temporary);
    await writeFile(join(temporary, factsFile), facts);
    await rename(temporary, folder);
  } catch (error) {
    if (!(await isFolder(folder))) throw error;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return folder;
}

async function otpRelease(): Promise<number> {
  const expression = "io:put_chars(erlang:system_info(otp_release)), halt(0).";
  const { stdout } = await erlang("erl", ["-noinput", "-boot", "start_clean", "-eval", expression]);
  const release = Number.parseInt(stdout, 10);
  if (release >= oldestRelease) return release;
  throw new MeshError(
    "UNSUPPORTED",
    `this is Erlang/OTP ${stdout.trim()}; ${oldestRelease} or later is needed`,
  );
}

async function compile(folder: string): Promise<void> {
  const files = (await readSources()).map(({ name }) => join(sourceFolder, name));
  await erlang("erlc", ["+deterministic", "+debug_info", "-o", folder, ...files]);
}

/** Runs a program of Erlang's, which must not become a distributed node because of the environment. */
async function erlang(program: string, args: readonly string[]): Promise<{ stdout: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^ERL_(?:[AZ]?FLAGS|OTP\d+_FLAGS)$/.test(name)),
  );
  try {
    return await run(program, args, { env, timeout: compileTimeoutMs });
  } catch (thrown) {
    const error = toError(thrown) as Error & { code?: unknown; stdout?: string; stderr?: string };
    if (error.code === "ENOENT") {
      throw new MeshError(
        "UNSUPPORTED",
        `${program} is not in PATH: install Erlang/OTP ${oldestRelease} or later (Debian: apt-get install erlang-base erlang-dev)`,
        { cause: thrown },
      );
    }
    const said = `${error.stdout ?? ""}${error.stderr ?? ""}`.trim();
    throw new MeshError("UNSUPPORTED", `${program} failed: ${said === "" ? error.message : said}`, {
      cause: thrown,
    });
  }
}

async function readSources(): Promise<{ name: string; content: Uint8Array }[]> {
  const names = (await readdir(sourceFolder)).filter((name) => name.endsWith(".erl")).sort();
  return Promise.all(
    names.map(async (name) => ({ name, content: await readFile(join(sourceFolder, name)) })),
  );
}

/** A map as Erlang reads it. */
function erlangFacts({ node, main, stateDir }: { node: string; main: string; stateDir: string }): string {
  return `#{node => ${erlangText(node)}, main => ${erlangText(main)}, state_dir => ${erlangText(stateDir)}}.\n`;
}

function erlangText(text: string): string {
  const escaped = text.replace(/["\\]|\p{Cc}/gu, (character) =>
    /["\\]/.test(character) ? `\\${character}` : `\\x{${character.charCodeAt(0).toString(16)}}`,
  );
  return `"${escaped}"`;
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}
