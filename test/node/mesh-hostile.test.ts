import { beforeEach, describe, expect, test } from "vitest";
import { positionOf } from "../../src/base/id-space.ts";
import type { NodeId } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { atom, encode } from "../../src/etf/index.ts";
import { coreCrypto } from "../../src/io/crypto.ts";
import { closeCode } from "../../src/link/index.ts";
import type { MaculaNode, MaculaNodeStats } from "../../src/node/macula-node.ts";
import { encodePacket, packetProtocol } from "../../src/routing/index.ts";
import { encodePacket as encodeProbe } from "../../src/swim/packet.ts";
import { signRecord } from "../../src/swim/record.ts";
import { encodeFrame, frameType } from "../../src/wire/index.ts";
import { testIdentity } from "../identity/support.ts";
import { joined, membershipOf, until } from "./support/mesh.ts";
import { realm, start } from "./support/nodes.ts";
import { RawPeer } from "./support/raw-peer.ts";

/* A node of the realm that does not behave: it has proven who it is, and says what it likes over a real link. */

const random = seededRandom(Date.now());
const capabilities = ["signals", "mesh"];

let victim: MaculaNode;
let friend: MaculaNode;
let friendsNews: string[];

beforeEach(async () => {
  victim = await start({ name: "victim@localhost:0", links: { handshakeTimeoutMs: 1_500 } });
  friend = await start({ name: "friend@localhost:0" });
  await joined(friend, victim);
  await friend.connect(victim.name);
  victim.exportModule("echo", { echo: (value) => value });
  friendsNews = membershipOf(friend);
  friend.on("nodeDown", ({ node }) => friendsNews.push(`nodeDown ${node}`));
});

/** A link with the victim, over which nothing was said yet. */
async function linked(identity = testIdentity(realm)): Promise<RawPeer> {
  const peer = await RawPeer.dial({ endpoint: victim }, await identity);
  await peer.link({ capabilities });
  return peer;
}

/** The same, and a session. */
async function inSession(): Promise<RawPeer> {
  const peer = await linked();
  peer.greet();
  await until(() => victim.nodes().includes(peer.name));
  return peer;
}

/** The friend has noticed nothing, and is served. */
async function friendIsWell(): Promise<void> {
  expect(await friend.rpc(victim.name, "echo", "echo", [random.u32()])).toBeTypeOf("number");
  expect(victim.nodes()).toContain(friend.name);
  expect(friendsNews.filter((event) => event.includes("victim"))).toEqual([]);
}

const noise = (): Uint8Array => random.bytes(random.integer(200));
/** What begins like nothing that is known. */
const garbage = new Uint8Array(40).fill(0xee);

type Counters = MaculaNodeStats["mesh"]["counters"];

