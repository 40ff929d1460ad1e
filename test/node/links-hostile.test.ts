import { describe, expect, test } from "vitest";
import { closeCode } from "../../src/link/index.ts";
import { encodeFrame, frameType } from "../../src/wire/index.ts";
import { expiredIdentity, strangerIdentity, testIdentity } from "../identity/support.ts";
import { LinkNode } from "./support/link-node.ts";
import { RawPeer } from "./support/raw-peer.ts";

const refusedWith = (node: LinkNode): string[] =>
  node.news.flatMap((news) => (news.type === "refused" ? [news.ending.code] : []));

describe("DESIGN §5: a handshake that does not hold is refused at both sides", () => {
  const cases: readonly [
    string,
    keyof typeof closeCode,
    (peer: RawPeer, victim: LinkNode) => void | Promise<void>,
  ][] = [
    [
      "garbage on the control stream",
      "decode",
      (peer) => void peer.control.write(new Uint8Array(64).fill(1)),
    ],
    [
      "an unknown version of the frame",
      "version_mismatch",
      (peer) => void peer.control.write(new Uint8Array(64).fill(9)),
    ],
    ["versions we do not speak", "version_mismatch", (peer) => peer.say(peer.hello({ versions: [2, 3] }))],
    [
      "no common capabilities",
      "no_common_capabilities",
      (peer) => peer.say(peer.hello({ capabilities: ["telepathy"] })),
    ],
    [
      "another node's id",
      "invalid_challenge",
      async (peer) => peer.say(peer.hello({ nodeId: (await testIdentity()).nodeId })),
    ],
    [
      "the name of the node itself",
      "name_taken",
      (peer, victim) => peer.say(peer.hello({ name: victim.name })),
    ],
    ["no node name", "decode", (peer) => peer.say(peer.hello({ name: "nobody" }))],
    ["a node name without its port", "decode", (peer) => peer.say(peer.hello({ name: "raw@localhost" }))],
    ["a proof that proves nothing", "invalid_challenge", wrongProof],
    [
      "a message out of turn",
      "protocol",
      (peer) => peer.say({ kind: "proof", signature: new Uint8Array(64) }),
    ],
    [
      "a handshake of more than 4 KiB",
      "limit",
      (peer) => void peer.control.write(encodeFrame(frameType.handshake, new Uint8Array(4_097))),
    ],
    [
      "signals before the handshake on the control stream",
      "protocol",
      (peer) => void peer.control.write(encodeFrame(frameType.send, new Uint8Array(10))),
    ],
    ["the end of the control stream", "protocol", (peer) => peer.control.finish()],
    ["half a handshake", "timeout", (peer) => peer.say(peer.hello())],
    ["nothing at all", "timeout", () => undefined],
  ];

  async function wrongProof(peer: RawPeer): Promise<void> {
    peer.say(peer.hello());
    await peer.answer();
    peer.say({ kind: "proof", signature: new Uint8Array(64).fill(1) });
  }

  test.each(cases)("%s: %s", async (_, code, act) => {
    await using victim = await LinkNode.start({ setup: { link: { handshakeTimeoutMs: 500 } } });
    await using peer = await RawPeer.dial(victim);
    // The streams of somebody unproven stay unread, whatever is in them.
    peer.lane().write(new Uint8Array(100).fill(9));
    await act(peer, victim);
    expect((await peer.refusal())?.code).toBe(closeCode[code]);
    await victim.until(() => refusedWith(victim).length > 0);
    expect(refusedWith(victim)).toEqual([code]);
    expect(victim.links.stats().counters.endings).toEqual({ [code]: 1 });
    expect(victim.deliveries).toEqual([]);
  });

  test("name_taken: the name of a node that has a live link", async () => {
    await using victim = await LinkNode.start({ name: "victim" });
    await using friend = await LinkNode.start({ name: "friend" });
    await friend.links.connect(victim.name);
    await using peer = await RawPeer.dial(victim);
    peer.say(peer.hello({ name: friend.name }));
    expect(await peer.refusal()).toMatchObject({ code: closeCode.name_taken });
    expect(victim.links.connected()).toEqual([friend.name]);
    expect(victim.count("nodeDown")).toBe(0);
  });

  test.each([
    ["another realm", () => testIdentity({ realm: "elsewhere" }), "WRONG_REALM"],
    ["an authority that nobody trusts", () => strangerIdentity(), "WRONG_REALM"],
    ["another cookie", () => testIdentity({ cookie: "another cookie altogether" }), "WRONG_REALM"],
    ["an expired certificate", () => expiredIdentity(), "CERTIFICATE_EXPIRED"],
  ])("%s", async (_, identity, code) => {
    await using victim = await LinkNode.start({ name: "victim" });
    await using dialler = await LinkNode.start({ identity: await identity() });
    await expect(dialler.links.connect(victim.name)).rejects.toMatchObject({ code });
    await victim.until(() => refusedWith(victim).length > 0);
    expect(refusedWith(victim)).toEqual(["not_in_realm"]);
    expect(victim.deliveries).toEqual([]);
  });

  test("WRONG_NODE: another node answers than the one that was dialled; the message tells both names", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    const wanted = bob.name.replace("bob", "carol");
    const failure = await alice.links.connect(wanted).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "WRONG_NODE" });
    expect((failure as Error).message).toContain(wanted);
    expect((failure as Error).message).toContain(bob.name);
    await bob.until(() => refusedWith(bob).length > 0);
    expect(refusedWith(bob)).toEqual(["wrong_node"]);
  });
});

