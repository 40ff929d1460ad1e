import type { Command } from "commander";
import { usageFailure } from "../failure.ts";
import { localNodes } from "../gateway.ts";
import { chooseNode } from "../local-node.ts";
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
      const ownName = sources.get("name") === "--name" ? configuration.name : undefined;
      if (ownName === undefined) return attachShell((await chooseNode(configuration, target)).path);
      if (target !== undefined) {
        throw usageFailure("give the name of a running node, or --name to start one, not both");
      }
      const running = (await localNodes(configuration)).find(({ info }) => info.name === ownName);
      if (running !== undefined) return attachShell(running.path);
      const { shellOnOwnNode } = await import("../own-shell.ts");
      return shellOnOwnNode(configuration, ownName);
    });
  addSettings(command);
}