describe("over a link in a session: counted, ignored, and the link stays", () => {
  const forward = (target: NodeId, protocol: number, source = target): Uint8Array =>
    encodePacket({ protocol, variant: 0, visited: [positionOf(source)], target, source, payload: garbage });
  const inLane: readonly [string, number, () => Uint8Array, (counters: Counters) => number][] = [
    ["MEMBERS", frameType.members, () => garbage, ({ membership }) => membership.malformed],
    [
      "MEMBERS that nobody asked for",
      frameType.members,
      () => new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0, 0]),
      ({ membership }) => membership.uninvited,
    ],
    ["LINK_USE", frameType.linkUse, () => garbage, ({ ring }) => ring.malformed],
    ["FORWARD", frameType.forward, () => garbage, ({ forwarder }) => forwarder.malformed],
    [
      "FORWARD to nobody",
      frameType.forward,
      () => forward("a".repeat(52) as NodeId, packetProtocol.channel),
      // Or to the friend, when that is nearer to nobody's id.
      ({ forwarder }) => forwarder.noRoute + forwarder.forwarded,
    ],
    [
      "FORWARD of a channel packet that is none",
      frameType.forward,
      () => forward(victim.nodeId, packetProtocol.channel, friend.nodeId),
      ({ channels }) => channels.malformed,
    ],
    [
      "FORWARD of a datagram that its sender did not seal",
      frameType.forward,
      () => forward(victim.nodeId, packetProtocol.datagram, friend.nodeId),
      ({ datagrams }) => datagrams.forged,
    ],
    [
      "FORWARD of no protocol",
      frameType.forward,
      () => forward(victim.nodeId, 99, friend.nodeId),
      ({ datagrams }) => datagrams.malformed,
    ],
    ["LOOKUP", frameType.lookup, () => garbage, ({ directory }) => directory.malformed],
    ["PROBE, as a message", frameType.probe, () => garbage, ({ datagrams }) => datagrams.malformed],
    ["TRACE, outside a box", frameType.trace, () => garbage, ({ datagrams }) => datagrams.malformed],
    ["SESSION, in a lane", frameType.session, () => garbage, ({ datagrams }) => datagrams.malformed],
    ["RETIRE, in a lane", frameType.retire, () => garbage, ({ datagrams }) => datagrams.malformed],
    ["a type that is not known", 0x3f, () => garbage, ({ datagrams }) => datagrams.malformed],
  ];

  test.each(inLane)("%s", async (_, type, payload, count) => {
    await using peer = await inSession();
    const before = count(victim.stats().mesh.counters);
    peer.lane().write(encodeFrame(type, payload()));
    await until(() => count(victim.stats().mesh.counters) > before);
    await friendIsWell();
    expect(victim.nodes()).toContain(peer.name);
  });

  test("PROBE, and datagrams of other types", async () => {
    await using peer = await inSession();
    peer.connection.sendDatagram(encodeFrame(frameType.probe, garbage));
    peer.connection.sendDatagram(encodeFrame(frameType.members, garbage));
    peer.connection.sendDatagram(encodeFrame(0x3f, garbage));
    await until(() => victim.stats().mesh.counters.membership.malformed > 0);
    await until(() => victim.stats().mesh.counters.datagrams.malformed > 1);
    await friendIsWell();
    expect(victim.nodes()).toContain(peer.name);
  });

  test("SESSION that is none", async () => {
    await using peer = await inSession();
    peer.control.write(encodeFrame(frameType.session, garbage));
    peer.greet({ mine: 0 });
    await until(() => victim.stats().counters.malformedSessions === 2);
    await friendIsWell();
    expect(victim.nodes()).toContain(peer.name);
  });

  test("noise of all types of the mesh, 20,000 frames and as many datagrams: what is kept stays bounded", async () => {
    await using peer = await inSession();
    const lanes = [peer.lane(), peer.lane(), peer.lane()];
    for (let round = 0; round < 200; round++) {
      const frames = Array.from({ length: 100 }, () => encodeFrame(0x20 + random.integer(0x20), noise()));
      await lanes[round % lanes.length]?.writeAll(Buffer.concat(frames));
      for (const frame of frames) peer.connection.sendDatagram(frame);
    }
    const ignored = ({ ring, forwarder, directory, datagrams }: Counters): number =>
      ring.malformed + forwarder.malformed + directory.malformed + datagrams.malformed;
    // Of 32 types two have a place in a lane and nothing to be malformed: BUSY, and noise that is a MEMBERS of its own counter.
    await until(() => ignored(victim.stats().mesh.counters) > 15_000);
    await friendIsWell();
    expect(victim.nodes()).toContain(peer.name);
    const { sizes } = victim.stats().mesh;
    expect(sizes).toMatchObject({
      channelPeers: 0,
      incomingChannels: 0,
      reorderBytes: 0,
      forwardBytes: 0,
      records: 0,
    });
    expect(victim.members().length).toBeLessThanOrEqual(2);
  });

  test("300 invented members: the others are served, and the node ends in good time", async () => {
    await using peer = await inSession();
    for (let index = 0; index < 300; index++) {
      const { publicKey, privateKey } = await testIdentity(realm);
      const { bytes } = signRecord(
        {
          name: `invented${index}@localhost:1`,
          address: "localhost:1",
          metadata: garbage,
          incarnation: 1,
          hasLeft: false,
        },
        publicKey,
        coreCrypto(privateKey),
      );
      const probe = encodeProbe({ kind: "gossip" }, [{ kind: "record", bytes }]);
      peer.connection.sendDatagram(encodeFrame(frameType.probe, probe));
    }
    await until(() => victim.members().length > 290);
    await friendIsWell();
    expect(
      victim
        .stats()
        .links.map(({ name }) => name)
        .sort(),
    ).toEqual([friend.name, peer.name].sort());
    await victim.close();
  });
});

