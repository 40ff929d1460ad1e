import { homedir } from "node:os";
import { delimiter, resolve } from "node:path";
import { MeshError } from "../base/errors.ts";
import { type Setting, settings } from "./configuration-schema.ts";
import { nearMiss } from "./near-miss.ts";

/** A value as somebody gave it, with the words that name its source in an error (`MACULA_PORT=99999`). */
export interface GivenValue {
  readonly setting: Setting;
  readonly value: unknown;
  /** `MACULA_PORT=99999`, `--port 99999`, `port: 99999 in /etc/macula.json`; secrets left out. */
  readonly shown: string;
  /** `MACULA_PORT`, `--port`, `/etc/macula.json`, `options`. */
  readonly source: string;
}

/** What one source gave, and what is wrong with it. */
export interface GivenValues {
  readonly values: readonly GivenValue[];
  readonly problems: readonly string[];
}

const settingsByKey = new Map(settings.map((setting) => [setting.key, setting]));
const groups = new Set(settings.flatMap(({ path }) => (path.length === 2 ? [path[0]] : [])));

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

/** A path as meant: `~/` is the home folder, the rest relative to `folder`. */
export function resolvePath(path: string, folder: string): string {
  return /^~(?=\/|$)/.test(path) ? resolve(homedir(), `.${path.slice(1)}`) : resolve(folder, path);
}

function withPaths(setting: Setting, value: unknown, folder: string): unknown {
  if (setting.kind === "path" && typeof value === "string" && value !== "") return resolvePath(value, folder);
  if (setting.kind === "paths" && Array.isArray(value)) {
    return value.map((path: unknown) =>
      typeof path === "string" && path !== "" ? resolvePath(path, folder) : path,
    );
  }
  return value;
}

/** Values from an object: the configuration file or the options of the API. Unknown keys are problems. */
export function valuesFromObject(given: unknown, source: string, folder: string): GivenValues {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return { values: [], problems: [`${source}: the configuration must be an object, not ${show(given)}`] };
  }
  const values: GivenValue[] = [];
  const problems: string[] = [];
  const visit = (key: string, value: unknown): void => {
    if (value === undefined) return;
    const setting = settingsByKey.get(key);
    if (setting === undefined) {
      problems.push(unknownKey(key, source));
      return;
    }
    const shown = setting.secret === true ? key : `${key}: ${show(value)}`;
    values.push({
      setting,
      value: withPaths(setting, value, folder),
      shown: `${shown} in ${source}`,
      source,
    });
  };
  for (const [key, value] of Object.entries(given)) {
    if (!groups.has(key)) visit(key, value);
    else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [inner, leaf] of Object.entries(value)) visit(`${key}.${inner}`, leaf);
    } else if (value !== undefined) {
      problems.push(`${key}: ${show(value)} in ${source}: ${key} must be an object of settings`);
    }
  }
  return { values, problems };
}

function unknownKey(key: string, source: string): string {
  // "logLevel" should find "log.level", so the dots do not count.
  const near = nearMiss(key, settingsByKey.keys()) ?? nearMiss(key, groups);
  const hint = near === undefined ? "`macula config --explain` lists them all" : `did you mean ${near}?`;
  return `${source}: there is no setting ${key}: ${hint}`;
}

/** Variables beside the settings that have a meaning of their own. */
const otherVariables = ["MACULA_CONFIG", "MACULA_HOME"];

/**
 * Values from environment variables. An unknown `MACULA_…` is a warning, not a problem: the prefix may be somebody
 * else's, too. An empty variable counts as not set.
 */
export function valuesFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): GivenValues & { readonly warnings: readonly string[] } {
  const values: GivenValue[] = [];
  for (const setting of settings) {
    const text = environment[setting.variable];
    if (text === undefined || text === "") continue;
    values.push(valueFromText(setting, text, setting.variable, "="));
  }
  const known = new Set([...settings.map(({ variable }) => variable), ...otherVariables]);
  const warnings = Object.keys(environment)
    .filter((variable) => variable.startsWith("MACULA_") && !known.has(variable))
    .flatMap((variable) => {
      const near = nearMiss(
        variable.slice("MACULA_".length),
        [...known].map((name) => name.slice("MACULA_".length)),
      );
      return near === undefined ? [] : [`${variable} is not a setting: did you mean MACULA_${near}?`];
    });
  return { values, problems: [], warnings };
}

/** A value from the command line: `text` is what followed the flag, a list of it when the flag may be repeated. */
export function valueFromFlag(setting: Setting, text: string | readonly string[]): GivenValue {
  if (typeof text === "string") return valueFromText(setting, text, setting.flag, " ");
  const value = setting.kind === "list" ? text.flatMap(listItems) : withPaths(setting, text, process.cwd());
  return { setting, value, shown: `${setting.flag} ${text.join(" ")}`, source: setting.flag };
}

function valueFromText(setting: Setting, text: string, source: string, separator: string): GivenValue {
  const shown = setting.secret === true ? source : `${source}${separator}${text.slice(0, 200)}`;
  return { setting, value: withPaths(setting, parseText(setting, text), process.cwd()), shown, source };
}

function listItems(text: string): string[] {
  return text.split(",").flatMap((item) => item.trim() || []);
}

function parseText(setting: Setting, text: string): unknown {
  if (text === setting.nullWord) return null;
  switch (setting.kind) {
    case "integer":
      // Number("") and Number("0x10") are numbers too; what is no plain integer stays text, and the schema refuses it.
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    case "switch":
      return text === "true" ? true : text === "false" ? false : text;
    case "paths":
      return text.split(delimiter).filter((path) => path !== "");
    case "list":
      return listItems(text);
    case "text":
    case "path":
    case "choice":
      return text;
    default:
      return setting.kind satisfies never;
  }
}

/** Why `given` is wrong, as one sentence that names source, value and what is allowed; `undefined` when it is right. */
export function problemWith(given: GivenValue): string | undefined {
  if (given.setting.schema.safeParse(given.value).success) return undefined;
  const near =
    given.setting.kind === "choice" && typeof given.value === "string"
      ? nearMiss(given.value, given.setting.allowed.replace("one of ", "").split(", "))
      : undefined;
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  return `${given.shown}: ${given.setting.key} must be ${given.setting.allowed}${hint}`;
}

/** @throws MeshError `CONFIGURATION` with all of `problems`, one a line, when there are any. */
export function throwProblems(problems: readonly string[]): void {
  if (problems.length > 0) throw new MeshError("CONFIGURATION", problems.join("\n"));
}
