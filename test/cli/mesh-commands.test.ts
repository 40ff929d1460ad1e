import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MaculaNode } from "../../src/node/macula-node.ts";
import { follow, type Home, macula, type RunningNode, startNode, temporaryHome } from "./command.ts";

const environment = { MACULA_COOKIE: "a cookie of the mesh commands" };

let home: Home;
let one: RunningNode;
let two: RunningNode;
/** A program's node, which says something of itself. */
let other: MaculaNode;
/** One that others cannot dial: there is no way but through whom it has dialled. */
let hidden: MaculaNode;

function startProgram(
  name: string,
  options: { port?: number; metadata?: Uint8Array } = {},
): Promise<MaculaNode> {
  return MaculaNode.start({
    name,
    cookie: environment.MACULA_COOKIE,
    stateDir: null,
    bootstrap: [one.name],
    discovery: { mdns: false },
    ...options,
  });
}

function run(...args: string[]): ReturnType<typeof macula> {
  return macula(home, args, { environment });
}

async function json<Value>(...args: string[]): Promise<Value> {
  const { code, stdout, stderr } = await run(...args, "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as Value;
}

interface Member {
  readonly name: string;
  readonly nodeId: string;
  readonly state: string;
  readonly address: string;
  readonly incarnation: number;
  readonly metadata: string;
}

/** Resolves when `node` holds all of `names` to be in `state`. */
async function untilState(node: RunningNode, state: string, ...names: string[]): Promise<void> {
  const watcher = follow(home, ["members", node.name, "--watch", "--json"], environment);
  const states = new Map(((await watcher.next()) as Member[]).map((member) => [member.name, member.state]));
  while (!names.every((name) => states.get(name) === state)) {
    const change = (await watcher.next()) as Member;
    states.set(change.name, change.state);
  }
  await watcher.stop();
}

beforeAll(async () => {
  home = temporaryHome();
  one = await startNode(home, ["--name", "one@localhost:0"], environment);
  two = await startNode(home, ["--name", "two@localhost:0", "--bootstrap", one.name], environment);
  other = await startProgram("other@localhost:0", { metadata: new TextEncoder().encode("a printer") });
  hidden = await startProgram("hidden@127.0.0.1:1", { port: 0, metadata: Uint8Array.of(27, 91, 255) });
  await untilState(one, "alive", two.name, other.name, hidden.name);
  await untilState(two, "alive", one.name, other.name, hidden.name);
});
afterAll(async () => {
  await Promise.all([one.stop(), two.stop(), other.close(), hidden.close()]);
  home.remove();
});

describe("help", () => {
  test.each(["members", "routes", "trace", "leave"])("%s", async (command) => {
    const { code, stdout, stderr } = await run(command, "--help");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/Examples?:\n {2}macula /);
    expect((await run("--help")).stdout).toMatch(new RegExp(`^  ${command} `, "m"));
  });
});

describe("members", () => {
  test("as a table: the node asked is marked, metadata that is text is shown, no byte of it reaches the terminal otherwise", async () => {
    const { code, stdout } = await run("members", one.name);
    expect(code).toBe(0);
    const rows = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/ {2,}/));
    expect(rows[0]).toEqual(["", "name", "state", "address", "incarnation", "id", "metadata"]);
    expect(rows).toContainEqual([
      "*",
      one.name,
      "alive",
      one.name.slice("one@".length),
      expect.stringMatching(/^\d+$/),
      one.nodeId.slice(0, 12),
    ]);
    const row = (name: string): string[] | undefined => rows.find((cells) => cells[1] === name);
    expect(row(other.name)?.[6]).toBe("a printer");
    expect(row(hidden.name)?.[6]).toBe("(3 bytes)");
    expect(rows.at(-1)).toEqual(["4 members: 4 alive"]);
  });

  test("as JSON", async () => {
    const members = await json<Member[]>("members", two.name);
    expect(members[0]).toEqual({
      name: two.name,
      nodeId: two.nodeId,
      state: "alive",
      address: two.name.slice("two@".length),
      incarnation: expect.any(Number),
      metadata: "",
    });
    expect(members.map(({ name }) => name).sort()).toEqual(
      [hidden.name, one.name, other.name, two.name].sort(),
    );
    const metadata = members.find(({ name }) => name === other.name)?.metadata ?? "";
    expect(Buffer.from(metadata, "base64").toString()).toBe("a printer");
  });
});

