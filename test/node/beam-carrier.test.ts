import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeLocalRequest, encodeTunnelRequest } from "../../src/carrier/index.ts";
import { nodeIdentity, openIdentityStore } from "../../src/io/identity-store.ts";
import { type QuicConnection, QuicEndpoint } from "../../src/io/quic/index.ts";
import { distAlpn } from "../../src/node/beam/tunnels.ts";
import type { Caller } from "../../src/node/beam/types.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { UdpRelay } from "../quic/support/relay.ts";
import { freePort } from "../support/free-port.ts";
import { dial, FakeBeam, readAll, readBytes } from "./support/fake-beam.ts";
import { deferred, realm, start } from "./support/nodes.ts";

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "mac-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const startNode = (name = "macula"): Promise<MaculaNode> =>
  start({ name: `${name}@localhost:0`, stateDir: home });
const pathOf = (node: MaculaNode): string => join(home, "beam", `${node.address.port}.sock`);
const beamOf = (node: MaculaNode, name: string): string => `${name}@127.0.0.1:${node.address.port}`;

/** Two ends of a connection from `from` to a BEAM node at `to`. */
async function connected(
  from: MaculaNode,
  to: MaculaNode,
): Promise<{ dialler: Socket; acceptor: Socket; beam: FakeBeam }> {
  const name = beamOf(to, `b${Math.random().toString(36).slice(2)}`);
  const beam = await FakeBeam.register(pathOf(to), name);
  const [dialler, acceptor] = await Promise.all([dial(pathOf(from), name), beam.accept()]);
  return { dialler, acceptor, beam };
}

test.each(["one Macula node", "two Macula nodes"])(
  "bytes go both ways and each side ends by itself: %s",
  async (many) => {
    const left = await startNode();
    const right = many === "one Macula node" ? left : await startNode();
    const { dialler, acceptor } = await connected(left, right);
    dialler.write("question");
    expect(await readBytes(acceptor, 8)).toBe("question");
    // Half-closed: one side has said all and still hears the other.
    dialler.end("the last words");
    expect(await readAll(acceptor)).toBe("the last words");
    acceptor.end("answer");
    expect(await readAll(dialler)).toBe("answer");
  },
);

test.each(["one Macula node", "two Macula nodes"])(
  "a side that is torn down takes the other with it: %s",
  async (many) => {
    const left = await startNode();
    const right = many === "one Macula node" ? left : await startNode();
    const { dialler, acceptor } = await connected(left, right);
    const ended = once(dialler.resume(), "end");
    acceptor.destroy();
    await ended;
    const again = await connected(left, right);
    const acceptorEnded = once(again.acceptor.resume(), "end");
    again.dialler.destroy();
    await acceptorEnded;
  },
);

test("a name belongs to whoever holds its connection, until that ends", async () => {
  const node = await startNode();
  const name = beamOf(node, "one");
  const first = await FakeBeam.register(pathOf(node), name);
  expect(node.beam.nodes()).toEqual([name]);
  await expect(FakeBeam.register(pathOf(node), name)).rejects.toThrow("is attached already");
  await expect(FakeBeam.register(pathOf(node), node.name)).rejects.toThrow("is attached already");
  await expect(FakeBeam.register(pathOf(node), "other@localhost:1")).rejects.toThrow("does not belong to");
  await expect(FakeBeam.register(pathOf(node), "no name")).rejects.toThrow("is not a node name");
  first.control.destroy();
  const second = await FakeBeam.register(pathOf(node), beamOf(node, "two"));
  // In the order in which they came: the first is known to be gone.
  await FakeBeam.register(pathOf(node), name);
  expect(node.beam.nodes()).toHaveLength(2);
  second.control.destroy();
});

test("a registered node that speaks out of turn is detached", async () => {
  const node = await startNode();
  const beam = await FakeBeam.register(pathOf(node), beamOf(node, "one"));
  const ended = once(beam.control, "end");
  beam.control.write("hello?");
  await ended;
  expect(node.beam.nodes()).toEqual([]);
});

