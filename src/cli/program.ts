import { Command, CommanderError } from "commander";
import { toError } from "../base/errors.ts";
import { version } from "../node/version.ts";
import { addBeam } from "./commands/beam.ts";
import { addConfig } from "./commands/config.ts";
import { addCookie } from "./commands/cookie.ts";
import { addEcho } from "./commands/echo.ts";
import { addLeave } from "./commands/leave.ts";
import { addMembers } from "./commands/members.ts";
import { addNodes } from "./commands/nodes.ts";
import { addPing } from "./commands/ping.ts";
import { addRoutes } from "./commands/routes.ts";
import { addRpc } from "./commands/rpc.ts";
import { addShell } from "./commands/shell.ts";
import { addStart } from "./commands/start.ts";
import { addTrace } from "./commands/trace.ts";
import { addVersion } from "./commands/version.ts";
import { exitCode } from "./failure.ts";
import { reportFailure } from "./output.ts";

function buildProgram(): Command {
  const program = new Command("macula")
    .description("Programs on many machines as one distributed Erlang system, over QUIC.")
    .version(version, "-V, --version")
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "macula: ")) })
    .addHelpText(
      "after",
      `
Examples:
  macula start --name node1@localhost:4433 --exports ./math.js
  macula shell node1@localhost:4433
  macula rpc node1@localhost:4433 math add 1 2

Exit codes: 0 it worked, 1 it failed, 2 the command was not understood. Settings: macula config --explain`,
    );
  for (const add of [
    addStart,
    addShell,
    addRpc,
    addPing,
    addNodes,
    addMembers,
    addRoutes,
    addTrace,
    addLeave,
    addBeam,
    addConfig,
    addCookie,
    addEcho,
    addVersion,
  ]) {
    add(program);
  }
  for (const command of [
    program,
    ...program.commands,
    ...program.commands.flatMap(({ commands }) => commands),
  ]) {
    command.exitOverride().configureOutput(program.configureOutput());
  }
  return program;
}

/** Runs the command that `args` say; the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  try {
    await buildProgram().parseAsync(args, { from: "user" });
    return exitCode.ok;
  } catch (thrown) {
    // Commander has said what is wrong already.
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? exitCode.ok : exitCode.usage;
    return reportFailure(toError(thrown), args.includes("--json"));
  }
}