interface Route {
  readonly node: string;
  readonly nodeId: string;
  readonly way: string;
  readonly nextHop: string | null;
  readonly use: string | null;
  readonly rttMs: number | null;
}

/** Asks until there is a way from `node` to the one that cannot be dialled. */
async function untilReached(node: RunningNode): Promise<void> {
  let way: string | undefined;
  while (way !== "link" && way !== "mesh") {
    way = (await json<Route[]>("routes", node.name)).find((route) => route.node === hidden.name)?.way;
  }
}

describe("routes", () => {
  test("links with their use and round trip, and the way to each member", async () => {
    const { code, stdout } = await run("routes", one.name);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^link with +use +round trip$/m);
    expect(stdout).toMatch(new RegExp(`^${two.name} +(neighbour|shortcut|guest) +\\d+\\.\\d\\d ms$`, "m"));
    expect(stdout).toMatch(/^member +way +next hop$/m);
    expect(stdout).toMatch(new RegExp(`^${two.name} +link$`, "m"));
    expect(stdout).toMatch(new RegExp(`^\\d links?, 3 living members besides ${one.name}$`, "m"));
  });

  test("as JSON", async () => {
    const routes = await json<Route[]>("routes", one.name);
    expect(routes.find(({ node }) => node === two.name)).toEqual({
      node: two.name,
      nodeId: two.nodeId,
      way: "link",
      nextHop: two.name,
      use: expect.stringMatching(/^(neighbour|shortcut|guest)$/),
      rttMs: expect.any(Number),
    });
  });
});

interface Trace {
  readonly node: string;
  readonly through: string;
  readonly rttMs: number;
  readonly hops: readonly { readonly node: string; readonly nodeId: string; readonly rttMs: number }[];
}

describe("trace", () => {
  test("hop by hop, with the round trip to each", async () => {
    await untilReached(two);
    const trace = await json<Trace>("trace", hidden.name, "--via", two.name);
    expect(trace).toMatchObject({ node: hidden.name, through: two.name, rttMs: expect.any(Number) });
    expect(trace.hops[0]).toEqual({ node: two.name, nodeId: two.nodeId, rttMs: 0 });
    expect(trace.hops.at(-1)).toEqual({ node: hidden.name, nodeId: hidden.nodeId, rttMs: trace.rttMs });
    const { code, stdout } = await run("trace", hidden.name, "--via", two.name);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^hop +node +id +round trip$/m);
    expect(stdout).toMatch(new RegExp(`^0 +${two.name} +${two.nodeId.slice(0, 12)} +this node$`, "m"));
    expect(stdout).toMatch(
      new RegExp(`^\\d +${hidden.name} +${hidden.nodeId.slice(0, 12)} +\\d+\\.\\d\\d ms$`, "m"),
    );
    expect(stdout).toMatch(/^\d hops?, \d+\.\d\d ms there and back$/m);
  });

  test("a name that nobody has: the nearest that somebody has", async () => {
    const wrong = two.name.replace("two@", "tow@");
    const outcome = await run("trace", wrong, "--via", one.name);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toBe(
      `macula: ${wrong} is no member: did you mean ${two.name}? (\`macula members\` tells who is alive)\n`,
    );
    const wrongPort = await run("trace", "two@localhost:1", "--via", one.name, "--json");
    expect(wrongPort.code).toBe(1);
    expect(JSON.parse(wrongPort.stderr)).toEqual({
      error: { code: "PEER_UNREACHABLE", message: expect.stringContaining(`did you mean ${two.name}?`) },
    });
  });
});

