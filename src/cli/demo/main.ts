#!/usr/bin/env node
import { randomBytes } from "node:crypto";
import { playMesh } from "./mesh.ts";
import { verdict } from "./narrator.ts";
import { playTwoNodes } from "./two-nodes.ts";

/** The whole demo may take this long, milliseconds: whatever hangs, it ends. */
const demoMs = 180_000;

/** Of this run only: another demo on this machine, or network, is another realm. */
const secret = {
  realm: `demo-${randomBytes(4).toString("hex")}`,
  cookie: randomBytes(20).toString("hex"),
};

// Unlike the exit at the end this does not wait for anything: something hangs. The children follow their parent.
const watchdog = setTimeout(() => {
  verdict(new Error(`not done after ${demoMs / 1_000} s`));
  process.exit(1);
}, demoMs);
try {
  await playTwoNodes(secret);
  await playMesh(secret);
  verdict(undefined);
} catch (thrown) {
  verdict(thrown);
  process.exitCode = 1;
} finally {
  clearTimeout(watchdog);
}
