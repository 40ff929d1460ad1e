import type { Command } from "commander";
import { fullNodeName, openGateway } from "../gateway.ts";
import { duration, print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration, realmSettings } from "../settings.ts";
import { viaHelp, wholeNumber } from "./arguments.ts";

export function addPing(program: Command): void {
  const command = program
    .command("ping")
    .description("measure the round trip to a node")
    .argument("<node>", "name@host:port")
    .option("-c, --count <number>", "how many times", wholeNumber(1, 1_000_000), 1)
    .option("--via <node>", viaHelp)
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExample:\n  macula ping node1@localhost:4433")
    .action(
      async (target: string, options: { count: number; via?: string; json?: boolean }, self: Command) => {
        const node = fullNodeName(target);
        const { configuration } = commandConfiguration(self);
        const gateway = await withProgress("starting", openGateway(configuration, node, options.via));
        try {
          const times: number[] = [];
          for (let round = 0; round < options.count; round++) {
            const answer = await withProgress(`waiting for ${node}`, gateway.ping(node));
            times.push(answer.rttMs);
            if (options.json !== true) print(`pong from ${node} in ${duration(answer.rttMs)}`);
          }
          if (options.json === true) {
            printJson({
              node,
              through: gateway.through,
              rttMs: times[0],
              ...(times.length > 1 ? { times } : {}),
            });
          }
        } finally {
          await gateway.close();
        }
      },
    );
  addSettings(command, realmSettings);
}
