import { join } from "node:path";
import type { Command } from "commander";
import { runningNode } from "../../node/admin/client.ts";
import { runDirectory, socketPath } from "../../node/admin/socket-path.ts";
import type { Configuration } from "../../node/configuration-schema.ts";
import { Failure, usageFailure } from "../failure.ts";
import { fullNodeName } from "../gateway.ts";
import type { StartedNode } from "../node-starter.ts";
import { columns, note, print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";
import { onEndSignals } from "../signals.ts";

export function addStart(program: Command): void {
  const command = program
    .command("start")
    .description("start a node and run until Ctrl-C")
    .option("--json", "print the node's facts as one line of JSON")
    .addHelpText(
      "after",
      `
Examples:
  macula start --name node1@localhost:4433
  macula start --name node2@localhost:4434 --exports ./math.js --log-level debug

Ctrl-C, SIGTERM or \`macula leave\` ends the node in order; a second signal ends it at once.`,
    )
    .action(async (options: { json?: boolean }, self: Command) => {
      const { configuration } = commandConfiguration(self);
      if (configuration.name === undefined) {
        throw usageFailure("a node needs a name: macula start --name node1@localhost:4433");
      }
      await runNode(configuration, fullNodeName(configuration.name), options.json === true);
    });
  addSettings(command);
}

async function runNode(configuration: Configuration, name: string, json: boolean): Promise<void> {
  const signals = onEndSignals();
  await refuseSecond(configuration, name);
  const { startNode } = await import("../node-starter.ts");
  const started = await withProgress("starting", startNode(configuration, name));
  const { node, log } = started;
  const admin = await openAdmin(configuration, started).catch(async (error: unknown) => {
    await node.close();
    throw error;
  });
  const address = node.address.host.includes(":") ? `[${node.address.host}]` : node.address.host;
  const facts = {
    name: node.name,
    nodeId: node.nodeId,
    realm: configuration.realm,
    address: `${address}:${node.address.port}`,
    adminSocket: admin?.path ?? null,
    pid: process.pid,
  };
  if (json) printJson(facts);
  else {
    print(
      columns([
        ["name", facts.name],
        ["id", facts.nodeId],
        ["realm", facts.realm],
        ["address", `${facts.address} (UDP)`],
        ["admin", facts.adminSocket ?? "none, because nothing is kept on disk (--state-dir none)"],
      ]),
    );
    if (process.stdout.isTTY)
      note(`Ctrl-C stops the node; \`macula shell ${node.name}\` opens a shell on it`);
  }
  // A shell, or `macula leave`, may close it, too.
  const signal = await Promise.race([signals, node.closed]);
  if (signal !== undefined) log.info({ signal }, "node.stopping");
  await admin?.close();
  await node.close();
  log.close();
}

/** Says so clearly when this very node is running: the port in use alone would leave the user guessing. */
async function refuseSecond({ stateDir }: Configuration, name: string): Promise<void> {
  if (stateDir === null) return;
  const other = await runningNode(socketPath(runDirectory(stateDir), name));
  if (other === undefined) return;
  throw new Failure(
    `${name} is already running here, as process ${other.info.pid}: choose another --name, or stop it first`,
  );
}

async function openAdmin({ stateDir }: Configuration, { node, log }: StartedNode) {
  if (stateDir === null) return undefined;
  const { AdminServer } = await import("../../node/admin/server.ts");
  return AdminServer.open({
    node,
    directory: runDirectory(stateDir),
    historyFile: join(stateDir, "shell_history"),
    log,
  });
}
