import type { Command } from "commander";
import { configurationDocument, explainSettings, shownValue } from "../../node/configuration-explain.ts";
import { settings } from "../../node/configuration-schema.ts";
import { print, printJson } from "../output.ts";
import { addSettings, commandConfiguration } from "../settings.ts";

interface ConfigOptions {
  readonly explain?: boolean;
  readonly markdown?: boolean;
  readonly json?: boolean;
}

export function addConfig(program: Command): void {
  const command = program
    .command("config")
    .description("show the settings in effect and where each comes from")
    .option("--explain", "describe every setting")
    .option("--markdown", "describe every setting, as docs/configuration.md")
    .option("--json", "print one line of JSON")
    .addHelpText("after", "\nExamples:\n  macula config --explain\n  MACULA_REALM=demo macula config")
    .action((options: ConfigOptions, self: Command) => {
      if (options.explain === true) process.stdout.write(explainSettings());
      else if (options.markdown === true) process.stdout.write(configurationDocument());
      else showInEffect(self, options.json === true);
    });
  addSettings(command);
}

function showInEffect(self: Command, json: boolean): void {
  const { configuration, sources } = commandConfiguration(self);
  const rows = settings.map((setting) => ({
    key: setting.key,
    value: shownValue(setting, configuration),
    source: sources.get(setting.key) ?? "default",
  }));
  if (json) {
    printJson(Object.fromEntries(rows.map(({ key, value, source }) => [key, { value, source }])));
    return;
  }
  const keyWidth = Math.max(...rows.map(({ key }) => key.length));
  const valueWidth = Math.min(40, Math.max(...rows.map(({ value }) => value.length)));
  for (const { key, value, source } of rows) {
    print(`${key.padEnd(keyWidth)}  ${value.padEnd(valueWidth)}  ${source}`);
  }
}
