import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { rawSocket } from "../../src/io/beam/raw-socket.ts";

let home: string;
let server: Server;
let client: Socket;
let accepted: Socket;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "mac-"));
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(join(home, "sock"));
  await once(server, "listening");
  const connection = once(server, "connection");
  client = connect(join(home, "sock"));
  [accepted] = (await connection) as [Socket];
});

afterEach(async () => {
  client.destroy();
  accepted.destroy();
  server.close();
  await once(server, "close");
  rmSync(home, { recursive: true, force: true });
});

/** Sends two texts to a raw socket that stops after each; what came, and whether it came in the buffer. */
async function received(): Promise<{ texts: string[]; inBuffer: boolean[]; raw: Socket }> {
  const buffer = new Uint8Array(64);
  const texts: string[] = [];
  const inBuffer: boolean[] = [];
  let onBytes: () => void = () => {};
  const raw = rawSocket(accepted, {
    buffer,
    onBytes: (bytes) => {
      texts.push(new TextDecoder().decode(bytes));
      inBuffer.push(bytes.buffer === buffer.buffer);
      onBytes();
      return false;
    },
  });
  for (const text of ["one", "two"]) {
    const come = new Promise<void>((resolve) => {
      onBytes = resolve;
    });
    client.write(text);
    raw.resume();
    await come;
  }
  return { texts, inBuffer, raw };
}

test("this Node.js reads into the buffer it is given", async () => {
  const { texts, inBuffer, raw } = await received();
  expect(texts).toEqual(["one", "two"]);
  expect(inBuffer).toEqual([true, true]);
  raw.end("answer");
  expect(String(await once(client, "data"))).toBe("answer");
  raw.destroy();
  await once(raw, "close");
});

test("one that cannot reads in its ordinary way", async () => {
  const inside = accepted as unknown as { _handle: object };
  Object.defineProperty(inside._handle, "useUserBuffer", { value: undefined });
  const { texts, inBuffer, raw } = await received();
  expect(raw).toBe(accepted);
  expect(texts).toEqual(["one", "two"]);
  expect(inBuffer).toEqual([false, false]);
});
