import { describeFailure } from "./failure.ts";

/** Results go to standard output, everything else to standard error, so that a pipe gets results only. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

export function note(text: string): void {
  process.stderr.write(`macula: ${text}\n`);
}

/** Reports `error` and returns the exit code for it. */
export function reportFailure(error: Error, json: boolean): number {
  const { exitCode, stack, code, message } = describeFailure(error);
  if (json) process.stderr.write(`${JSON.stringify({ error: { code, message } })}\n`);
  else for (const line of message.split("\n")) note(line);
  if (stack !== undefined && !json) process.stderr.write(`${stack}\n`);
  return exitCode;
}

/** `key  value` lines with the values in one column. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([key]) => key.length));
  return rows.map(([key, value]) => `${key.padEnd(width)}  ${value}`).join("\n");
}

const progressAfterMs = 1_000;

/**
 * `work`, with a line on the terminal that says what is being waited for once that takes more than a second. Nothing
 * is shown when standard error is no terminal.
 */
export async function withProgress<T>(what: string, work: Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work;
  let seconds = 0;
  const timer = setInterval(() => {
    seconds++;
    process.stderr.write(`\r\u001B[K${what} … ${seconds} s`);
  }, progressAfterMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (seconds > 0) process.stderr.write("\r\u001B[K");
  }
}

/** A duration as people say it. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`;
  const seconds = Math.floor(milliseconds / 1_000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
