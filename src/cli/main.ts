#!/usr/bin/env node
import { run } from "./program.ts";

// The reader of our output has gone (`macula nodes | head -1`): there is nothing more to do, and it is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
// Set rather than exited with, so that what is still being written to a pipe arrives.
process.exitCode = await run(process.argv.slice(2));