test.each([
  ["nothing before the end", new Uint8Array(0), ""],
  ["a long packet", Uint8Array.of(0xff, 0xff), "a packet of 65535 bytes"],
  ["an unknown version", Uint8Array.of(0, 2, 9, 1), "version 9"],
  ["an unknown request", Uint8Array.of(0, 2, 1, 9), "there is no request 9"],
  ["a name that ends early", Uint8Array.of(0, 4, 1, 1, 200, 65), "200 bytes expected"],
  ["a name that is no text", Uint8Array.of(0, 4, 1, 1, 1, 0xff), "not well-formed UTF-8"],
  ["an unknown token", encodeLocalRequest({ type: "accept", token: "00".repeat(8) }), ""],
  [
    "words before the answer",
    Buffer.concat([
      encodeLocalRequest({ type: "connect", target: "a@localhost:1", from: "b@localhost", timeoutMs: 1_000 }),
      Buffer.from("early"),
    ]),
    "bytes after the request",
  ],
])("garbage on the local socket: %s", async (_, bytes, answer) => {
  const node = await startNode();
  const socket = connect({ path: pathOf(node), allowHalfOpen: true });
  if (bytes.length === 0) socket.end();
  else socket.write(bytes);
  expect(await readAll(socket)).toContain(answer);
  await FakeBeam.register(pathOf(node), beamOf(node, "one"));
});

test("the folder of the socket is the owner's alone, or there is no socket", async () => {
  const node = await startNode();
  expect(statSync(join(home, "beam")).mode & 0o777).toBe(0o700);
  expect(statSync(pathOf(node)).mode & 0o777).toBe(0o600);
  const open = mkdtempSync(join(tmpdir(), "mac-"));
  try {
    mkdirSync(join(open, "beam"));
    chmodSync(join(open, "beam"), 0o755);
    const warnings: unknown[] = [];
    const ignore = (): void => {};
    const warn = (facts: object, event: string): void => void warnings.push({ ...facts, event });
    await start({ stateDir: open, logger: { debug: ignore, info: ignore, warn, error: ignore } });
    expect(warnings).toEqual([
      { event: "beam.unavailable", error: expect.stringContaining("chmod 700") as string },
    ]);
  } finally {
    rmSync(open, { recursive: true, force: true });
  }
});

test("a program opens the distribution of a BEAM node, here and elsewhere, and is told why not", async () => {
  const left = await startNode();
  const right = await startNode();
  for (const from of [left, right]) {
    const beam = await FakeBeam.register(pathOf(right), beamOf(right, "one"));
    const [stream, acceptor] = await Promise.all([from.beam.open(beamOf(right, "one")), beam.accept()]);
    stream.write("hello");
    expect(await readBytes(acceptor, 5)).toBe("hello");
    const ended = once(acceptor.resume(), "end");
    stream.destroy();
    await ended;
    const detached = once(beam.control, "close");
    beam.control.destroy();
    await detached;
  }
  await expect(left.beam.open(beamOf(right, "gone"))).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  await expect(left.beam.open(beamOf(left, "gone"))).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  await expect(left.beam.open("gone@127.0.0.1:1")).rejects.toMatchObject({ code: "REFUSED" });
  await expect(left.beam.open("no name")).rejects.toMatchObject({ code: "CONFIGURATION" });
  await expect(left.beam.open(left.name)).rejects.toMatchObject({ code: "CONFIGURATION" });
  right.beam.onLocal = undefined;
  await expect(left.beam.open(right.name)).rejects.toMatchObject({ code: "UNSUPPORTED" });
});

test("whoever wants the Macula node itself gets it when it speaks distribution", async () => {
  const left = await startNode("left");
  const right = await startNode("right");
  const taken: Caller[] = [];
  right.beam.onLocal = (stream, caller) => {
    taken.push(caller);
    stream.pipe(stream);
  };
  for (const via of [left, right]) {
    const socket = await dial(pathOf(via), right.name);
    socket.write("echo");
    expect(await readBytes(socket, 4)).toBe("echo");
    socket.end();
    await readAll(socket);
  }
  // Bounds go by the host, so through a tunnel that must not be what the caller makes up.
  expect(taken).toEqual([
    { from: "fake@localhost", host: "127.0.0.1" },
    { from: "fake@localhost", host: "fake@localhost" },
  ]);
});

test("a BEAM node that does not come for its connection holds nobody up for longer than they wait", async () => {
  const left = await startNode();
  const right = await startNode();
  await FakeBeam.register(pathOf(right), beamOf(right, "hangs"));
  await expect(dial(pathOf(left), beamOf(right, "hangs"), 300)).rejects.toThrow("in time");
  await expect(dial(pathOf(right), beamOf(right, "hangs"), 300)).rejects.toThrow("given up");
});

