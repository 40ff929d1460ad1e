import type { Command } from "commander";
import { traceText } from "../../node/admin/mesh-text.ts";
import { traceSchema } from "../../node/admin/protocol.ts";
import { fullNodeName } from "../gateway.ts";
import { askNode, chooseNode } from "../local-node.ts";
import { print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

export function addTrace(program: Command): void {
  const command = program
    .command("trace")
    .description("show which way messages to a node take through the mesh, hop by hop")
    .argument("<node>", "name@host:port of a member")
    .option("--via <node>", "node that runs here to begin at; may be left out when there is only one")
    .option("--json", "print one line of JSON")
    .addHelpText(
      "after",
      `
Example:
  macula trace node9@example.org:4433

Round trips are measured to each hop for itself. Exit code 1, and who could not pass it on and why, when it does not get there.`,
    )
    .action(async (target: string, options: { via?: string; json?: boolean }, self: Command) => {
      const name = fullNodeName(target);
      const { configuration } = commandConfiguration(self);
      const node = await chooseNode(configuration, options.via);
      const asked = askNode(node, { op: "trace", node: name }, traceSchema);
      const trace = await withProgress(`waiting for ${name}`, asked);
      if (options.json === true) printJson({ node: name, through: node.info.name, ...trace });
      else print(traceText(trace));
    });
  addSettings(command, ["stateDir"]);
}
