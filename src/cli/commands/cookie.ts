import type { Command } from "commander";
import { findCookie } from "../cookie.ts";
import { note, print, printJson } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

export function addCookie(program: Command): void {
  const command = program
    .command("cookie")
    .description("show the cookie of a realm, the secret its nodes share; make one when there is none")
    .option("--json", "print one line of JSON")
    .addHelpText(
      "after",
      `
Examples:
  macula cookie --realm demo
  macula cookie --realm demo | ssh other 'umask 077; cat > demo.cookie'     then there: --cookie-file demo.cookie

Whoever knows the cookie can join the realm: show it to nobody else.`,
    )
    .action(async (options: { json?: boolean }, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const { cookie, generated, weakness } = await findCookie(configuration);
      if (weakness !== undefined) note(`warning: ${weakness}`);
      if (options.json === true) printJson({ realm: configuration.realm, cookie, generated });
      else print(cookie);
    });
  addSettings(command, ["realm", "cookieFile", "stateDir"]);
}