describe("errors say what to do", () => {
  test.each<[string[], number, string]>([
    [["members"], 2, "several nodes run here, say which: one@localhost:"],
    [["members", "absent@localhost:9"], 1, "absent@localhost:9 is not running here (running: one@localhost:"],
    [["routes", "one"], 2, '"one" is not a node name: name@host:port'],
    [["trace", "two@localhost:1"], 2, "several nodes run here, say which"],
    [["trace"], 2, "missing required argument 'node'"],
    [["leave"], 2, "several nodes run here, say which"],
    [["members", "--wach"], 2, "(Did you mean --watch?)"],
  ])("%j", async (args, code, message) => {
    const outcome = await run(...args);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toContain(message);
  });

  test("where no node runs", async () => {
    const empty = temporaryHome();
    const outcome = await macula(empty, ["members"]);
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toContain("start one with macula start --name node1@localhost:4433");
    empty.remove();
  });
});

describe("leave", () => {
  test("the node has stopped when it returns, and the others see it as left", async () => {
    const leaver = await startNode(
      home,
      ["--name", "leaver@localhost:0", "--bootstrap", one.name],
      environment,
    );
    await untilState(one, "alive", leaver.name);
    const { stdout } = await run("leave", leaver.name);
    expect(stdout).toBe(`${leaver.name} has left\n`);
    expect((await json<{ name: string }[]>("nodes")).map(({ name }) => name)).toEqual([one.name, two.name]);
    const outcome = await leaver.ended;
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toContain('"event":"node.stopped"');
    expect(outcome.stderr).not.toContain("admin.refused");
    await untilState(one, "left", leaver.name);
    const table = (await run("members", one.name)).stdout;
    expect(table).toMatch(new RegExp(`^ +${leaver.name} +left .*\\n5 members: 4 alive, 1 left$`, "m"));
    const trace = await run("trace", leaver.name, "--via", one.name);
    expect(trace).toMatchObject({ code: 1, stderr: expect.stringContaining(`${leaver.name} has left`) });
  });

  test("as JSON; a new life of the node is alive again, also to who watches", async () => {
    const named = ["--name", "again@localhost:0"];
    const leaver = await startNode(home, [...named, "--bootstrap", one.name], environment);
    await untilState(one, "alive", leaver.name);
    const watcher = follow(home, ["members", one.name, "--watch", "--json"], environment);
    expect(await watcher.next()).toContainEqual(
      expect.objectContaining({ name: leaver.name, state: "alive" }),
    );
    expect(await json("leave", leaver.name)).toEqual({
      name: leaver.name,
      nodeId: leaver.nodeId,
      pid: leaver.pid,
      state: "left",
    });
    expect(await watcher.next()).toMatchObject({ name: leaver.name, before: "alive", state: "left" });
    // The same identity, at another port.
    const again = await startNode(home, [...named, "--bootstrap", one.name], environment);
    expect(again.nodeId).toBe(leaver.nodeId);
    expect(await watcher.next()).toMatchObject({
      name: again.name,
      nodeId: leaver.nodeId,
      before: "left",
      state: "alive",
    });
    await watcher.stop();
    await again.stop();
  });

  test("from a shell", async () => {
    const leaver = await startNode(
      home,
      ["--name", "shelly@localhost:0", "--bootstrap", one.name],
      environment,
    );
    await untilState(one, "alive", leaver.name);
    const shell = macula(home, ["shell", leaver.name], { environment, stdin: "members()\nleave()\n" });
    const { stdout, stderr } = await shell;
    expect(stdout).toMatch(new RegExp(`^\\*  ${leaver.name} +alive `, "m"));
    expect(stdout).toMatch(/^ok$/m);
    expect(stderr).toBe("macula: the node has gone\n");
    expect((await leaver.ended).code).toBe(0);
    await untilState(one, "left", leaver.name);
  });
});
