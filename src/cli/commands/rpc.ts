import type { Command } from "commander";
import { MeshError } from "../../base/errors.ts";
import { format, type Term } from "../../etf/index.ts";
import { parseTerm } from "../../node/term-text.ts";
import { usageFailure } from "../failure.ts";
import { fullNodeName, openGateway } from "../gateway.ts";
import { print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration, realmSettings } from "../settings.ts";
import { termToJson } from "../term-json.ts";
import { viaHelp, wholeNumber } from "./arguments.ts";

interface RpcOptions {
  readonly timeoutMs: number;
  readonly text?: boolean;
  readonly via?: string;
  readonly json?: boolean;
}

export function addRpc(program: Command): void {
  const command = program
    .command("rpc")
    .description("call a function that a node exports")
    .argument("<node>", "name@host:port")
    .argument("<module>")
    .argument("<function>")
    .argument("[args...]", "terms, as JSON or in Erlang's syntax")
    .option("--timeout-ms <number>", "how long to wait for the answer", wholeNumber(1, 86_400_000), 5_000)
    .option("-t, --text", "take the arguments as plain text, not as terms")
    .option("--via <node>", viaHelp)
    .option("--json", "print the answer as JSON (atoms become text, tuples lists)")
    .addHelpText(
      "after",
      `
Examples:
  macula rpc node1@localhost:4433 math add 1 2
  macula rpc node1@localhost:4433 greeter hello --text Ada
  macula rpc node1@localhost:4433 store put '{user, 7}' '{"name": "Ada"}'

An argument is a term: 42, 1.5, "text", [1, 2], {"json": true}, atom, {tu, ple}, #{key => 1}, <<1, 2>>.
Text needs its own quotes inside those of the shell: '"text"'. Write -- before arguments that begin with a dash.`,
    )
    .action(
      async (target: string, module: string, name: string, given: string[], options: RpcOptions, self) => {
        const node = fullNodeName(target);
        const args = options.text === true ? given : given.map(parseArgument);
        const { configuration } = commandConfiguration(self as Command);
        const gateway = await withProgress("starting", openGateway(configuration, node, options.via));
        try {
          const call = gateway.rpc(node, module, name, args, { timeoutMs: options.timeoutMs });
          const value = await withProgress(`waiting for ${node}`, call);
          if (options.json === true) printJson(termToJson(value));
          else print(format(value, { charactersMax: Number.MAX_SAFE_INTEGER }));
        } finally {
          await gateway.close();
        }
      },
    );
  addSettings(command, realmSettings);
}

function parseArgument(text: string, index: number): Term {
  try {
    return parseTerm(text);
  } catch (thrown) {
    if (!(thrown instanceof MeshError)) throw thrown;
    throw usageFailure(
      `argument ${index + 1}, ${text}, is not a term: ${thrown.message}; write '"${text}"' or use --text if it is text`,
    );
  }
}
