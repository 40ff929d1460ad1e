import { beforeEach, describe, expect, test } from "vitest";
import type { NodeId } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { after, type Instant } from "../../src/base/time.ts";
import { monotonicNow } from "../../src/io/clock.ts";
import type { MeshPort } from "../../src/node/links/mesh-port.ts";
import { decodeSessionMessage, encodeGreeting, Session } from "../../src/session/index.ts";
import { encodeFrame, frameType } from "../../src/wire/index.ts";
import { LinkNode } from "./support/link-node.ts";

/* What links keep of the nodes that send by channels. The mesh is played: all that it would bring is given to the sessions. */

const ids = Array.from({ length: 100 }, (_, index) => `${"a".repeat(50)}${String(index % 10)}q` as NodeId);
const nameOf = (id: NodeId): string => `member${ids.indexOf(id)}@localhost:1`;

/** What the node sends by channels, to whom. */
let sent: { readonly to: NodeId; readonly message: Uint8Array }[];
const mesh: MeshPort = {
  idOf: (name) => ids.find((id) => nameOf(id) === name),
  nameOf,
  addressOf: () => undefined,
  hasRoute: () => true,
  send: (to, message) => void sent.push({ to, message }),
  waitingBytes: () => 0,
  hold: () => undefined,
  pause: () => undefined,
  linkUp: () => undefined,
  linkDown: () => undefined,
  linkReady: () => undefined,
  frame: () => undefined,
  datagram: () => undefined,
};

beforeEach(() => {
  sent = [];
});

async function start(clock: () => Instant = monotonicNow): Promise<LinkNode> {
  const node = await LinkNode.start({ setup: { clock } });
  node.links.attach(mesh);
  return node;
}

const [id] = ids as [NodeId];
const greeting = { mine: 5, yours: 0, ended: 0, creation: 1 };
const inLane = (bytes: Uint8Array): Uint8Array => new Uint8Array([...encodeGreeting(greeting), 0, ...bytes]);

describe("docs/sessions.md, Bounds: what comes by channels", () => {
  test("messages that are none leave nothing but a count", async () => {
    await using node = await start();
    for (const each of ids) node.links.sessions.onMessage(each, new Uint8Array([1, 2, 3]));
    expect(node.links.stats().counters.malformedSessions).toBe(ids.length);
    await Promise.resolve();
    expect(node.links.stats()).toMatchObject({ sessions: 0, known: { peers: 0 } });
    expect(node.deliveries).toEqual([]);
  });

  test("a frame that is no signal ends the session, and nothing is kept of it", async () => {
    await using node = await start();
    node.links.sessions.onMessage(id, inLane(encodeFrame(frameType.handshake, new Uint8Array(3))));
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown"]);
    await Promise.resolve();
    expect(node.links.stats()).toMatchObject({ sessions: 0, known: { peers: 0 } });
  });

  test("half a message whose rest never comes ends the session, as it does a link", async () => {
    let now = monotonicNow();
    await using node = await start(() => now);
    const half = encodeFrame(frameType.send, new Uint8Array(100)).subarray(0, 50);
    node.links.sessions.onMessage(id, inLane(half));
    now = after(now, 55_000);
    node.links.sessions.weigh();
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp"]);
    now = after(now, 10_000);
    node.links.sessions.weigh();
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown"]);
    await Promise.resolve();
    expect(node.links.stats().known.peers).toBe(0);
  });

  test("a message for a former life is answered once, and the answer is remembered", async () => {
    await using node = await start();
    const old = new Uint8Array([...encodeGreeting({ ...greeting, yours: 9 }), 0, 1]);
    for (let count = 0; count < 10; count++) node.links.sessions.onMessage(id, old);
    await Promise.resolve();
    expect(sent).toHaveLength(1);
    expect(node.links.stats()).toMatchObject({ sessions: 0, known: { peers: 1 } });
    node.links.sessions.onMemberDown(id);
    await Promise.resolve();
    expect(node.links.stats().known.peers).toBe(0);
  });
});

