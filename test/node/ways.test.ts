import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { decodeControl, type NodeNames } from "../../src/erlang/index.ts";
import { atom, Pid, type Term, type Tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { RawErlang } from "../erlang/support/raw-erlang.ts";
import { dial, FakeBeam } from "./support/fake-beam.ts";
import { run, start } from "./support/nodes.ts";

/* What happens when one node is reached by a link and by the Erlang distribution at the same time. */

const cookie = "crumb";
const names: NodeNames = {
  own: "",
  toPeer: String,
  fromPeer: String,
  heard: String,
  introduced: () => undefined,
};

let home: string;
/** Where nobody answers: dials of it go on. */
let silent: UdpSocket;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "mac-"));
  silent = createSocket("udp4");
  silent.bind(0, "127.0.0.1");
  await once(silent, "listening");
});
afterEach(() => {
  silent.close();
  rmSync(home, { recursive: true, force: true });
});

/** An Erlang node of this name that has dialled `node` through its carrier. */
async function raw(node: MaculaNode, name: string): Promise<RawErlang> {
  const socket = await dial(join(home, "beam", `${node.address.port}.sock`), node.name);
  return new RawErlang(socket, { role: "dialler", name, cookie });
}

function messages(erlang: RawErlang, node: MaculaNode): Term[] {
  return erlang.packets
    .filter(([kind]) => kind === 112)
    .map((packet) => decodeControl(packet, { node: node.name, creation: 1, names }))
    .flatMap((signal) => (signal?.type === "regSend" ? [signal.message] : []));
}

test("what waits for a link goes first when the node comes by the distribution, and the link's failure is nobody's loss", async () => {
  const node = await start({
    name: "ts@localhost:0",
    stateDir: home,
    erlangCookie: cookie,
    links: { dialTimeoutMs: 500 },
  });
  const name = `erl@127.0.0.1:${silent.address().port}`;
  const down: string[] = [];
  node.on("nodeDown", ({ node: gone }) => down.push(gone));
  const told: Term[] = [];
  const watcher = node.spawn(async (self) => {
    self.monitorNode(name);
    for (;;) told.push(((await self.receive()) as Tuple).elements[0]);
  });
  const connected = node.connect(name);
  node.send({ name: "here", node: name }, 1);
  node.send({ name: "here", node: name }, "x".repeat(100_000));
  const erlang = await raw(node, name);
  await erlang.ready;
  expect(await connected).toBe(true);
  node.send({ name: "here", node: name }, 2);
  await expect.poll(() => messages(erlang, node)).toEqual([1, "x".repeat(100_000), 2]);
  // A dial that began later has been given up: so has the first, whatever became of it.
  expect(await node.connect(`later@127.0.0.1:${silent.address().port}`)).toBe(false);
  expect(node.nodes()).toEqual([name]);
  expect([down, told]).toEqual([[], []]);
  expect(node.processInfo(watcher)).toBeDefined();
});

test("a Macula node that proves the name of an Erlang node takes its place: down, then up", async () => {
  const node = await start({ name: "ts@localhost:0", stateDir: home, erlangCookie: cookie });
  const other = await start({ name: "other@localhost:0" });
  const events: string[] = [];
  node.on("nodeUp", ({ nodeId }) => events.push(nodeId === undefined ? "up by Erlang" : "up by link"));
  node.on("nodeDown", ({ nodeId }) => events.push(nodeId === undefined ? "down by Erlang" : "down by link"));
  const erlang = await raw(node, other.name);
  await erlang.ready;
  await expect.poll(() => node.nodes()).toEqual([other.name]);
  const got = run(other, async (self) => {
    other.registerName("here", self.pid);
    expect(await other.connect(node.name)).toBe(true);
    return self.receive();
  });
  await expect.poll(() => events).toEqual(["up by Erlang", "down by Erlang", "up by link"]);
  node.send({ name: "here", node: other.name }, atom("hello"));
  expect(await got).toBe(atom("hello"));
  expect(node.nodes()).toEqual([other.name]);
});

test("a name with and without its port are two Erlang nodes, of which the one is reached that is there", async () => {
  const name = "ts@localhost:4433";
  const node = await start({ name, port: 0, stateDir: home, erlangCookie: cookie });
  const path = join(home, "beam", "4433.sock");
  // Proves nothing, and is not believed.
  const stranger = new RawErlang(await dial(path, name), {
    role: "dialler",
    name: "erl@localhost",
    cookie: "no",
  });
  await expect(stranger.ready).rejects.toMatchObject({ code: "INVALID_CHALLENGE" });
  for (const spelled of ["erl@localhost:4433", "erl@localhost", "erl@localhost:4433"]) {
    const beam = await FakeBeam.register(path, spelled);
    const connected = node.connect("erl@localhost");
    const erlang = new RawErlang(await beam.accept(), { role: "listener", name: spelled, cookie });
    expect(await connected).toBe(true);
    expect(node.nodes()).toEqual(["erl@localhost:4433"]);
    const self = node.self.pid;
    node.send({ name: "here", node: "erl@localhost" }, self);
    await expect.poll(() => messages(erlang, node)).toEqual([self]);
    node.exit(new Pid("erl@localhost:4433", 1, 0, 7), atom("kill"));
    await expect.poll(() => Buffer.from(erlang.packets.at(-1) ?? []).includes(`${spelled}\0`)).toBe(true);
    node.disconnect("erl@localhost");
    beam.control.destroy();
    await expect.poll(() => node.beam.nodes()).toEqual([]);
  }
});
