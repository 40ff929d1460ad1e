import { readFileSync } from "node:fs";

/** The version of this package. The path is the same from `src/node` and from `dist/node`. */
export const version = (
  JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }
).version;
