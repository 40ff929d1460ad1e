import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const main = "dist/cli/main.js";

/** Where the state of the nodes of one test file is. Never the user's own. */
export interface Home {
  readonly path: string;
  remove(): void;
}

export function temporaryHome(): Home {
  if (!existsSync(main)) throw new Error(`${main} is missing: npm run build`);
  // Short: the path of a Unix socket has little room.
  const path = mkdtempSync(join(tmpdir(), "mac-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly stdin?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

function start(
  home: Home,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): ChildProcess {
  const others = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("MACULA_")),
  );
  const quiet = { MACULA_HOME: home.path, MACULA_DISCOVERY_MDNS: "false" };
  const env = { ...others, ...quiet, ...environment };
  return spawn(process.execPath, [main, ...args], { env, stdio: "pipe" });
}

/** Runs `macula ARGS` to its end. */
export async function macula(
  home: Home,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  const child = start(home, args, options.environment);
  child.stdin?.end(options.stdin ?? "");
  return outcome(child);
}

async function outcome(child: ChildProcess): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk) => (stdout += String(chunk)));
  child.stderr?.on("data", (chunk) => (stderr += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stdout, stderr };
}

export interface RunningNode {
  readonly name: string;
  readonly nodeId: string;
  readonly adminSocket: string;
  readonly pid: number;
  /** Asks it to end, as Ctrl-C does; what it said. */
  stop(): Promise<Outcome>;
  kill(): Promise<Outcome>;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<Outcome>;
}

/** Starts `macula start ARGS` and waits until it runs. */
export async function startNode(
  home: Home,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningNode> {
  const child = start(home, ["start", "--json", ...args], environment);
  const ended = outcome(child);
  const first = await new Promise<string>((resolve, reject) => {
    child.stdout?.once("data", (chunk) => resolve(String(chunk)));
    void ended.then(({ stderr }) => reject(new Error(`the node ended: ${stderr}`)));
  });
  const facts = JSON.parse(first) as Omit<RunningNode, "stop" | "kill" | "ended">;
  const end = (signal: NodeJS.Signals) => () => {
    child.kill(signal);
    return ended;
  };
  return { ...facts, stop: end("SIGINT"), kill: end("SIGKILL"), ended };
}

/** A command that goes on, and what it prints. */
export interface Followed {
  /** The next line, as JSON. */
  next(): Promise<unknown>;
  stop(): Promise<void>;
}

/** Runs `macula ARGS` until it is stopped. */
export function follow(
  home: Home,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Followed {
  const child = start(home, args, environment);
  const ended = outcome(child);
  const lines = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`it ended: ${(await ended).stderr}`);
      return JSON.parse(value) as unknown;
    },
    stop: async () => {
      child.kill("SIGINT");
      await ended;
    },
  };
}
