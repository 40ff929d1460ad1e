import { createSocket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import type { LinkDelivery } from "../../src/node/links/index.ts";
import { LinkNode } from "./support/link-node.ts";
import { RawPeer } from "./support/raw-peer.ts";

const mebibyte = 1_048_576;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("DESIGN §5: links on real sockets", () => {
  test("a dialled node gets what was sent before, and answers", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob", creation: 7 });
    alice.sendTo(bob, "early");
    await alice.links.connect(bob.name);
    expect(alice.links.connected()).toEqual([bob.name]);
    expect(alice.links.stats().links[0]?.nodeId).toBe(bob.identity.nodeId);
    alice.sendTo(bob, "late");
    await bob.until(() => bob.messages().length === 2);
    expect(bob.messages()).toEqual(["early", "late"]);
    bob.sendTo(alice, new Uint8Array([1, 2, 3]));
    await alice.until(() => alice.messages().length === 1);
    expect(alice.messages()).toEqual([new Uint8Array([1, 2, 3])]);
    expect(alice.deliveries[0]).toEqual({ type: "nodeUp", node: bob.name, creation: 7 });
    expect(await alice.links.ping(bob.name)).toBeGreaterThan(0);
  });

  test("a question is answered though it overtakes the end of the handshake", async () => {
    // No heartbeat helps out: asked once, answered or never.
    const setup = { link: { heartbeatIntervalMs: 3_600_000 } };
    for (let round = 0; round < 5; round++) {
      await using alice = await LinkNode.start({ name: "alice", setup });
      await using bob = await LinkNode.start({ name: "bob", setup });
      await alice.links.connect(bob.name);
      expect(await alice.links.ping(bob.name)).toBeGreaterThan(0);
    }
  });

  test("another name at the address of a linked node is the wrong node, whoever dialled the link", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    await alice.links.connect(bob.name);
    await expect(alice.links.connect(bob.name.replace("bob", "other"))).rejects.toMatchObject({
      code: "WRONG_NODE",
      message: expect.stringContaining(`${bob.name} is there`) as unknown,
    });
    await bob.until(() => bob.links.connected().length === 1);
    await expect(bob.links.connect(alice.name.replace("alice", "other"))).rejects.toMatchObject({
      code: "WRONG_NODE",
    });
    expect(alice.links.connected()).toEqual([bob.name]);
    expect(bob.links.connected()).toEqual([alice.name]);
  });

  test("both dial at once: one link, everything arrives once and in order", async () => {
    for (let round = 0; round < 10; round++) {
      await using alice = await LinkNode.start({ name: "alice" });
      await using bob = await LinkNode.start({ name: "bob" });
      const connected = [alice.links.connect(bob.name), bob.links.connect(alice.name)];
      for (const number of numbers(20)) {
        alice.sendTo(bob, number, number % 4);
        bob.sendTo(alice, number, number % 4);
        if (number % 5 === 0) await Promise.resolve();
      }
      await Promise.all(connected);
      await bob.until(() => bob.messages().length === 20);
      await alice.until(() => alice.messages().length === 20);
      for (const lane of numbers(4)) {
        const ofLane = (node: LinkNode) => node.messages().filter((each) => (each as number) % 4 === lane);
        expect(ofLane(alice)).toEqual(numbers(20).filter((each) => each % 4 === lane));
        expect(ofLane(bob)).toEqual(numbers(20).filter((each) => each % 4 === lane));
      }
      expect([alice.count("nodeUp"), bob.count("nodeUp")]).toEqual([1, 1]);
      expect([alice.count("nodeDown"), bob.count("nodeDown")]).toEqual([0, 0]);
    }
  });

  test("nobody listens: a typed rejection, and nodeDown once for those who wait", async () => {
    await using alice = await LinkNode.start({ name: "alice", setup: { pool: { dialTimeoutMs: 500 } } });
    const bob = await LinkNode.start({ name: "bob" });
    await bob[Symbol.asyncDispose]();
    alice.sendTo(bob, "lost");
    const failure = await alice.links.connect(bob.name).catch((error: { code: string }) => error.code);
    // Linux passes the ICMP message on; others leave it at silence.
    expect(failure).toBe(process.platform === "linux" ? "REFUSED" : "TIMEOUT");
    expect(alice.deliveries).toEqual([expect.objectContaining({ type: "nodeDown", node: bob.name })]);
  });

  test("a name that is none, a host without address, the node itself", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await expect(alice.links.connect("nonsense")).rejects.toMatchObject({ code: "CONFIGURATION" });
    await expect(alice.links.connect("bob@no-such-host.invalid:1")).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
    await alice.links.connect(alice.name);
    expect(alice.links.connected()).toEqual([]);
  });

  test("aborting a wait rejects with its reason", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    const abort = new AbortController();
    const connecting = alice.links.connect("bob@192.0.2.1:4433", { signal: abort.signal });
    abort.abort(new Error("changed my mind"));
    await expect(connecting).rejects.toThrow("changed my mind");
    expect(() => alice.links.disconnect("bob@192.0.2.1:4433")).not.toThrow();
  });
});