describe("wire protocol: a link that breaks the protocol is closed", () => {
  const cases: readonly [string, keyof typeof closeCode, (peer: RawPeer) => void][] = [
    ["garbage in a lane", "decode", (peer) => void peer.lane().write(new Uint8Array(64).fill(1))],
    [
      "16 MiB and one byte",
      "decode",
      (peer) => void peer.lane().write(new Uint8Array([1, frameType.send, 0, 0, 1, 0, 0, 1])),
    ],
    [
      "an unknown version in a lane",
      "version_mismatch",
      (peer) => void peer.lane().write(new Uint8Array([2, 0, 0])),
    ],
    [
      "the end of a lane within a message",
      "decode",
      (peer) => {
        const lane = peer.lane();
        lane.write(encodeFrame(frameType.send, new Uint8Array(100)).subarray(0, 50));
        lane.finish();
      },
    ],
    [
      "a lane that is given up",
      "protocol",
      (peer) => {
        const lane = peer.lane();
        lane.write(encodeFrame(frameType.send, new Uint8Array(100)).subarray(0, 50));
        lane.reset(1);
      },
    ],
    [
      "a handshake in a lane",
      "protocol",
      (peer) => void peer.lane().write(encodeFrame(frameType.handshake, new Uint8Array(3))),
    ],
    [
      "a frame type that links do not carry",
      "protocol",
      (peer) => void peer.lane().write(encodeFrame(0x40, new Uint8Array(3))),
    ],
    [
      "a signal that is none",
      "decode",
      (peer) => void peer.lane().write(encodeFrame(frameType.send, new Uint8Array([131, 97, 1]))),
    ],
    [
      "anything on the control stream",
      "protocol",
      (peer) => void peer.control.write(encodeFrame(frameType.handshake, new Uint8Array(3))),
    ],
    [
      "a second stream both ways",
      "protocol",
      (peer) => void peer.connection.openStream({ bidirectional: true })?.write(new Uint8Array(1)),
    ],
  ];

  test.each(cases)("%s: %s", async (_, code, act) => {
    await using victim = await LinkNode.start();
    await using peer = await RawPeer.dial(victim);
    await peer.link();
    await victim.until(() => victim.links.connected().length === 1);
    act(peer);
    expect((await peer.refusal())?.code).toBe(closeCode[code]);
    await victim.until(() => victim.count("nodeDown") === 1);
    expect(victim.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown"]);
    expect(victim.links.stats().counters.endings).toEqual({ [code]: 1 });
  });

  test("datagrams of any kind change nothing", async () => {
    await using victim = await LinkNode.start();
    await using peer = await RawPeer.dial(victim);
    await peer.link();
    for (const bytes of [[], [1], [9, 9, 9], [1, 2, 0, 0, 0, 0, 0, 1, 7], Array<number>(500).fill(1)]) {
      peer.connection.sendDatagram(new Uint8Array(bytes));
    }
    await victim.until(() => victim.links.connected().length === 1);
    await using friend = await LinkNode.start();
    await friend.links.connect(victim.name);
    await victim.until(() => victim.links.connected().length === 2);
  });
});

describe("bounds", () => {
  test("10,000 dials at once: most are refused, and a friend still gets through", async () => {
    await using victim = await LinkNode.start({
      setup: { pool: { inboundMax: 16, inboundPerAddressMax: 16 } },
    });
    const identity = await testIdentity();
    await using attacker = await LinkNode.start({ identity });
    const target = { host: "localhost", port: victim.endpoint.address.port };
    const dials = Array.from({ length: 10_000 }, () =>
      attacker.endpoint.connect(target, { timeoutMs: 20_000 }).then(
        (connection) => connection.closed,
        () => undefined,
      ),
    );
    await victim.until(() => refusedWith(victim).includes("overloaded"));
    attacker.endpoint.close().catch(() => undefined);
    await Promise.all(dials);
    await using friend = await LinkNode.start({ name: "friend" });
    await friend.links.connect(victim.name).catch(() => friend.links.connect(victim.name));
    expect(friend.links.connected()).toEqual([victim.name]);
    await victim.until(() => victim.deliveries.length > 0);
    expect(victim.deliveries).toEqual([{ type: "nodeUp", node: friend.name, creation: 1 }]);
  });
});
