import type { Command } from "commander";
import type { RunningNode } from "../../node/admin/client.ts";
import { Failure, usageFailure } from "../failure.ts";
import { fullNodeName, localNodes } from "../gateway.ts";
import { addSettings, commandConfiguration } from "../settings.ts";
import { attachShell } from "../shell.ts";

export function addShell(program: Command): void {
  const command = program
    .command("shell")
    .description("open a shell on a running node, or with --name on a node of its own")
    .argument("[node]", "name of a node that runs here; may be left out when there is only one")
    .addHelpText(
      "after",
      `
Examples:
  macula shell node1@localhost:4433
  macula shell --name me@localhost:4440
  echo 'nodes()' | macula shell

help() in the shell lists its functions. Leaving it (Ctrl-D) does not stop the node, unless --name started it.`,
    )
    .action(async (target: string | undefined, _: unknown, self: Command) => {
      const { configuration, sources } = commandConfiguration(self);
      const running = await localNodes(configuration);
      const ownName = sources.get("name") === "--name" ? configuration.name : undefined;
      if (target !== undefined && ownName !== undefined) {
        throw usageFailure("give the name of a running node, or --name to start one, not both");
      }
      const wanted = target === undefined ? ownName : fullNodeName(target);
      const chosen =
        wanted === undefined ? onlyNode(running) : running.find(({ info }) => info.name === wanted);
      if (chosen !== undefined) return attachShell(chosen.path);
      if (ownName === undefined) throw notRunning(wanted, running);
      const { shellOnOwnNode } = await import("../own-shell.ts");
      return shellOnOwnNode(configuration, ownName);
    });
  addSettings(command);
}

function onlyNode(running: readonly RunningNode[]): RunningNode | undefined {
  if (running.length <= 1) return running[0];
  throw usageFailure(`several nodes run here, say which: ${names(running)}`);
}

function notRunning(wanted: string | undefined, running: readonly RunningNode[]): Failure {
  const start = `macula start --name ${wanted ?? "node1@localhost:4433"}`;
  if (wanted === undefined) return new Failure(`no node of yours is running here: start one with ${start}`);
  const others = running.length === 0 ? "" : ` (running: ${names(running)})`;
  return new Failure(`${wanted} is not running here${others}: start it with ${start}`);
}

function names(running: readonly RunningNode[]): string {
  return running.map(({ info }) => info.name).join(", ");
}