describe("over a link in a session: the link is ended, with a code", () => {
  const cases: readonly [string, keyof typeof closeCode, (peer: RawPeer) => void][] = [
    [
      "RETIRE that is none",
      "decode",
      (peer) => void peer.control.write(encodeFrame(frameType.retire, garbage)),
    ],
    [
      "RETIRE with another atom",
      "decode",
      (peer) => void peer.control.write(encodeFrame(frameType.retire, encode(atom("later")))),
    ],
    [
      "a frame of the mesh on the control stream",
      "protocol",
      (peer) => void peer.control.write(encodeFrame(frameType.members, garbage)),
    ],
    [
      "SESSION of 5,000 bytes",
      "limit",
      (peer) => void peer.control.write(encodeFrame(frameType.session, new Uint8Array(5_000))),
    ],
    ["SESSION of another session", "replaced", (peer) => peer.greet({ mine: 2 })],
    [
      "MEMBERS of more than a message may have",
      "decode",
      (peer) => void peer.lane().write(new Uint8Array([1, frameType.members, 0, 0, 1, 0, 0, 1])),
    ],
  ];

  test.each(cases)("%s: %s", async (_, code, act) => {
    await using peer = await inSession();
    act(peer);
    expect((await peer.refusal())?.code).toBe(closeCode[code]);
    await until(() => !victim.nodes().includes(peer.name));
    expect(victim.stats().counters.endings).toMatchObject({ [code]: 1 });
    await friendIsWell();
  });

  test("SESSIONs without end that are about another: answered while the peer reads, and no more", async () => {
    await using peer = await inSession();
    // None of the answers is read: the window of the control stream is what they fill.
    const frames = Buffer.concat(
      Array.from({ length: 200_000 }, () => encodeFrame(frameType.session, wrongGreeting)),
    );
    const written = peer.control.writeAll(frames).catch(() => undefined);
    await peer.connection.closed;
    await written;
    await until(() => !victim.nodes().includes(peer.name));
    await friendIsWell();
  });
});

/** Mine 1, yours 7. */
const wrongGreeting = new Uint8Array([0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]);

describe("a link without a session ends after the time for a handshake", () => {
  const cases: readonly [string, (peer: RawPeer) => void][] = [
    ["nothing is said", () => undefined],
    ["SESSION that is none", (peer) => void peer.control.write(encodeFrame(frameType.session, garbage))],
    ["SESSION about another", (peer) => peer.greet({ yours: 7 })],
    [
      "lanes full of what nobody reads",
      (peer) => {
        for (let index = 0; index < 100; index++) peer.lane().write(new Uint8Array(100_000));
      },
    ],
  ];

  test.each(cases)("%s", async (_, act) => {
    await using peer = await linked();
    await until(() => victim.stats().links.some(({ name }) => name === peer.name));
    const connected = victim.connect(peer.name);
    const call = victim
      .rpc(peer.name, "any", "thing", [], { timeoutMs: 60_000 })
      .catch((error: unknown) => error);
    act(peer);
    expect(await peer.refusal()).toMatchObject({ code: closeCode.timeout });
    expect(await connected).toBe(false);
    expect(await call).toMatchObject({ code: "PEER_UNREACHABLE" });
    await friendIsWell();
  });
});