describe("a node that was given up, and lives", () => {
  test("is told once that the session is over, and a new life of it is told nothing", async () => {
    await using node = await start();
    const other = new Session(1, seededRandom(1));
    node.links.sessions.onMessage(id, other.hello());
    // The node's answer, by which the other end is up too.
    other.handle({ type: "message", payload: sent[0]?.message as Uint8Array });
    expect(drain(other)).toEqual(["up"]);
    node.links.sessions.onMemberDown(id);
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown"]);
    sent = [];
    node.links.sessions.onMemberUp(id);
    node.links.sessions.onMemberUp(id);
    expect(sent.map(({ to }) => to)).toEqual([id]);
    const reborn = new Session(2, seededRandom(2));
    for (const session of [other, reborn])
      session.handle({ type: "message", payload: sent[0]?.message as Uint8Array });
    expect(drain(other)).toEqual(["down"]);
    expect(drain(reborn)).toEqual([]);
    expect(node.links.stats().sessions).toBe(0);
  });
});

function drain(session: Session): string[] {
  const outputs: string[] = [];
  for (let output = session.poll(); output !== undefined; output = session.poll()) outputs.push(output.type);
  return outputs;
}

describe("what is sent from within what tells that a session is over", () => {
  test("belongs to the next one, which is not forgotten before the other end has answered", async () => {
    const say = (node: LinkNode): boolean =>
      node.links.send(nameOf(id), 0, 0, {
        type: "regSend",
        from: node.pid(),
        name: "somebody",
        message: 1,
      });
    let again = false;
    await using node = await LinkNode.start({
      onDelivery: (delivery, self) => {
        self.deliveries.push(delivery);
        if (delivery.type !== "nodeDown" || again) return;
        again = true;
        say(self);
      },
    });
    node.links.attach(mesh);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    say(node);
    await turn();
    const numberOf = (message: Uint8Array): number => decodeSessionMessage(message).mine;
    expect(sent).toHaveLength(1);
    node.links.sessions.onLost(id, numberOf(sent[0]?.message ?? new Uint8Array()));
    await turn();
    expect(sent).toHaveLength(2);
    const yours = numberOf(sent[1]?.message ?? new Uint8Array());
    node.links.sessions.onMessage(id, encodeGreeting({ mine: 5, yours, ended: 0, creation: 1 }));
    expect(node.links.connected()).toEqual([nameOf(id)]);
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeDown", "nodeUp"]);
  });
});

describe("a name that has passed to a node made anew", () => {
  const [former, present] = ids as [NodeId, NodeId];
  const name = "twin@localhost:1";
  const hello = (mine: number): Uint8Array => encodeGreeting({ mine, yours: 0, ended: 0, creation: mine });

  async function twin(): Promise<{ node: LinkNode; pass: () => void }> {
    let holder = former;
    const node = await LinkNode.start();
    node.links.attach({ ...mesh, idOf: () => holder, nameOf: () => name });
    node.links.sessions.onMessage(former, hello(5));
    return {
      node,
      pass: () => {
        holder = present;
      },
    };
  }

  test("is that node's: its messages begin a session, and the former one is over", async () => {
    const { node, pass } = await twin();
    await using _node = node;
    // While the former has the name, nobody else is heard under it.
    node.links.sessions.onMessage(present, hello(6));
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp"]);
    pass();
    node.links.sessions.onMessage(present, hello(6));
    expect(node.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown", "nodeUp"]);
    expect(node.links.connected()).toEqual([name]);
  });

  test("what is sent to the name goes to that node", async () => {
    const { node, pass } = await twin();
    await using _node = node;
    pass();
    sent = [];
    node.links.send(name, 0, 0, { type: "regSend", from: node.pid(), name: "somebody", message: 1 });
    await new Promise((resolve) => setImmediate(resolve));
    // The former session is over, with what was sent in it; what is sent from now on is for the present one.
    node.links.send(name, 0, 0, { type: "regSend", from: node.pid(), name: "somebody", message: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent.length).toBeGreaterThan(0);
    expect(sent.every(({ to }) => to === present)).toBe(true);
  });
});

describe("connect", () => {
  test("from within what tells that the session is over: it waits for the next, or for why there is none", async () => {
    let again: Promise<unknown> | undefined;
    await using node = await LinkNode.start({
      onDelivery: ({ type }, { links }) => {
        if (type === "nodeDown") again ??= links.connect(nameOf(id)).catch((error: unknown) => error);
      },
    });
    let isRouted = true;
    node.links.attach({ ...mesh, hasRoute: () => isRouted });
    node.links.sessions.onMessage(id, encodeGreeting(greeting));
    expect(node.links.connected()).toEqual([nameOf(id)]);
    isRouted = false;
    node.links.sessions.onMemberDown(id);
    // Of the dial, not of the session that is over.
    expect(await again).toMatchObject({ code: "REFUSED" });
    expect(node.links.stats().known.peers).toBe(0);
  });
});