test("a receiver that reads nothing stops its sender within a few MiB", async () => {
  const left = await startNode();
  const right = await startNode();
  const { dialler, acceptor } = await connected(left, right);
  const chunk = Buffer.alloc(65_536, 1);
  let written = 0;
  // Until nothing has moved for a while, as seen by the one who writes.
  await new Promise<void>((resolve) => {
    const more = (): void => {
      for (;;) {
        written += chunk.length;
        if (!dialler.write(chunk)) break;
      }
      const stuck = setTimeout(resolve, 1_000);
      dialler.once("drain", () => {
        clearTimeout(stuck);
        more();
      });
    };
    more();
  });
  expect(written).toBeLessThan(6 * 2 ** 20);
  // Nothing is lost, and it goes on when the receiver reads.
  dialler.end();
  let read = 0;
  for await (const part of acceptor) read += (part as Uint8Array).length;
  expect(read).toBe(written);
});

test("a connection that its dialler has given up does not wait for the BEAM node any longer", async () => {
  const left = await startNode();
  const refused: unknown[] = [];
  const ignore = (): void => {};
  const warn = (facts: object, event: string): void => void refused.push({ ...facts, event });
  const logger = { debug: ignore, info: ignore, warn, error: ignore };
  const right = await start({ name: "macula@localhost:0", stateDir: home, logger });
  const name = beamOf(right, "hangs");
  await FakeBeam.register(pathOf(right), name);
  await expect(dial(pathOf(left), name, 300)).rejects.toThrow("in time");
  await expect.poll(() => refused).toMatchObject([{ event: "beam.refused", node: name }]);
});

test("what a BEAM node is told and does not read is bounded", async () => {
  const node = await startNode();
  const name = beamOf(node, "stopped");
  const beam = await FakeBeam.register(pathOf(node), name);
  await expect(dial(pathOf(node), name, 1)).rejects.toThrow("given up");
  beam.control.pause();
  let said = "";
  // Enough for the buffers of both sides and the system's.
  for (let round = 0; round < 40 && !said.includes("does not react"); round++) {
    const dials = Array.from({ length: 400 }, () => dial(pathOf(node), name, 1));
    for (const { reason } of (await Promise.allSettled(dials)) as PromiseRejectedResult[]) {
      said = (reason as Error).message;
    }
  }
  expect(said).toBe(`${name} does not react`);
});

test("hundreds of connections between two Macula nodes at once, each with bytes of its own", async () => {
  const [left, right] = await Promise.all([startNode(), startNode()]);
  const names = Array.from({ length: 400 }, (_, index) => beamOf(right, `b${index}`));
  const pairs = await Promise.all(
    names.map(async (name) => {
      const beam = await FakeBeam.register(pathOf(right), name);
      const [dialler, acceptor] = await Promise.all([dial(pathOf(left), name), beam.accept()]);
      return { name, dialler, acceptor };
    }),
  );
  // All are there at once: more than one QUIC connection has streams for.
  await Promise.all(
    pairs.map(async ({ name, dialler, acceptor }) => {
      dialler.write(name);
      expect(await readBytes(acceptor, name.length)).toBe(name);
      acceptor.end(`to ${name}`);
      expect(await readAll(dialler)).toBe(`to ${name}`);
      dialler.end();
    }),
  );
});

test("a BEAM node without the capabilities of OTP 25 is told not_allowed, and the log says what is missing", async () => {
  const refused = deferred<Readonly<Record<string, unknown>>>();
  const write = (fields: Readonly<Record<string, unknown>>, event: string): void => {
    if (event === "erlang.refused") refused.resolve(fields);
  };
  const logger = { debug: write, info: write, warn: write, error: write };
  const node = await start({ name: "macula@localhost:0", stateDir: home, erlangCookie: "crumb", logger });
  const socket = await dial(pathOf(node), node.name);
  // 'N', flags without SPAWN and ALIAS, creation 1, a name.
  const name = "old@localhost:4433";
  const head = Uint8Array.of(0x4e, 0, 0, 0, 4, 7, 0xdf, 0x7f, 0xbd, 0, 0, 0, 1, 0, name.length);
  socket.write(Uint8Array.of(0, head.length + name.length, ...head, ...Buffer.from(name)));
  expect((await readAll(socket)).slice(2)).toBe("snot_allowed");
  const { code, reason } = await refused.promise;
  expect(code).toBe("NO_COMMON_CAPABILITIES");
  expect(reason).toContain("SPAWN, ALIAS");
});

