import type { Command } from "commander";
import { version } from "../../node/version.ts";
import { print, printJson } from "../output.ts";

export function addVersion(program: Command): void {
  program
    .command("version")
    .description("show the versions of macula and of what it runs on")
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExample:\n  macula version --json")
    .action((options: { json?: boolean }) => {
      const platform = `${process.platform}-${process.arch}`;
      if (options.json === true) printJson({ macula: version, node: process.versions.node, platform });
      else print(`macula ${version} (Node.js ${process.versions.node}, ${platform})`);
    });
}
