import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

export interface ProgramOutcome {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a Node program to its end. Its file stands in this package, so that it can import "macula". */
export async function runProgram(file: string, args: readonly string[] = []): Promise<ProgramOutcome> {
  if (!existsSync("dist/index.js")) throw new Error("dist/index.js is missing: npm run build");
  const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}
