import { type Command, Option } from "commander";
import { type LoadedConfiguration, loadConfiguration } from "../node/configuration.ts";
import { settings } from "../node/configuration-schema.ts";
import { note } from "./output.ts";

const placeholders: Readonly<Record<string, string>> = {
  integer: "<number>",
  path: "<path>",
  paths: "<module.js>",
  list: "<addresses>",
  choice: "<word>",
  text: "<text>",
};

/** Settings that a command for another node needs: how to get into its realm. */
export const realmSettings = [
  "realm",
  "cookie",
  "cookieFile",
  "authorityFile",
  "authorityKeyFile",
  "stateDir",
  "log.level",
  "log.format",
];

/** Adds `--config` and a flag for each setting (or for those in `keys`) to `command`. */
export function addSettings(command: Command, keys?: readonly string[]): Command {
  command.addOption(
    new Option(
      "--config <file>",
      "configuration file (default: MACULA_CONFIG, else ~/.macula/config.json)",
    ).helpGroup("Settings:"),
  );
  for (const setting of settings) {
    if (keys !== undefined && !keys.includes(setting.key)) continue;
    const option = new Option(
      setting.kind === "switch" ? setting.flag : `${setting.flag} ${placeholders[setting.kind] ?? "<value>"}`,
      setting.description.replaceAll("`", "").split(". ")[0]?.replace(/\.$/, ""),
    ).helpGroup(setting.path.length === 1 ? "Settings:" : `Settings, ${setting.path[0]}:`);
    if (setting.kind === "paths" || setting.kind === "list") option.argParser(collect);
    command.addOption(option);
  }
  return command;
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/**
 * The configuration for `command`, from its flags, the environment and the file. Warnings go to standard error.
 * @throws MeshError `CONFIGURATION`.
 */
export function commandConfiguration(command: Command): LoadedConfiguration {
  const given = command.optsWithGlobals<Record<string, string | boolean | readonly string[] | undefined>>();
  const flags = new Map<string, string | readonly string[]>();
  for (const { key, flag, kind } of settings) {
    const option = new Option(`${flag} <value>`);
    const text = given[option.attributeName()];
    // Commander holds what `--no-mdns` turns off for true unless it is given.
    if (kind === "switch" && text === !option.negate) flags.set(key, String(text));
    // A command may use a flag of the same name for itself, without a value.
    if (typeof text === "string" || Array.isArray(text)) flags.set(key, text as string | readonly string[]);
  }
  const file = given["config"];
  const loaded = loadConfiguration({
    flags,
    environment: process.env,
    ...(typeof file === "string" ? { file } : {}),
  });
  for (const warning of loaded.warnings) note(warning);
  return loaded;
}
