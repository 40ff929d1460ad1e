import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Home, macula, type RunningNode, startNode, temporaryHome } from "./command.ts";

let home: Home;
let node: RunningNode;

beforeAll(async () => {
  home = temporaryHome();
  const module = join(home.path, "math.mjs");
  writeFileSync(
    module,
    `export const add = (a, b) => a + b;
     export const kind = (value) => typeof value;
     export const echo = (value) => value;
     export const fail = () => { throw new RangeError("too much") };
     export const wait = () => new Promise(() => {});`,
  );
  node = await startNode(home, ["--name", "node1@localhost:0", "--exports", module]);
});
afterAll(async () => {
  await node.stop();
  home.remove();
});

describe("help", () => {
  const commands = ["start", "shell", "rpc", "ping", "nodes", "config", "cookie", "version"];
  test.each([...commands, "echo serve", "echo connect"])("%s", async (command) => {
    const { code, stdout, stderr } = await macula(home, [...command.split(" "), "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Usage: macula /);
    expect(stdout).toMatch(/Examples?:\n {2}(echo .*\| )?(MACULA_\S+ )?macula /);
  });

  test("of the whole, and the version", async () => {
    const { stdout } = await macula(home, ["--help"]);
    for (const command of [...commands, "echo"]) expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    expect((await macula(home, ["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(JSON.parse((await macula(home, ["version", "--json"])).stdout)).toMatchObject({
      node: process.versions.node,
    });
  });
});

describe("errors say what to do, with exit code 1 or 2", () => {
  test.each<[string[], number, string]>([
    [["png"], 2, "unknown command 'png'\n(Did you mean ping?)"],
    [["ping"], 2, "missing required argument 'node'"],
    [["ping", "node1"], 2, '"node1" is not a node name: name@host:port, as in node1@localhost:4433'],
    [["ping", "a@b:1", "--cont", "3"], 2, "unknown option '--cont'\n(Did you mean --count?)"],
    [["start"], 2, "a node needs a name: macula start --name node1@localhost:4433"],
    [["start", "--name", "a@b:1", "--port", "99999"], 2, "--port 99999: port must be 0–65535"],
    [["start", "--name", "a@localhost:0", "--exports", "absent.js"], 2, "absent.js"],
    [["rpc", "a@b:1", "m", "f", "Ada"], 2, "argument 1, Ada, is not a term"],
    [["rpc", "a@b:1", "m", "f", "--via", "x@y:1"], 2, "--via x@y:1: no such node is running here"],
    [["shell", "other@localhost:9"], 1, "other@localhost:9 is not running here"],
    [["echo", "connect", "nowhere"], 2, "nowhere is not an address: host:port"],
  ])("%j", async (args, code, message) => {
    const outcome = await macula(home, args);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toContain(`macula: `);
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr).not.toContain("    at ");
  });

  test("a wrong variable is named", async () => {
    const outcome = await macula(home, ["config"], { environment: { MACULA_PORT: "99999" } });
    expect(outcome).toEqual({
      code: 2,
      stdout: "",
      stderr: "macula: MACULA_PORT=99999: port must be 0–65535\n",
    });
  });

  test("as JSON with --json", async () => {
    const outcome = await macula(home, ["ping", "--json", "node1"]);
    expect(outcome.code).toBe(2);
    expect(JSON.parse(outcome.stderr)).toEqual({
      error: { code: "CONFIGURATION", message: expect.stringContaining("is not a node name") },
    });
  });
});

describe("a running node", () => {
  test("tells its facts, and the real port in its name", () => {
    expect(node.name).toMatch(/^node1@localhost:\d{4,5}$/);
    expect(node.nodeId).toMatch(/^[a-z2-7]{52}$/);
    expect(statSync(node.adminSocket).mode & 0o777).toBe(0o600);
  });

  test.each<[string[], string]>([
    [["add", "1", "2"], "3"],
    [["add", "1", "-3"], "-2"],
    [["kind", "--text", "12"], '<<"string">>'],
    [["echo", "{hello, [1.0, #{a => <<1,2>>}]}"], "{hello,[1.0,#{a => <<1,2>>}]}"],
    [["echo", "--json", "{hello, [1.5, null]}"], '["hello",[1.5,null]]'],
  ])("rpc %j answers %s", async (args, answer) => {
    expect(await macula(home, ["rpc", node.name, "math", ...args])).toEqual({
      code: 0,
      stdout: `${answer}\n`,
      stderr: "",
    });
  });

  test.each<[string[], string]>([
    [["math", "fail"], "too much"],
    [["math", "absent"], "is not exported"],
    [["math", "wait", "--timeout-ms", "50"], "no answer in time"],
  ])("rpc %j fails with %j", async (args, message) => {
    const outcome = await macula(home, ["rpc", node.name, ...args]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain(message);
  });

  test("ping, through it and from a node of its own", async () => {
    const own = await macula(home, ["ping", "--json", "--count", "3", "--via", "none", node.name]);
    expect(own).toMatchObject({ code: 0, stderr: "" });
    const answer = JSON.parse(own.stdout) as { through: string; times: number[] };
    expect(answer.through).toMatch(/^command-[0-9a-f]+@localhost:\d+$/);
    expect(answer.times).toHaveLength(3);
    expect((await macula(home, ["ping", node.name])).stdout).toContain(`pong from ${node.name} in `);
  });

  test("another cookie is refused, and the hint says what to compare", async () => {
    const args = ["ping", "--via", "none", node.name];
    const outcome = await macula(home, args, {
      environment: { MACULA_COOKIE: "quite another cookie, long enough" },
    });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain("`macula cookie`");
    expect(outcome.stderr).not.toContain("quite another cookie");
  });

  test("two nodes find each other, and nodes lists them", async () => {
    const other = await startNode(home, ["--name", "node2@localhost:0"]);
    expect((await macula(home, ["ping", "--via", other.name, node.name])).code).toBe(0);
    const listed = JSON.parse((await macula(home, ["nodes", "--json"])).stdout) as {
      name: string;
      nodes: string[];
    }[];
    expect(listed.map(({ name, nodes }) => [name, nodes])).toEqual([
      [node.name, [other.name]],
      [other.name, [node.name]],
    ]);
    expect((await macula(home, ["nodes"])).stdout).toContain(`  ${other.name}\n`);
    expect((await macula(home, ["shell"])).stderr).toContain("several nodes run here, say which");
    await other.stop();
  });

  test("a second one of its name is told which process has it", async () => {
    const outcome = await macula(home, ["start", "--name", node.name]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain(`${node.name} is already running here, as process ${node.pid}`);
  });

  test("Ctrl-C ends it in order, with exit code 0, and its socket goes", async () => {
    const other = await startNode(home, ["--name", "brief@localhost:0"]);
    expect(existsSync(other.adminSocket)).toBe(true);
    const outcome = await other.stop();
    expect(outcome.code).toBe(0);
    const events = outcome.stderr
      .trim()
      .split("\n")
      .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as { event: string }] : []));
    expect(events.map(({ event }) => event)).toEqual(["node.started", "node.stopping", "node.stopped"]);
    expect(existsSync(other.adminSocket)).toBe(false);
  });

  test("one that was killed leaves a socket behind, which is seen to be dead and replaced", async () => {
    const killed = await startNode(home, ["--name", "killed@localhost:0"]);
    await killed.kill();
    expect(existsSync(killed.adminSocket)).toBe(true);
    const listed = JSON.parse((await macula(home, ["nodes", "--json"])).stdout) as { name: string }[];
    expect(listed.map(({ name }) => name)).toEqual([node.name]);
    const again = await startNode(home, ["--name", killed.name]);
    expect(again.adminSocket).toBe(killed.adminSocket);
    expect(again.nodeId).not.toBe("");
    await again.stop();
  });
});

describe("shell", () => {
  test("through a pipe", async () => {
    const outcome = await macula(home, ["shell", node.name], {
      stdin: 'const sum = await rpc(node.name, "math", "add", [20, 22])\nsum\nself() === processes().at(-1)',
    });
    expect(outcome).toEqual({ code: 0, stdout: "undefined\n42\ntrue\n", stderr: "" });
  });

  test("on a terminal: Ctrl-D leaves, the node goes on, the history stays", async () => {
    const command = `${process.execPath} dist/cli/main.js shell ${node.name}`;
    const child = spawn("script", ["-qfec", command, "/dev/null"], {
      env: { ...process.env, MACULA_HOME: home.path, TERM: "xterm" },
    });
    let screen = "";
    const shows = async (wanted: string): Promise<void> => {
      const from = screen.length;
      while (!screen.slice(from).includes(wanted)) {
        const ended = await new Promise<boolean>((resolve) => {
          child.stdout.once("data", () => resolve(false));
          child.once("close", () => resolve(true));
        });
        if (ended) throw new Error(`no ${wanted} in ${JSON.stringify(screen)}`);
      }
    };
    child.stdout.on("data", (chunk) => (screen += String(chunk)));
    const ended = new Promise((resolve) => child.once("close", resolve));
    await shows(`${node.name}> `);
    child.stdin.write("6 * 7\r");
    await shows("42");
    child.stdin.write("\u0004");
    expect(await ended).toBe(0);
    expect((await macula(home, ["ping", node.name])).code).toBe(0);
    expect(readFileSync(join(home.path, "shell_history"), "utf8")).toContain("6 * 7");
  });

  test("without a running node: how to start one", async () => {
    const empty = temporaryHome();
    const outcome = await macula(empty, ["shell"]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain("start one with macula start --name node1@localhost:4433");
    empty.remove();
  });

  test("--name starts a node for the time of the shell", async () => {
    const outcome = await macula(home, ["shell", "--name", "mine@localhost:0", "--log-level", "error"], {
      stdin: "node.name.startsWith('mine@localhost:')\n",
    });
    expect(outcome).toEqual({ code: 0, stdout: "true\n", stderr: "" });
  });
});

describe("cookie and configuration", () => {
  test("a cookie is generated once, kept for its owner, and the same each time", async () => {
    const first = await macula(home, ["cookie", "--realm", "fresh"]);
    expect(first.stdout).toMatch(/^[a-z2-7]{32}\n$/);
    expect((await macula(home, ["cookie", "--realm", "fresh"])).stdout).toBe(first.stdout);
    expect((await macula(home, ["cookie", "--realm", "another"])).stdout).not.toBe(first.stdout);
  });

  test("config shows values and sources, never the cookie", async () => {
    const outcome = await macula(home, ["config", "--json", "--log-level", "debug"], {
      environment: { MACULA_COOKIE: "hush hush hush", MACULA_REALM: "demo" },
    });
    expect(JSON.parse(outcome.stdout)).toMatchObject({
      realm: { value: "demo", source: "MACULA_REALM" },
      cookie: { value: "(not shown)", source: "MACULA_COOKIE" },
      "log.level": { value: "debug", source: "--log-level" },
      stateDir: { value: home.path, source: "default" },
    });
    expect(outcome.stdout + outcome.stderr).not.toContain("hush");
  });

  test("--bootstrap several times and with commas, --no-mdns and --dns-domain", async () => {
    const value = async (...args: string[]): Promise<unknown> => {
      const environment = { MACULA_DISCOVERY_MDNS: "" };
      const { stdout } = await macula(home, ["config", "--json", ...args], { environment });
      return JSON.parse(stdout);
    };
    const bootstrap = ["--bootstrap", "node1@localhost:4433", "--bootstrap", "a:1,[::1]"];
    expect(await value(...bootstrap, "--no-mdns", "--dns-domain", "example.org")).toMatchObject({
      bootstrap: { value: "node1@localhost:4433, a:1, [::1]", source: "--bootstrap" },
      "discovery.mdns": { value: "false", source: "--no-mdns" },
      "discovery.dnsDomain": { value: "example.org", source: "--dns-domain" },
    });
    expect(await value()).toMatchObject({
      bootstrap: { value: "", source: "default" },
      "discovery.mdns": { value: "true", source: "default" },
    });
  });

  test("--cookie warns, and the warning does not tell it", async () => {
    const outcome = await macula(home, ["config", "--cookie", "hush hush hush"]);
    expect(outcome.stderr).toContain("--cookie shows the cookie to everybody");
    expect(outcome.stderr + outcome.stdout).not.toContain("hush");
  });
});

test("echo measures the engine", async () => {
  const server = spawn(process.execPath, ["dist/cli/main.js", "echo", "serve", "--port", "0", "--json"], {
    env: { ...process.env, MACULA_HOME: home.path },
  });
  const line = await new Promise<string>((resolve) =>
    server.stdout.once("data", (chunk) => resolve(String(chunk))),
  );
  const { port } = JSON.parse(line) as { port: number };
  const few = ["--round-trips", "20", "--bytes", "100000", "--streams", "10", "--datagrams", "10"];
  const outcome = await macula(home, ["echo", "connect", `localhost:${port}`, "--json", ...few]);
  expect(outcome).toMatchObject({ code: 0 });
  const kinds = outcome.stdout
    .trim()
    .split("\n")
    .map((text) => (JSON.parse(text) as { kind: string }).kind);
  expect(kinds).toEqual(["connected", "roundTrip", "throughput", "streams", "datagrams", "connection"]);
  const ended = new Promise((resolve) => server.once("close", resolve));
  server.kill("SIGTERM");
  expect(await ended).toBe(0);
});
