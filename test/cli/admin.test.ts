import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { decode, encode } from "../../src/etf/index.ts";
import { AdminClient, runningNode, runningNodes } from "../../src/node/admin/client.ts";
import { LineSplitter } from "../../src/node/admin/lines.ts";
import { lineBytesMax } from "../../src/node/admin/protocol.ts";
import { AdminServer } from "../../src/node/admin/server.ts";
import { socketPath } from "../../src/node/admin/socket-path.ts";
import { LocalNode } from "./local-node.ts";

let folder: string;
let directory: string;
let node: LocalNode;
let server: AdminServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "macula-admin-"));
  directory = join(folder, "run");
  node = new LocalNode("node1@localhost:4433");
  server = await AdminServer.open({ node, directory });
});
afterEach(async () => {
  await server.close();
  await node.close();
  rmSync(folder, { recursive: true });
});

async function raw(): Promise<Socket> {
  const socket = connect(server.path);
  await once(socket, "connect");
  return socket;
}

async function answersTo(socket: Socket, count: number): Promise<Record<string, unknown>[]> {
  const splitter = new LineSplitter(lineBytesMax);
  const answers: Record<string, unknown>[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    for (const line of splitter.push(chunk as Uint8Array))
      answers.push(JSON.parse(line) as Record<string, unknown>);
    if (answers.length >= count) break;
  }
  return answers;
}

