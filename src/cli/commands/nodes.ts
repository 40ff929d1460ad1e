import type { Command } from "commander";
import { Failure } from "../failure.ts";
import { localNodes } from "../gateway.ts";
import { duration, print, printJson } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

export function addNodes(program: Command): void {
  const command = program
    .command("nodes")
    .description("list the nodes that run here, and those they have links to")
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExample:\n  macula nodes --json")
    .action(async (options: { json?: boolean }, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const running = await localNodes(configuration);
      if (options.json === true) {
        printJson(running.map(({ info }) => info));
        return;
      }
      if (running.length === 0) {
        throw new Failure(
          "no node of yours is running here: macula start --name node1@localhost:4433 starts one",
        );
      }
      for (const { info } of running) {
        print(`${info.name}  (realm ${info.realm}, process ${info.pid}, up ${duration(info.uptimeMs)})`);
        for (const node of info.nodes) print(`  ${node}`);
      }
    });
  addSettings(command, ["stateDir"]);
}
