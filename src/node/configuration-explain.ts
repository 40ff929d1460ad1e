import type { Configuration } from "./configuration-schema.ts";
import { type Setting, settings } from "./configuration-schema.ts";

/** The default of a setting, for people. */
export function defaultText(setting: Setting): string {
  if (setting.defaultText !== undefined) return setting.defaultText;
  return setting.default === undefined ? "none" : `\`${valueText(setting.default)}\``;
}

/** The value of a setting, for people; a secret is never told. */
export function shownValue(setting: Setting, configuration: Configuration): string {
  const [first, second] = setting.path;
  const outer: unknown = configuration[first as keyof Configuration];
  const value = second === undefined ? outer : (outer as Record<string, unknown>)[second];
  if (value === undefined) return "";
  if (setting.secret === true) return "(not shown)";
  return Array.isArray(value) ? value.join(", ") : valueText(value);
}

function valueText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function plain(text: string): string {
  return text.replaceAll("`", "");
}

/** Every setting with its meaning, range and names, as text for a terminal. */
export function explainSettings(): string {
  const blocks = settings.map((setting) => {
    const unit = setting.unit === undefined ? "" : ` ${setting.unit}`;
    return [
      setting.key,
      `    ${plain(setting.description)}`,
      `    allowed: ${setting.allowed}${unit}`,
      `    default: ${plain(defaultText(setting))}`,
      `    ${setting.variable}, ${setting.flag}`,
    ].join("\n");
  });
  return `${blocks.join("\n\n")}\n`;
}

/** `docs/configuration.md`, whole. */
export function configurationDocument(): string {
  const rows = settings.map((setting) => {
    const unit = setting.unit === undefined ? "" : ` ${setting.unit}`;
    const cells = [
      `\`${setting.key}\``,
      setting.description,
      `${setting.allowed}${unit}`,
      defaultText(setting),
      `\`${setting.variable}\``,
      `\`${setting.flag}\``,
    ];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return [head, ...rows, ""].join("\n");
}

const head = `# Configuration

<!-- Written by \`macula config --markdown > docs/configuration.md\` from src/node/configuration-schema.ts; a test holds the two equal. -->

One schema serves the configuration file, the environment, the command line and the API. When several give the same
setting, the first of these wins:

1. flags of the command, or the options of \`MaculaNode.start\`
2. environment variables
3. the configuration file
4. the default

**The file** is JSON: \`--config FILE\`, else \`MACULA_CONFIG\`, else \`~/.macula/config.json\` if there is one. Paths in it
are relative to its folder; \`~/\` is the home folder. A file that holds a cookie must be readable by its owner only
(\`chmod 600\`).

\`\`\`json
{
  "name": "node1@localhost:4433",
  "realm": "demo",
  "log": { "level": "debug" },
  "links": { "heartbeatIntervalMs": 1000 }
}
\`\`\`

**The environment**: each setting has a variable, named after its key: \`log.level\` is \`MACULA_LOG_LEVEL\`. An empty
variable counts as not set. A list of paths is separated as in \`PATH\` (\`:\`, on Windows \`;\`), one of addresses by commas. \`MACULA_HOME\` moves the
folder \`~/.macula\` as a whole.

**The command line**: each setting has a flag, too: \`--log-level debug\`. \`--exports\` and \`--bootstrap\` may be repeated, a switch
(\`--epmd\`) has no value, one that is on by default is turned off (\`--no-mdns\`). Do not pass \`--cookie\` or \`--erlang-cookie\` on a machine shared with others: its processes and their
arguments can be listed by everybody.

**The API** takes the same keys, but for \`log\`: \`MaculaNode.start({ name: "node1@localhost:4433", links: { linksMax: 10 } })\`.
A program gives its own \`logger\` instead (pino, or anything with its four methods). It reads neither file nor
environment by itself: a library takes nothing from places its user did not think of.

A wrong setting is named with its source, its value and what is allowed, all of them at once:
\`MACULA_PORT=99999: port must be 0–65535\`. \`macula config\` shows the values in effect and where each comes from;
\`macula config --explain\` shows this table in the terminal.

| setting | meaning | allowed | default | variable | flag |
|---|---|---|---|---|---|`;
