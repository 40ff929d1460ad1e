import type { Command } from "commander";
import { routesText } from "../../node/admin/mesh-text.ts";
import { routesSchema } from "../../node/admin/protocol.ts";
import { askNode, chooseNode } from "../local-node.ts";
import { print, printJson } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

export function addRoutes(program: Command): void {
  const command = program
    .command("routes")
    .description("show the links of a node that runs here, and how it reaches each member")
    .argument("[node]", "name of the node to ask; may be left out when only one runs here")
    .option("--json", "print one line of JSON")
    .addHelpText(
      "after",
      `
Example:
  macula routes node1@localhost:4433

A link is to a neighbour on the ring, a shortcut to members far from there (or one that traffic asked for), or a guest: the
other end wants it. The way to a member is its link, or through the mesh, beginning with the next hop.`,
    )
    .action(async (wanted: string | undefined, options: { json?: boolean }, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const node = await chooseNode(configuration, wanted);
      const routes = await askNode(node, { op: "routes" }, routesSchema);
      if (options.json === true) printJson(routes);
      else print(routesText(routes, node.info.name));
    });
  addSettings(command, ["stateDir"]);
}
