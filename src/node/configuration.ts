import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { MeshError, toError } from "../base/errors.ts";
import {
  type Configuration,
  type ConfigurationInput,
  configurationSchema,
  type Setting,
  settings,
} from "./configuration-schema.ts";
import { preferStrongerCookie, trustProblems } from "./configuration-trust.ts";
import {
  type GivenValue,
  type GivenValues,
  problemWith,
  resolvePath,
  throwProblems,
  valueFromFlag,
  valuesFromEnvironment,
  valuesFromObject,
} from "./configuration-values.ts";

/** A configuration file is written by hand; anything larger is not one. */
const fileBytesMax = 1_048_576;

export interface ConfigurationSources {
  /** Settings given by the program. They win over everything else. */
  readonly options?: ConfigurationInput;
  /** Text from the command line by setting key (`log.level`). They count as much as `options`. */
  readonly flags?: ReadonlyMap<string, string | readonly string[]>;
  /** Path of the configuration file. Default: `MACULA_CONFIG`, else `config.json` in the home folder of Macula if there is one. */
  readonly file?: string;
  /** Default: none, so that nothing comes from a place nobody thought of; the command passes `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface LoadedConfiguration {
  readonly configuration: Configuration;
  /** Where each setting comes from, by key: `default`, the path of the file, a variable or a flag. */
  readonly sources: ReadonlyMap<string, string>;
  /** What the user should know although it is no error, one sentence each. */
  readonly warnings: readonly string[];
  /** The file that was read. */
  readonly file: string | undefined;
}

/**
 * Macula's folder in the user's home, where state and the configuration file are unless told otherwise:
 * `MACULA_HOME`, else `~/.macula`.
 */
export function maculaHome(environment: Readonly<Record<string, string | undefined>> = {}): string {
  const home = environment["MACULA_HOME"];
  return home === undefined || home === "" ? join(homedir(), ".macula") : resolvePath(home, process.cwd());
}

/**
 * The configuration of a program that gives everything itself.
 * @throws MeshError `CONFIGURATION` naming each wrong setting.
 */
export function resolveConfiguration(options: ConfigurationInput): Configuration {
  const given = valuesFromObject(options, "options", process.cwd());
  return combine([given], maculaHome()).configuration;
}

/**
 * Reads all sources: options and flags win over the environment, that over the file, that over the defaults.
 * @throws MeshError `CONFIGURATION` with one line for each wrong setting, also for those that another source overrides.
 */
export function loadConfiguration(sources: ConfigurationSources = {}): LoadedConfiguration {
  const environment = sources.environment ?? {};
  const home = maculaHome(environment);
  const flags = [...(sources.flags ?? [])].map(([key, text]) => valueFromFlag(settingCalled(key), text));
  const fromEnvironment = valuesFromEnvironment(environment);
  const file = findFile(sources.file, environment, home);
  const layers: GivenValues[] = [
    valuesFromObject(sources.options ?? {}, "options", process.cwd()),
    { values: flags, problems: [] },
    fromEnvironment,
    file === undefined ? { values: [], problems: [] } : readConfigurationFile(file),
  ];
  const { configuration, sources: origins } = combine(layers, home);
  const warnings = [...fromEnvironment.warnings];
  if (origins.get("cookie") === "--cookie") {
    warnings.push(
      "--cookie shows the cookie to everybody who can list the processes of this machine: use --cookie-file or MACULA_COOKIE",
    );
  }
  if (origins.get("erlangCookie") === "--erlang-cookie") {
    warnings.push(
      "--erlang-cookie shows the cookie to everybody who can list the processes of this machine: use ~/.erlang.cookie or MACULA_ERLANG_COOKIE",
    );
  }
  return { configuration, sources: origins, warnings, file };
}

function settingCalled(key: string): Setting {
  const found = settings.find((setting) => setting.key === key);
  if (found === undefined) throw new MeshError("CONFIGURATION", `there is no setting ${key}`);
  return found;
}

/** `layers` from the strongest to the weakest. */
function combine(layers: readonly GivenValues[], home: string) {
  const problems = layers.flatMap((layer) => [
    ...layer.problems,
    ...layer.values.flatMap((value) => problemWith(value) ?? []),
  ]);
  throwProblems(problems);
  const chosen = new Map<string, GivenValue>();
  for (const { values } of layers) {
    for (const value of values) if (!chosen.has(value.setting.key)) chosen.set(value.setting.key, value);
  }
  preferStrongerCookie(chosen, layers);
  throwProblems(trustProblems(chosen));
  const input: Record<string, unknown> = {};
  for (const { setting, value } of chosen.values()) {
    const [first, second] = setting.path;
    if (second === undefined) input[first] = value;
    else input[first] = { ...(input[first] as object | undefined), [second]: value };
  }
  const { stateDir = home, ...configured } = configurationSchema.parse(input);
  const configuration: Configuration = { ...configured, stateDir };
  return {
    configuration,
    sources: new Map(settings.map(({ key }) => [key, chosen.get(key)?.source ?? "default"])),
  };
}

function findFile(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  home: string,
): string | undefined {
  if (given !== undefined) return resolve(given);
  const variable = environment["MACULA_CONFIG"];
  if (variable !== undefined && variable !== "") return resolvePath(variable, process.cwd());
  const usual = join(home, "config.json");
  return statSync(usual, { throwIfNoEntry: false }) === undefined ? undefined : usual;
}

function readConfigurationFile(file: string): GivenValues {
  const wrong = (problem: string): GivenValues => ({ values: [], problems: [`${file}: ${problem}`] });
  let text: string;
  let mode: number;
  try {
    const stats = statSync(file);
    if (!stats.isFile()) return wrong("this is not a file");
    if (stats.size > fileBytesMax) return wrong(`${stats.size} bytes are too many for a configuration`);
    mode = stats.mode;
    text = readFileSync(file, "utf8");
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    return wrong(code === "ENOENT" ? "there is no such configuration file" : toError(thrown).message);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (thrown) {
    return wrong(jsonProblem(text, toError(thrown)));
  }
  const given = valuesFromObject(content, file, dirname(file));
  const hasCookie = given.values.some(({ setting }) => setting.secret === true);
  // As with a cookie file: a secret that others can read is no secret. Windows has no such modes.
  if (!hasCookie || (mode & 0o077) === 0 || process.platform === "win32") return given;
  return wrong(`it holds the cookie and others may read it: chmod 600 ${file}`);
}

/** Where JSON breaks. The parser's own message quotes the text, and with it perhaps the cookie. */
function jsonProblem(text: string, error: Error): string {
  const position = /position (\d+)/.exec(error.message)?.[1];
  if (position === undefined) return "not valid JSON (it ends too early or holds a stray character)";
  const before = text.slice(0, Number(position)).split("\n");
  return `not valid JSON at line ${before.length}, column ${(before.at(-1) ?? "").length + 1}`;
}
