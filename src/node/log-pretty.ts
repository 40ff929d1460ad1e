const colours: Readonly<Record<string, string>> = {
  trace: "\u001B[90m",
  debug: "\u001B[90m",
  info: "\u001B[32m",
  warn: "\u001B[33m",
  error: "\u001B[31m",
};
const dim = "\u001B[2m";
const reset = "\u001B[0m";

/**
 * A JSON log line as a line for people: `13:05:39.120 info  link.up  peer=node1@localhost:4433`.
 * What is not such a line is returned as it is.
 */
export function prettyLine(line: string, coloured: boolean): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, event, ...fields } = record;
  const paint = (colour: string, text: string): string => (coloured ? `${colour}${text}${reset}` : text);
  const clock = new Date(String(time));
  const shownTime = Number.isNaN(clock.getTime())
    ? ""
    : `${clock.toTimeString().slice(0, 8)}.${String(clock.getMilliseconds()).padStart(3, "0")} `;
  const name = String(level);
  const shownFields = Object.entries(fields).map(([key, value]) => `${paint(dim, `${key}=`)}${field(value)}`);
  return `${[
    `${paint(dim, shownTime)}${paint(colours[name] ?? "", name.padEnd(5))}`,
    printable(String(event)),
    ...shownFields,
  ].join(" ")}\n`;
}

function field(value: unknown): string {
  if (typeof value !== "string") return printable(JSON.stringify(value) ?? String(value));
  return printable(/^[\w@:.,/+[\]-]+$/.test(value) ? value : JSON.stringify(value));
}

/** Without control characters: a peer's text in a log must not move the cursor or recolour the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