/** A Macula node that others reach through a relay only: the port in its name is the relay's. */
async function startBehindRelay(): Promise<{
  node: MaculaNode;
  relay: UdpRelay;
  path: string;
  name: string;
}> {
  const inner = await freePort();
  const relay = await UdpRelay.open({ host: "127.0.0.1", port: inner });
  const { port } = relay.address;
  const node = await start({ name: `macula@127.0.0.1:${port}`, port: inner, stateDir: home });
  return { node, relay, path: join(home, "beam", `${port}.sock`), name: `one@127.0.0.1:${port}` };
}

test("the dialler's address changes in the middle of a connection, and nobody notices", async () => {
  const left = await startNode();
  const { relay, path, name } = await startBehindRelay();
  try {
    const beam = await FakeBeam.register(path, name);
    const [dialler, acceptor] = await Promise.all([dial(pathOf(left), name), beam.accept()]);
    for (const word of ["one", "two", "six"]) {
      dialler.write(word);
      expect(await readBytes(acceptor, 3)).toBe(word);
      await relay.switchPort();
      acceptor.write(word);
      dialler.write(word);
      expect(await readBytes(dialler, 3)).toBe(word);
      expect(await readBytes(acceptor, 3)).toBe(word);
    }
  } finally {
    relay.close();
  }
});

test("a network that is cut silently ends the connection on both sides within 10 s", async () => {
  const left = await startNode();
  const { relay, path, name } = await startBehindRelay();
  const beam = await FakeBeam.register(path, name);
  const [dialler, acceptor] = await Promise.all([dial(pathOf(left), name), beam.accept()]);
  dialler.write("hello");
  expect(await readBytes(acceptor, 5)).toBe("hello");
  relay.close();
  const ends = Promise.all([once(dialler.resume(), "end"), once(acceptor.resume(), "end")]);
  const late = new Promise((resolve) => setTimeout(() => resolve("late"), 10_000));
  expect(await Promise.race([ends.then(() => "ended"), late])).toBe("ended");
});

async function peerConnection(
  node: MaculaNode,
): Promise<{ endpoint: QuicEndpoint; connection: QuicConnection }> {
  const store = await openIdentityStore(undefined);
  const identity = await nodeIdentity({ ...realm, name: "peer@localhost:1", store });
  const endpoint = await QuicEndpoint.listen({
    host: "127.0.0.1",
    identity,
    trust: { authorities: identity.authorities, realm: realm.realm },
    alpn: [distAlpn],
  });
  const connection = await endpoint.connect({ host: "127.0.0.1", port: node.address.port });
  return { endpoint, connection };
}

test.each([
  ["a long packet", Uint8Array.of(0xff, 0xff), "a packet of 65535 bytes"],
  ["an unknown version", Uint8Array.of(0, 1, 9), "version 9"],
  ["bytes left over", Uint8Array.of(0, 4, 1, 0, 0, 7), "1 bytes left over"],
  [
    "no such node",
    encodeTunnelRequest({ target: "nobody@localhost", from: "x@y" }),
    "there is no node nobody@localhost",
  ],
])("a peer's bad request on a stream: %s", async (_, bytes, answer) => {
  const node = await startNode();
  const { endpoint, connection } = await peerConnection(node);
  try {
    const stream = connection.openStream({ bidirectional: true });
    await stream?.writeAll(bytes);
    let text = "";
    for await (const chunk of stream ?? []) text += new TextDecoder().decode(chunk);
    expect(text).toContain(answer);
  } finally {
    await endpoint.close();
  }
});

test("a peer's stream that never says what for is cut off, and no more are granted than there is room for", async () => {
  const node = await startNode();
  const { endpoint, connection } = await peerConnection(node);
  try {
    const streams = [];
    for (let stream = connection.openStream({ bidirectional: true }); stream !== undefined; ) {
      stream.write(Uint8Array.of(0));
      streams.push(stream);
      stream = connection.openStream({ bidirectional: true });
    }
    expect(streams).toHaveLength(32);
    await Promise.all(
      streams.map((stream) => expect(stream.finished).rejects.toMatchObject({ code: "RESET" })),
    );
  } finally {
    await endpoint.close();
  }
});
