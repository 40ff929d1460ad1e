import { spawn } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { carrierEbin } from "../../io/beam/ebin.ts";
import { answers } from "../../io/beam/local-service.ts";
import { beamDirectory, beamSocketPath, ensureOwnDirectory } from "../../io/beam/paths.ts";
import type { Configuration } from "../../node/configuration-schema.ts";
import { Failure, usageFailure } from "../failure.ts";
import { print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";
import { onEndSignals } from "../signals.ts";

/** This command's own file, also when it runs through a link in PATH. */
const main = fileURLToPath(new URL("../main.js", import.meta.url));

export function addBeam(program: Command): void {
  const beam = program
    .command("beam")
    .description("run the distribution of Erlang and Elixir nodes through Macula: print the flags for it")
    .option("--json", "print one line of JSON")
    .addHelpText(
      "after",
      `
Examples:
  erl -name node1@localhost:4433 $(macula beam)
  iex --name node2@localhost:4434 --erl "$(macula beam)"
  ERL_AFLAGS="$(macula beam)" bin/my_app start

The port in a node's name is the UDP port of its Macula node, 4433 when it has none; a Macula node that does not run yet is started.`,
    )
    .action(async (options: { json?: boolean }, self: Command) => {
      const ebin = await ebinOf(commandConfiguration(self).configuration);
      const flags = beamFlags(ebin);
      if (options.json === true) printJson({ flags, ebin });
      else print(flags.join(" "));
    });
  addSettings(beam, ["stateDir"]);
  const path = beam
    .command("path")
    .description("print the folder of the carrier's compiled modules, for erl -pa; compile them when needed")
    .action(async (_: unknown, self: Command) => {
      print(await ebinOf(commandConfiguration(self).configuration));
    });
  addSettings(path, ["stateDir"]);
  const serve = beam
    .command("serve <port>", { hidden: true })
    .description(
      "start the Macula node of a UDP port for BEAM nodes, in the background; their carrier calls this",
    )
    .action(async (port: string, _: unknown, self: Command) => {
      await serveInBackground(commandConfiguration(self).configuration, portOf(port));
    });
  addSettings(serve, ["stateDir"]);
  const node = beam
    .command("node <port>", { hidden: true })
    .description("the same in the foreground")
    .action(async (port: string, _: unknown, self: Command) => {
      await runBeamNode(commandConfiguration(self).configuration, portOf(port));
    });
  addSettings(node);
}

/**
 * What makes a node use Macula and nothing else. Only the first two are needed; the others keep a node from using TCP unnoticed
 * (`macula_dist_epmd`), `erl` from starting epmd, and let a release in embedded mode find the modules, when they come
 * first (ERL_AFLAGS): Erlang takes the first `-mode` that it is given.
 */
function beamFlags(ebin: string): readonly string[] {
  return [
    ...["-proto_dist", "macula", "-pa", ebin],
    ...["-epmd_module", "macula_dist_epmd", "-start_epmd", "false"],
    ...["-mode", "interactive"],
  ];
}

async function ebinOf({ stateDir }: Configuration): Promise<string> {
  return withProgress("compiling", carrierEbin({ stateDir: needed(stateDir), main }));
}

function needed(stateDir: string | null): string {
  if (stateDir !== null) return stateDir;
  throw usageFailure("BEAM nodes find their Macula node through its stateDir: it cannot be none");
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw usageFailure(`${text} is not a UDP port`);
}

/** How long a node may take to start. Its first identity takes longest, on a small machine. */
const startTimeoutMs = 25_000;
const pollMs = 50;

/**
 * Starts the node detached, and waits until it serves BEAM nodes. Of several that are started at once for one port one gets
 * the port, and all callers wait for that one.
 */
async function serveInBackground(configuration: Configuration, port: number): Promise<void> {
  const stateDir = needed(configuration.stateDir);
  const socket = beamSocketPath(stateDir, port);
  if (await answers(socket)) return;
  await ensureOwnDirectory(beamDirectory(stateDir));
  const logFile = join(beamDirectory(stateDir), `${port}.log`);
  const log = await open(logFile, "a", 0o600);
  const { size } = await log.stat();
  const child = spawn(
    process.execPath,
    [main, "beam", "node", String(port), "--state-dir", stateDir, "--log-format", "json"],
    { detached: true, stdio: ["ignore", log.fd, log.fd], cwd: "/" },
  );
  await log.close();
  let ended: number | undefined;
  child.once("exit", (code) => {
    ended = code ?? 1;
  });
  child.once("error", () => {
    ended = 1;
  });
  const deadline = performance.now() + startTimeoutMs;
  while (performance.now() < deadline) {
    if (await answers(socket)) {
      child.unref();
      return;
    }
    // Its port may have been taken by another that was started at the same time: that one is as good.
    if (ended !== undefined && performance.now() > deadline - startTimeoutMs + 5_000) break;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  child.unref();
  throw new Failure(`${await lastWords(logFile, size)} (${logFile} has more)`);
}

/** The last line that was written to the log since it had `from` bytes. */
async function lastWords(file: string, from: number): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(65_536), 0, 65_536, from);
    const lines = buffer.subarray(0, bytesRead).toString().trim().split("\n");
    const said = lines.filter((line) => line.startsWith("macula: ")).at(-1);
    return said?.slice("macula: ".length) ?? `the node did not start within ${startTimeoutMs / 1_000} s`;
  } finally {
    await handle.close();
  }
}

/** How long a node waits for the first BEAM node at least. */
const firstComeMs = 30_000;

async function runBeamNode(configuration: Configuration, port: number): Promise<void> {
  const { lingerMs } = configuration.beam;
  const { startNode } = await import("../node-starter.ts");
  const signals = onEndSignals();
  let timer: NodeJS.Timeout | undefined;
  let onLonely: (reason: string) => void = () => {};
  const lonely = new Promise<string>((resolve) => {
    onLonely = resolve;
  });
  const endAfter = (milliseconds: number): void => {
    timer = setTimeout(() => onLonely("no BEAM node is left"), milliseconds);
  };
  const onBeamIdle = (idle: boolean): void => {
    clearTimeout(timer);
    if (idle) endAfter(lingerMs);
  };
  const { node, log } = await startNode(configuration, `macula@localhost:${port}`, { onBeamIdle });
  // Whoever had it started may have gone already, or come late on a busy machine.
  if (timer === undefined && node.beam.nodes().length === 0) endAfter(Math.max(lingerMs, firstComeMs));
  const reason = await Promise.race([lonely, signals]);
  clearTimeout(timer);
  log.info({ reason }, "node.stopping");
  await node.close();
  log.close();
}