describe("DESIGN §5: the end of a link", () => {
  test("an orderly end delivers what was sent before, and both sides are told once", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    await alice.links.connect(bob.name);
    for (const number of numbers(1_000)) alice.sendTo(bob, [number, new Uint8Array(1_000)], number % 7);
    expect(alice.links.disconnect(bob.name)).toBe(true);
    await bob.until(() => bob.count("nodeDown") === 1);
    expect(bob.messages()).toHaveLength(1_000);
    await alice.until(() => alice.count("nodeDown") === 1);
    expect(alice.links.stats().counters.endings).toEqual({});
    // And it can be linked anew, at once.
    alice.sendTo(bob, "again");
    await bob.until(() => bob.messages().length === 1_001);
    expect(bob.deliveries.filter(({ type }) => type !== "signal").map(({ type }) => type)).toEqual([
      "nodeUp",
      "nodeDown",
      "nodeUp",
    ]);
  });

  test("an orderly end loses no lane whose only packet the network lost", async () => {
    await using network = await Network.start();
    // So short that a packet holds one lane: its loss is the loss of all that the peer would have known of the lane.
    const quic = { loopbackMtuMax: 1_200, host: "127.0.0.1" };
    await using bob = await LinkNode.start({ name: "bob", publicPort: network.port, quic });
    network.target = bob.endpoint.address.port;
    await using alice = await LinkNode.start({ name: "alice", quic });
    // What fills a packet to its last bytes is the engine's affair: one of these does.
    for (const [round, bytes] of numbers(20)
      .map((each) => 1_020 + 4 * each)
      .entries()) {
      await alice.links.connect(bob.name);
      await bob.until(() => bob.count("nodeUp") === round + 1);
      network.loseAfter = 1;
      for (const lane of numbers(2)) alice.sendTo(bob, new Uint8Array(bytes), lane);
      alice.links.disconnect(bob.name);
      await bob.until(() => bob.count("nodeDown") === round + 1);
      expect(bob.messages()).toHaveLength(2 * round + 2);
      expect(network.loseAfter).toBeLessThan(0);
      await alice.until(() => alice.count("nodeDown") === round + 1);
    }
  });

  test("a peer that falls silent is lost: nodeDown once, and what waits for it is rejected", async () => {
    const link = { heartbeatIntervalMs: 100, heartbeatMissesMax: 3 };
    await using network = await Network.start();
    await using bob = await LinkNode.start({ name: "bob", publicPort: network.port, setup: { link } });
    network.target = bob.endpoint.address.port;
    await using alice = await LinkNode.start({ name: "alice", setup: { link } });
    await alice.links.connect(bob.name);
    await bob.until(() => bob.count("nodeUp") === 1);
    network.silent = true;
    const ping = alice.links.ping(bob.name);
    await expect(ping).rejects.toMatchObject({ code: "CLOSED" });
    await alice.until(() => alice.count("nodeDown") === 1);
    await bob.until(() => bob.count("nodeDown") === 1);
    expect(alice.links.stats().counters.endings).toEqual({ silent: 1 });
    // The way is there again: the next signal makes a new link.
    network.silent = false;
    alice.sendTo(bob, "hello again");
    await bob.until(() => bob.messages().length === 1);
    expect(alice.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown", "nodeUp"]);
  });

  test("a node that comes back under its name with a new creation: down, then up", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    const bob = await LinkNode.start({ name: "bob", creation: 1 });
    const { identity } = bob;
    const { port } = bob.endpoint.address;
    await alice.links.connect(bob.name);
    await bob.vanish();
    await using reborn = await LinkNode.start({ name: "bob", creation: 2, identity, port });
    await reborn.links.connect(alice.name);
    await alice.until(() => alice.count("nodeUp") === 2);
    expect(alice.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown", "nodeUp"]);
    expect(alice.deliveries.at(-1)).toMatchObject({ creation: 2 });
    await bob[Symbol.asyncDispose]();
  });

  test("0-RTT: a redial says hello with its first packet; a node that lost its sessions takes it in the next", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    const bob = await LinkNode.start({ name: "bob" });
    const { identity } = bob;
    const { port } = bob.endpoint.address;
    const earlyData = () => alice.links.stats().links[0]?.earlyData;
    await alice.links.connect(bob.name);
    expect(earlyData()).toBe("none");
    await bob.until(() => bob.count("nodeUp") === 1);
    alice.links.disconnect(bob.name);
    await alice.until(() => alice.count("nodeDown") === 1);
    alice.sendTo(bob, "resumed");
    await bob.until(() => bob.messages().length === 1);
    expect(earlyData()).toBe("accepted");
    await bob[Symbol.asyncDispose]();
    await alice.until(() => alice.count("nodeDown") === 2);
    await using reborn = await LinkNode.start({ name: "bob", creation: 2, identity, port });
    alice.sendTo(reborn, "rejected");
    await reborn.until(() => reborn.messages().length === 1);
    expect(earlyData()).toBe("rejected");
  });

  test("close dials nobody while links end: what waits is given up, also what waits for a redial", async () => {
    const pool = { backoffBaseMs: 50, backoffMaxMs: 50 };
    await using alice = await LinkNode.start({ setup: { pool, link: { leaveTimeoutMs: 200 } } });
    const gone = await LinkNode.start();
    await gone[Symbol.asyncDispose]();
    await expect(alice.links.connect(gone.name)).rejects.toThrow();
    // It does not read, so the link with it takes its time to end: longer than the back-off.
    await using peer = await RawPeer.dial(alice);
    await peer.link();
    await alice.until(() => alice.links.connected().length === 1);
    alice.sendTo(gone, "lost");
    await Promise.resolve();
    const dialsBefore = alice.links.stats().counters.dials;
    const closed = alice.links.close();
    expect(alice.links.connected()).toHaveLength(1);
    expect(alice.count("nodeDown")).toBe(2);
    await closed;
    expect(alice.links.stats().counters.dials).toBe(dialsBefore);
  });

  test("close is idempotent, leaves no link, and refuses what comes later", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    await alice.links.connect(bob.name);
    await Promise.all([alice.links.close(), alice.links.close()]);
    expect(alice.links.connected()).toEqual([]);
    expect(alice.sendTo(bob, "late")).toBe(true);
    await expect(alice.links.connect(bob.name)).rejects.toMatchObject({ code: "CLOSED" });
    await bob.until(() => bob.count("nodeDown") === 1);
  });
});