describe("the socket", () => {
  test("is the owner's alone: 0600 in a folder of 0700", () => {
    expect(statSync(server.path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  test("goes away with the node; close is idempotent", async () => {
    await server.close();
    await server.close();
    expect(existsSync(server.path)).toBe(false);
  });

  test("a folder that others may enter is refused", async () => {
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o755);
    await expect(AdminServer.open({ node, directory: open })).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: `others may enter ${open}, and so run code in the node: chmod 700 ${open}`,
    });
  });

  test("a client that does not read does not keep the node from stopping", async () => {
    node.exportModule("m", { big: () => "x".repeat(8_000_000) });
    const socket = await raw();
    const args = Buffer.from(encode([])).toString("base64");
    const question = {
      id: 1,
      op: "rpc",
      node: node.name,
      module: "m",
      function: "big",
      args,
      timeoutMs: 1_000,
    };
    socket.write(`${JSON.stringify(question)}\n`);
    // The answer has begun, and is more than the socket takes.
    await once(socket, "readable");
    await server.close();
    expect(existsSync(server.path)).toBe(false);
    socket.destroy();
  });

  test("a second node of the same name is told who has it", async () => {
    await expect(AdminServer.open({ node, directory })).rejects.toMatchObject({
      code: "NAME_TAKEN",
      message: `node1@localhost:4433 is already running on this machine (process ${process.pid})`,
    });
    expect(await runningNode(server.path)).toBeDefined();
  });

  test("the socket that a crashed node left behind is replaced", async () => {
    const other = new LocalNode("crashed@localhost:1");
    const path = socketPath(directory, other.name);
    // A server that is closed without unlinking, as a killed process leaves it.
    const dead = createServer();
    dead.listen(`${path}.real`);
    await once(dead, "listening");
    const { linkSync } = await import("node:fs");
    linkSync(`${path}.real`, path);
    dead.close();
    expect(existsSync(path)).toBe(true);
    expect(await runningNode(path)).toBeUndefined();
    const replaced = await AdminServer.open({ node: other, directory });
    expect((await runningNode(path))?.info.name).toBe(other.name);
    await replaced.close();
  });

  test("a path too long for a socket is named", () => {
    expect(() => socketPath(`/${"x".repeat(120)}`, "a@b:1")).toThrow(/choose a shorter stateDir/);
  });
});

describe("requests", () => {
  test("info, nodes, ping, connect, stats", async () => {
    const client = await AdminClient.connect(server.path);
    expect(await client.info()).toMatchObject({
      name: node.name,
      realm: "test",
      pid: process.pid,
      nodes: node.nodes(),
    });
    expect(await client.ask({ op: "nodes" })).toEqual(node.nodes());
    expect(await client.ask({ op: "ping", node: node.name })).toEqual({ rttMs: 0.25 });
    await expect(client.ask({ op: "ping", node: "x@y:1" })).rejects.toMatchObject({
      code: "REFUSED",
      message: "nobody listens at x@y:1",
    });
    expect(await client.ask({ op: "connect", node: "x@y:1" })).toBe(false);
    expect(await client.ask({ op: "stats" })).toEqual(expect.any(Object));
    client.close();
  });

  test("rpc keeps the types of terms", async () => {
    node.exportModule("echo", { back: (value: unknown) => value });
    const client = await AdminClient.connect(server.path);
    const value = { text: "ä", bytes: Uint8Array.of(1, 2), list: [1, 2.5, 2n ** 70n], none: undefined };
    const args = Buffer.from(encode([value], { text: "marked" })).toString("base64");
    const question = {
      op: "rpc",
      node: node.name,
      module: "echo",
      function: "back",
      args,
      timeoutMs: 1_000,
    } as const;
    const answer = await client.ask(question);
    expect(decode(Buffer.from(answer as string, "base64"), { binaries: "bytes" })).toEqual(value);
    await expect(client.ask({ ...question, function: "absent" })).rejects.toMatchObject({
      code: "NOT_EXPORTED",
    });
    await expect(client.ask({ ...question, args: "AAAA" })).rejects.toMatchObject({ code: "DECODE" });
    client.close();
  });

  test("runningNodes lists the living, by name, and passes over the rest", async () => {
    const second = await AdminServer.open({ node: new LocalNode("a@localhost:2"), directory });
    writeFileSync(join(directory, "dead@localhost:1.sock"), "");
    writeFileSync(join(directory, "notes.txt"), "");
    expect((await runningNodes(directory)).map(({ info }) => info.name)).toEqual([
      "a@localhost:2",
      node.name,
    ]);
    expect(await runningNodes(join(folder, "absent"))).toEqual([]);
    await second.close();
  });

  test("a node that goes away in the middle of a request ends it with CLOSED", async () => {
    node.exportModule("slow", { forever: () => new Promise(() => {}) });
    const client = await AdminClient.connect(server.path);
    const args = Buffer.from(encode([])).toString("base64");
    const asked = client.ask({
      op: "rpc",
      node: node.name,
      module: "slow",
      function: "forever",
      args,
      timeoutMs: 60_000,
    });
    const outcome = expect(asked).rejects.toMatchObject({ code: "CLOSED" });
    await server.close();
    await outcome;
  });
});

describe("threat: garbage at the socket", () => {
  test.each([
    ["no JSON", "garbage"],
    ["binary", "\u0000\u0001\uFFFF"],
    ["no request", "[]"],
    ["unknown operation", '{"id":1,"op":"explode"}'],
    ["wrong types", '{"id":1,"op":"ping","node":5}'],
    ["too much", '{"id":1,"op":"info","extra":1}'],
    ["huge id", '{"id":1e400,"op":"info"}'],
  ])("%s is answered with DECODE, and the connection goes on", async (_, line) => {
    const socket = await raw();
    socket.write(`${line}\n{"id":7,"op":"nodes"}\n`);
    const [bad, good] = await answersTo(socket, 2);
    expect(bad).toMatchObject({ id: null, ok: false, error: { code: "DECODE" } });
    expect(good).toEqual({ id: 7, ok: true, value: node.nodes() });
    socket.destroy();
  });

  test("a line without end closes the connection, not the node", async () => {
    const socket = await raw();
    const chunk = Buffer.alloc(1_048_576, "x");
    const answers = answersTo(socket, 1);
    for (let sent = 0; sent <= lineBytesMax; sent += chunk.length) socket.write(chunk);
    expect(await answers).toMatchObject([{ id: null, ok: false, error: { code: "LIMIT" } }]);
    socket.destroy();
    expect(await runningNode(server.path)).toBeDefined();
  });

  test("clients that connect and vanish leave nothing behind", async () => {
    for (let round = 0; round < 100; round++) {
      const socket = await raw();
      socket.write('{"id":1,"op":');
      socket.destroy();
    }
    expect(await runningNode(server.path)).toBeDefined();
  });
});

describe("LineSplitter", () => {
  test("joins and cuts", () => {
    const splitter = new LineSplitter(10);
    expect(splitter.push(Buffer.from("ab"))).toEqual([]);
    expect(splitter.push(Buffer.from("c\n\nde\nf"))).toEqual(["abc", "", "de"]);
    expect(Buffer.from(splitter.rest()).toString()).toBe("f");
    expect(() => splitter.push(Buffer.alloc(10))).toThrow(expect.objectContaining({ code: "LIMIT" }));
  });
});
