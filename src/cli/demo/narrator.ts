import { toError } from "../../base/errors.ts";

const coloured = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
let steps = 0;

function paint(code: number, text: string): string {
  return coloured ? `\u001B[${code}m${text}\u001B[0m` : text;
}

function line(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Announces what is done next. */
export function step(text: string): void {
  steps++;
  line(`\n${paint(1, `${steps}. ${text}`)}`);
}

/** Says something that is not checked. */
export function said(text: string): void {
  line(`   ${text}`);
}

/** Says `text` when it is so. @throws Error when it is not. */
export function check(isSo: boolean, text: string): void {
  if (!isSo) throw new Error(`not so: ${text}`);
  line(` ${paint(32, "✓")} ${text}`);
}

/** How the demo ended. */
export function verdict(failure: unknown): void {
  if (failure === undefined) line(`\n${paint(32, "All of it happened.")}`);
  else line(`\n ${paint(31, "✗")} ${toError(failure).message}`);
}
