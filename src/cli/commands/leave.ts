import type { Command } from "commander";
import { AdminClient } from "../../node/admin/client.ts";
import { chooseNode } from "../local-node.ts";
import { print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

/** A farewell and the end of all links take a few seconds at the most. */
const stopMs = 30_000;

export function addLeave(program: Command): void {
  const command = program
    .command("leave")
    .description("let a node that runs here say farewell to the mesh and stop")
    .argument("[node]", "name of the node; may be left out when only one runs here")
    .option("--json", "print one line of JSON")
    .addHelpText(
      "after",
      `
Example:
  macula leave node1@localhost:4433

The other members see it as left, not as dead. Ctrl-C in the node's terminal does the same. Returns when the node has stopped.`,
    )
    .action(async (wanted: string | undefined, options: { json?: boolean }, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const { path, info } = await chooseNode(configuration, wanted);
      const client = await AdminClient.connect(path);
      try {
        await client.ask({ op: "leave" }, { timeoutMs: stopMs });
        await withProgress(`waiting for ${info.name} to stop`, client.ended({ timeoutMs: stopMs }));
      } finally {
        client.close();
      }
      const { name, nodeId, pid } = info;
      if (options.json === true) printJson({ name, nodeId, pid, state: "left" });
      else print(`${name} has left`);
    });
  addSettings(command, ["stateDir"]);
}
