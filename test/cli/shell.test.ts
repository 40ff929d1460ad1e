import { once } from "node:events";
import fs, { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { NodeId } from "../../src/base/node-id.ts";
import { AdminClient } from "../../src/node/admin/client.ts";
import { AdminServer } from "../../src/node/admin/server.ts";
import { LocalNode } from "./local-node.ts";

let folder: string;
let node: LocalNode;
let server: AdminServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "macula-shell-"));
  node = new LocalNode("node1@localhost:4433");
  server = await AdminServer.open({
    node,
    directory: join(folder, "run"),
    historyFile: join(folder, "history"),
  });
});
afterEach(async () => {
  await server.close();
  await node.close();
  rmSync(folder, { recursive: true });
});

async function open(terminal: boolean): Promise<Socket> {
  const client = await AdminClient.connect(server.path);
  await client.ask({ op: "shell", terminal, columns: 100 });
  return client.socket;
}

/** What a shell answers to lines typed without waiting. */
async function type(...lines: string[]): Promise<string> {
  const socket = await open(false);
  socket.write(`${lines.join("\n")}\n.exit\n`);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** What a terminal shows, waited for piece by piece. */
class Screen {
  readonly #socket: Socket;
  #unseen = "";

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  type(keys: string): void {
    this.#socket.write(keys);
  }

  /** Waits until `wanted` is shown, after what was waited for before; returns what came up to its end. */
  async shows(wanted: string): Promise<string> {
    for (;;) {
      const end = this.#unseen.indexOf(wanted) + wanted.length;
      if (end >= wanted.length) {
        const seen = this.#unseen.slice(0, end);
        this.#unseen = this.#unseen.slice(end);
        return seen;
      }
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) this.#unseen += chunk.toString();
      else if (this.#socket.readableEnded) throw new Error(`no ${wanted} in ${JSON.stringify(this.#unseen)}`);
      else {
        await once(this.#socket, "readable", { signal: AbortSignal.timeout(20_000) }).catch(() => {
          throw new Error(`no ${wanted} in ${JSON.stringify(this.#unseen)}`);
        });
      }
    }
  }
}

/** Of this process. */
function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      return [];
    }
  });
}

describe("through a pipe", () => {
  test("values in Erlang's syntax", async () => {
    expect(await type("nodes()", "1 + 1", "tuple(atom('ok'), 'text', [1.5])", "term('{a, #{}}')")).toBe(
      '[<<"other@localhost:1">>]\n2\n{ok,<<"text">>,[1.5]}\n{a,#{}}\n',
    );
  });

  test("variables stay, promises are waited for in order, await works at the top", async () => {
    node.exportModule("math", { add: (a: number, b: number) => a + b });
    expect(
      await type(
        'const sum = await rpc(node.name, "math", "add", [1, 2])',
        'rpc(node.name, "math", "add", [sum, 10])',
        "ping(node.name)",
        "sum",
        "ping('x@y:1')",
      ),
    ).toBe("undefined\n13\n{pong,0.25}\n3\nREFUSED: nobody listens at x@y:1\npang\n");
  });

  test("self, send, flush: messages to the shell", async () => {
    const text = await type(
      "send(self(), tuple(atom('hello'), 1)); send(self(), 'two')",
      "flush()",
      "flush()",
    );
    expect(text).toContain("Shell got {hello,1}\n");
    expect(text.match(/Shell got/g)).toHaveLength(2);
    expect(text.match(/^ok$/gm)).toHaveLength(2);
  });

  test("spawn, register, whereis, monitor, exit", async () => {
    const text = await type(
      "const pid = spawn(async (self) => { for (;;) { const from = await self.receive(); self.send(from, 'pong') } })",
      "register('ponger', pid)",
      "registered().includes(atom('ponger'))",
      "whereis('ponger') === pid",
      "send('ponger', self())",
      "await receive({ timeoutMs: 1000 })",
      "const ref = monitor(pid)",
      "exit(pid, atom('kill'))",
      "const down = await receive({ timeoutMs: 1000 })",
      "down.elements[0]",
      "down.elements[4]",
    );
    expect(text).toContain("pong");
    expect(text.split("\n").slice(-3)).toEqual(["'DOWN'", "killed", ""]);
  });

  test("members, routes, trace, join: tables, and ok", async () => {
    const id = "b".repeat(52) as NodeId;
    const metadata = new TextEncoder().encode("a printer");
    const member = {
      name: "b@host:1",
      id,
      address: "host:1",
      state: "alive",
      incarnation: 3,
      metadata,
    } as const;
    node.mesh.members.push(member);
    const route = { node: member.name, nodeId: id, nextHop: member.name, rttMs: 1.5 };
    node.mesh.routes.push({ ...route, way: "link", use: "neighbour" });
    node.mesh.traces.set(member.name, { hops: [{ node: node.name, nodeId: id }, route], rttMs: 2 });
    const text = await type(
      "members()",
      "routes()",
      "trace('b@host:1')",
      "trace('c@host:1')",
      "join('host:2')",
    );
    expect(text).toMatch(/ b@host:1 +alive +host:1 +3 +b{12} +a printer\n1 member: 1 alive\nok\n/);
    expect(text).toMatch(/^b@host:1 +neighbour +1\.50 ms$/m);
    expect(text).toMatch(/^1 +b@host:1 +b{12} +2\.00 ms\n1 hop, 2\.00 ms there and back\nok$/m);
    expect(text).toMatch(/PEER_UNREACHABLE: no c@host:1/);
    expect(node.joined).toEqual(["host:2"]);
  });

  test("a linked process that fails does not end the shell", async () => {
    const text = await type(
      "link(spawn(async () => { throw new Error('broken') }))",
      "const signal = await receive({ timeoutMs: 1000 })",
      "signal.elements[0]",
    );
    expect(text.trimEnd().endsWith("'EXIT'")).toBe(true);
  });

  test("Maps and bytes made in the shell are terms", async () => {
    node.exportModule("echo", { kind: (value: object) => value.constructor.name });
    expect(
      await type(
        'rpc(node.name, "echo", "kind", [new Map([[1, 2]])])',
        'rpc(node.name, "echo", "kind", [Uint8Array.of(1)])',
        'rpc(node.name, "echo", "kind", [{ plain: true }])',
      ),
    ).toMatch(/Map.*\n.*Uint8Array.*\n.*Object/);
  });

  test("errors are shown and the shell goes on", async () => {
    const text = await type("nonsense(", ")", "undefinedThing", 'rpc(node.name, "no", "module")', "1");
    expect(text).toContain("undefinedThing is not defined");
    expect(text).toContain("NOT_EXPORTED: ");
    expect(text.endsWith("1\n")).toBe(true);
  });

  test("what is no term is shown as Node.js shows it", async () => {
    expect(await type("nodes", "Symbol('x')")).toBe("[Function: nodes]\nSymbol(x)\n");
  });

  test("console goes to the shell, not to the node's output", async () => {
    expect(await type("console.log('here')")).toBe("here\nundefined\n");
  });

  test("the shell's process ends with it", async () => {
    const before = node.processes().length;
    await type("register('shell', self())");
    await expect.poll(() => node.processes().length).toBe(before);
    expect(node.registered()).not.toContain("shell");
  });
});