describe("STYLE: back-pressure", () => {
  test("a peer that stops reading holds the sender back: memory bounded, the link and its heartbeats live", async () => {
    const link = { heartbeatIntervalMs: 50, laneHighWaterBytes: mebibyte, laneQueueBytesMax: 4 * mebibyte };
    await using alice = await LinkNode.start({ name: "alice", setup: { link } });
    const held: LinkDelivery[] = [];
    await using bob = await LinkNode.start({
      name: "bob",
      setup: { link },
      onDelivery: (delivery, node) => {
        if (delivery.type === "signal" && held.push(delivery) === 1)
          node.links.pause(delivery.node, delivery.stream);
      },
    });
    await alice.links.connect(bob.name);
    const message = new Uint8Array(50_000);
    // Beyond every window on the way, until the lane itself is over its mark and stays so.
    let sent = 0;
    for (let full = 0; full < 20; ) {
      sent++;
      if (alice.sendTo(bob, message)) continue;
      full++;
      await alice.links.ping(bob.name);
      if (alice.count("drained") > 0) {
        alice.deliveries.length = 0;
        full = 0;
      }
    }
    expect(() => {
      for (;;) {
        sent++;
        alice.sendTo(bob, message);
      }
    }).toThrow(expect.objectContaining({ code: "LIMIT" }) as Error);
    sent--;
    expect(alice.links.stats().links[0]?.queuedBytes).toBeLessThan(5 * mebibyte);
    expect(held).toHaveLength(1);
    // Other lanes are not held up, and the peer counts as alive.
    alice.sendTo(bob, "other lane", 5);
    await bob.until(() => held.length === 2);
    expect(await alice.links.ping(bob.name)).toBeGreaterThan(0);
    const [first] = held;
    if (first?.type === "signal") bob.links.resume(first.node, first.stream);
    await bob.until(() => held.length === sent + 1);
    await alice.until(() => alice.count("drained") === 1);
    expect(alice.deliveries.find(({ type }) => type === "drained")).toEqual({
      type: "drained",
      node: bob.name,
      lane: 0,
    });
  });

  test("a node that uses two lanes itself takes all 128 of its peer", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob", setup: { link: { lanesMax: 2 } } });
    for (const lane of numbers(128)) alice.sendTo(bob, lane, lane);
    await bob.until(() => bob.messages().length === 128);
    for (const lane of numbers(128)) bob.sendTo(alice, lane, lane);
    await alice.until(() => alice.messages().length === 128);
    expect(alice.links.stats().links[0]?.incomingStreams).toBe(2);
    expect(bob.links.stats().links[0]?.incomingStreams).toBe(128);
  });

  test("a peer that reads nothing at all: the sender's memory is bounded, and the link lives", async () => {
    await using alice = await LinkNode.start({
      name: "alice",
      setup: { link: { laneQueueBytesMax: 2 * mebibyte } },
    });
    await using peer = await RawPeer.dial(alice);
    await peer.link();
    await alice.until(() => alice.links.connected().length === 1);
    const flood = async (): Promise<void> => {
      const message = new Uint8Array(100_000);
      for (;;) {
        const to = alice.pid();
        alice.links.send(peer.name, 0, 0, { type: "send", from: alice.pid(), to, message });
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await expect(flood()).rejects.toMatchObject({ code: "LIMIT" });
    expect(alice.links.connected()).toEqual([peer.name]);
    expect(alice.links.stats().links[0]?.queuedBytes).toBeLessThan(3 * mebibyte);
  });

  test("16 MiB pass, one byte more is LIMIT at the sender and disturbs nothing", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    await alice.links.connect(bob.name);
    const largest = new Uint8Array(16 * mebibyte - 200).fill(1);
    alice.sendTo(bob, largest, 1);
    expect(() => alice.sendTo(bob, new Uint8Array(16 * mebibyte))).toThrow(
      expect.objectContaining({ code: "LIMIT" }) as Error,
    );
    alice.sendTo(bob, "small", 1);
    await bob.until(() => bob.messages().length === 2);
    expect((bob.messages()[0] as Uint8Array).length).toBe(largest.length);
    expect(bob.messages()[1]).toBe("small");
  });
});

/** A wire with a switch: passes datagrams between whoever comes and `target`. */
class Network implements AsyncDisposable {
  silent = false;
  /** The dialler's packet after so many is lost. */
  loseAfter = -1;
  target = 0;
  readonly #front = createSocket("udp4");
  readonly #back = createSocket("udp4");

  static async start(): Promise<Network> {
    const network = new Network();
    network.#front.bind(0, "127.0.0.1");
    network.#back.bind(0, "127.0.0.1");
    await Promise.all([once(network.#front, "listening"), once(network.#back, "listening")]);
    let client: AddressInfo | undefined;
    network.#front.on("message", (bytes, from) => {
      client = { ...from, family: "IPv4" };
      if (!network.silent && network.loseAfter-- !== 0)
        network.#back.send(bytes, network.target, "127.0.0.1");
    });
    network.#back.on("message", (bytes) => {
      if (!network.silent && client !== undefined) network.#front.send(bytes, client.port, client.address);
    });
    return network;
  }

  get port(): number {
    return this.#front.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [this.#front, this.#back].map((socket) => new Promise<void>((done) => socket.close(done))),
    );
  }
}
