import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { TestRealm } from "./support/certificates.ts";

const native = new URL("../../native/", import.meta.url);
const script = fileURLToPath(new URL("./support/live-engine.mjs", import.meta.url));

/** Exit code and signal of a process that has a live engine and ends in the way of `mode`. */
async function ending(mode: string): Promise<[number | null, string | null, string]> {
  const binding = readdirSync(native).find((name) => name.endsWith(".node"));
  if (binding === undefined) throw new Error("the engine is not built: node scripts/build-native.mjs");
  const realm = await TestRealm.create();
  const { identity } = await realm.issue();
  const base64 = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("base64");
  const child = spawn(process.execPath, [script, fileURLToPath(new URL(binding, native)), mode]);
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.end(
    JSON.stringify({
      certificate: base64(identity.certificateChain[0]),
      privateKey: base64(identity.privateKey),
      authority: base64(realm.trust.authorities[0]),
    }),
  );
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return [code, signal, errors];
}

test.each([
  ["the socket is closed, and the process ends by itself", "return"],
  ["process.exit with an open socket", "exit"],
  ["workers that end with open sockets, in three ways", "workers"],
  ["calls with nonsense throw errors and nothing else", "nonsense"],
])("%s", async (_, mode) => {
  expect(await ending(mode)).toEqual([0, null, ""]);
});