describe("on a terminal", () => {
  test("prompt, echo, Tab, history, Ctrl-C that ends a wait, Ctrl-D that leaves", async () => {
    const socket = await open(true);
    const screen = new Screen(socket);
    const prompt = "node1@localhost:4433> ";
    await screen.shows(prompt);
    screen.type("processI\t");
    await screen.shows("nfo");
    screen.type("\u0003");
    await screen.shows(prompt);
    screen.type("await new Promise(() => {})\r");
    await screen.shows("\n");
    screen.type("\u0003");
    await screen.shows("interrupted");
    await screen.shows(prompt);
    screen.type("20 + 22\r");
    await screen.shows("\n42");
    await screen.shows(prompt);
    screen.type("\u001B[A");
    await screen.shows("20 + 22");
    screen.type("\r");
    await screen.shows("\n42");
    await screen.shows(prompt);
    screen.type("\u0004");
    await once(socket.resume(), "close");
  });

  test("a shell whose client vanishes in the middle of a wait is gone, and its history closed", async () => {
    const before = node.processes().length;
    const socket = await open(true);
    const screen = new Screen(socket);
    await screen.shows("> ");
    screen.type("await new Promise(() => {})\r");
    await screen.shows("\n");
    socket.destroy();
    await expect.poll(() => node.processes().length).toBe(before);
    await server.close();
    if (process.platform === "linux") expect(openFiles()).not.toContain(join(folder, "history"));
  });
});

test("two shells at once do not share variables", async () => {
  const [one, two] = await Promise.all([type("var mine = 1", "mine"), type("typeof mine")]);
  expect(one).toBe("undefined\n1\n");
  expect(two).toMatch(/undefined/);
});

test("promises are tracked, and slow, only while a shell is open", async () => {
  // Node.js notes an id on each promise while an async hook is on.
  const tracked = (): boolean => Object.getOwnPropertySymbols(new Promise(() => {})).length > 0;
  const socket = await open(true);
  const screen = new Screen(socket);
  await screen.shows("> ");
  expect(tracked()).toBe(true);
  screen.type("\u0004");
  await once(socket.resume(), "close");
  await expect.poll(tracked).toBe(false);
});

test("closing the node ends its shells", async () => {
  const socket = await open(true);
  await new Screen(socket).shows("> ");
  const gone = once(socket.resume(), "close");
  await server.close();
  await gone;
});

test("the history is on disk when the node has closed, on a slow disk too", async () => {
  const openFile = fs.open;
  const slow = vi.spyOn(fs, "open").mockImplementation((...given: Parameters<typeof openFile>) => {
    setTimeout(() => openFile(...given), 50);
  });
  const terminal = await open(true);
  // The prompt is shown before the history is read.
  await new Screen(terminal).shows("> ");
  await server.close();
  expect(existsSync(join(folder, "history"))).toBe(true);
  slow.mockRestore();
});
