import { createSocket, Socket } from "node:dgram";
import { once } from "node:events";
import { type Answer, type DecodedPacket, decode, encode } from "dns-packet";
import { afterEach, describe, expect, test, vi } from "vitest";
import { at } from "../../src/base/time.ts";
import type { Interfaces } from "../../src/io/mdns/links.ts";
import { decodePacket } from "../../src/io/mdns/packets.ts";
import { Service, serviceName } from "../../src/io/mdns/service.ts";
import { freeMdnsPort, loopback, service, TestMdns } from "./support.ts";

/** Somebody else on the loopback interface. */
const strangers: Socket[] = [];
afterEach(() => {
  for (const socket of strangers.splice(0)) socket.close();
});

async function stranger(port: number, from = port): Promise<Socket> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  strangers.push(socket);
  socket.bind(from, "0.0.0.0");
  await once(socket, "listening");
  socket.addMembership("224.0.0.251", "127.0.0.1");
  socket.setMulticastInterface("127.0.0.1");
  return socket;
}

/** Resolves with the first packet that `socket` hears of which `wanted` is true. */
function heard(socket: Socket, wanted: (packet: DecodedPacket) => boolean): Promise<DecodedPacket> {
  return new Promise((resolve) => {
    const onMessage = (bytes: Buffer): void => {
      if (decodePacket(bytes) === undefined) return;
      const packet = decode(bytes);
      if (!wanted(packet)) return;
      socket.off("message", onMessage);
      resolve(packet);
    };
    socket.on("message", onMessage);
  });
}

const named = (packet: DecodedPacket, type: string): Answer[] =>
  (packet.answers ?? []).filter((answer) => answer.type === type);

describe("two nodes in one process, by the loopback interface", () => {
  test("each finds the other, under name, id, address and port", async () => {
    const port = await freeMdnsPort();
    const one = new TestMdns({ service: service("one", { port: 1 }), port });
    const twoService = service("two.dotted", { port: 2 });
    const two = new TestMdns({ service: twoService, port });
    one.round();
    two.round();
    await Promise.all([one.until(() => one.found.length > 0), two.until(() => two.found.length > 0)]);
    expect(one.found[0]).toEqual({
      host: "127.0.0.1",
      port: 2,
      name: "two.dotted@localhost:4433",
      nodeId: twoService.nodeId,
    });
    expect(two.found[0]).toMatchObject({ port: 1, name: "one@localhost:4433" });
    expect([...one.problems, ...two.problems]).toEqual([]);
  });

  test("of another realm is not found", async () => {
    const port = await freeMdnsPort();
    const one = new TestMdns({ service: service("one"), port });
    const other = new TestMdns({ service: service("other", { realm: "other" }), port });
    const third = new TestMdns({ service: service("third"), port });
    other.round();
    third.round();
    one.round();
    await third.until(() => third.found.some(({ name }) => name === "one@localhost:4433"));
    await one.until(() => one.found.some(({ name }) => name === "third@localhost:4433"));
    // The other has heard both, or would have, had it been for it.
    expect([...one.found, ...third.found].map(({ name }) => name)).not.toContain("other@localhost:4433");
    expect(other.found).toEqual([]);
  });

  test("each round tells again of what is known, until it says goodbye", async () => {
    const port = await freeMdnsPort();
    const one = new TestMdns({ service: service("one"), port });
    const two = new TestMdns({ service: service("two"), port });
    const listener = await stranger(port);
    two.round();
    one.round();
    await one.until(() => one.found.length > 0);
    one.found.length = 0;
    one.round();
    expect(one.found).toMatchObject([{ name: "two@localhost:4433" }]);
    const goodbye = heard(listener, (packet) =>
      named(packet, "SRV").some((answer) => "ttl" in answer && answer.ttl === 0),
    );
    await two.close();
    await goodbye;
    // What the listener has heard, `one` may hear a moment later: a question to it that is answered comes after.
    const asked = heard(listener, (packet) => packet.type === "response");
    listener.send(
      encode({ type: "query", questions: [{ type: "PTR", name: serviceName }] }),
      port,
      "224.0.0.251",
    );
    await asked;
    one.found.length = 0;
    one.round();
    expect(one.found).toEqual([]);
  });
});

describe("what is answered", () => {
  test("a question from an ordinary port gets an ordinary answer, for itself alone (RFC 6762 §6.7)", async () => {
    const port = await freeMdnsPort();
    const own = service("own");
    const mdns = new TestMdns({ service: own, port });
    mdns.round();
    const listener = await stranger(port);
    await heard(listener, (packet) => packet.type === "response");
    const asker = await stranger(port, 0);
    const answer = heard(asker, () => true);
    asker.send(
      encode({ type: "query", id: 4711, questions: [{ type: "PTR", name: "_MACULA._udp.LOCAL" }] }),
      port,
      "224.0.0.251",
    );
    expect(await answer).toMatchObject({
      id: 4711,
      questions: [{ name: "_MACULA._udp.LOCAL" }],
      answers: [
        { type: "PTR", ttl: 10, data: new Service(own).instance },
        { type: "PTR" },
        { type: "SRV", flush: false, data: { port: 4433 } },
        { type: "TXT" },
        { type: "A", data: "127.0.0.1" },
        ...(named(await answer, "AAAA").length > 0 ? [{ type: "AAAA", data: "::1" }] : []),
      ],
    });
  });

  test("ten a second, however many ask", async () => {
    const port = await freeMdnsPort();
    const mdns = new TestMdns({ service: service("own"), port, clock: () => 0 as never });
    mdns.round();
    const listener = await stranger(port);
    await heard(listener, (packet) => packet.type === "response");
    const asker = await stranger(port, 0);
    let answers = 0;
    asker.on("message", () => {
      answers += 1;
    });
    for (let index = 0; index < 30; index++) {
      const packet = encode({ type: "query", questions: [{ type: "PTR", name: serviceName }] });
      asker.send(packet, port, "224.0.0.251");
    }
    // The last question is one to all, whose answer comes after those to the asker.
    const last = heard(listener, (packet) => packet.type === "response");
    listener.send(
      encode({ type: "query", questions: [{ type: "PTR", name: serviceName }] }),
      port,
      "224.0.0.251",
    );
    await last;
    expect(answers).toBe(10);
  });
});

describe("hostile input", () => {
  test("garbage, and answers from another port, are not taken", async () => {
    const port = await freeMdnsPort();
    const mdns = new TestMdns({ service: service("own"), port });
    mdns.round();
    const listener = await stranger(port);
    await heard(listener, (packet) => packet.type === "response");
    const records = (name: string) =>
      encode({ type: "response", answers: new Service(service(name)).records(["127.0.0.1"]) });
    const other = await stranger(port, 0);
    const done = (error: Error | null): void => expect(error).toBeNull();
    for (const bytes of [new Uint8Array(0), new Uint8Array(12).fill(255), new Uint8Array(2_000).fill(192)]) {
      listener.send(bytes, port, "224.0.0.251", done);
    }
    await new Promise((resolve) => other.send(records("wrong-port"), port, "224.0.0.251", resolve));
    listener.send(records("right"), port, "224.0.0.251", done);
    await mdns.until(() => mdns.found.length > 0);
    expect(mdns.found).toMatchObject([{ name: "right@localhost:4433" }]);
  });

  test("a question from port 0, where nobody can be answered", async () => {
    const port = await freeMdnsPort();
    // Sockets of the test before have told their end.
    await new Promise((resolve) => setImmediate(resolve));
    // Only raw sockets send from port 0: here the socket is told that it has heard such a packet.
    const emitted = vi.spyOn(Socket.prototype, "emit");
    const mdns = new TestMdns({ service: service("own"), port });
    mdns.round();
    const listener = await stranger(port);
    await heard(listener, (packet) => packet.type === "response");
    // The first to tell anything in this test that is none of the test's own.
    const socket = (emitted.mock.contexts as readonly Socket[]).find((one) => !strangers.includes(one));
    emitted.mockRestore();
    const query = encode({ type: "query", questions: [{ type: "PTR", name: serviceName }] });
    const from = { address: "127.0.0.1", family: "IPv4", port: 0, size: query.length };
    const asker = await stranger(port, 0);
    const answer = heard(asker, () => true);
    socket?.emit("message", query, from);
    socket?.emit("message", query, { ...from, port: asker.address().port });
    await answer;
  });

  test("packets that come from beyond the link are not taken (RFC 6762 §11)", async () => {
    const port = await freeMdnsPort();
    const near = new TestMdns({ service: service("near"), port });
    // To this one the loopback interface is a network of a single address.
    const narrow = Object.entries(loopback()).map(([name, infos = []]) => [
      name,
      infos.map((info) => ({ ...info, cidr: info.family === "IPv4" ? `${info.address}/32` : info.cidr })),
    ]);
    const far = new TestMdns({ service: service("far"), port, interfaces: () => Object.fromEntries(narrow) });
    const listener = await stranger(port);
    const up = heard(listener, (packet) => named(packet, "SRV").some(({ name }) => name.startsWith("far-")));
    near.round();
    far.round();
    await up;
    const tell = async (name: string, address: string): Promise<void> => {
      const socket = createSocket({ type: "udp4", reuseAddr: true });
      strangers.push(socket);
      socket.bind(port, address);
      await once(socket, "listening");
      socket.setMulticastInterface("127.0.0.1");
      const answers = new Service(service(name)).records(["127.0.0.1"]);
      socket.send(encode({ type: "response", answers }), port, "224.0.0.251");
    };
    await tell("beyond", "127.0.0.2");
    await near.until(() => near.found.some(({ name }) => name === "beyond@localhost:4433"));
    await tell("here", "127.0.0.1");
    await far.until(() => far.found.some(({ name }) => name === "here@localhost:4433"));
    expect(far.found.map(({ name }) => name)).not.toContain("beyond@localhost:4433");
  });
});

describe("what is asked", () => {
  test("all instances, twice at start, then each round, unless another has just asked (RFC 6762 §5.2, §7.3)", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const port = await freeMdnsPort();
    let now = 0;
    const mdns = new TestMdns({ service: service("own"), port, clock: () => at(now) });
    const listener = await stranger(port);
    /** The next packet that carries a question. */
    const question = (): Promise<DecodedPacket> => heard(listener, ({ type }) => type === "query");
    const first = question();
    mdns.round();
    expect(await first).toMatchObject({ questions: [{ name: serviceName, type: "PTR", class: "IN" }] });
    const second = question();
    vi.advanceTimersByTime(2_000);
    await second;
    now = 10_000;
    const another = question();
    listener.send(
      encode({ type: "query", id: 7, questions: [{ type: "PTR", name: serviceName }] }),
      port,
      "224.0.0.251",
    );
    expect(await another).toMatchObject({ id: 7 });
    // It is heard by `mdns`, too: the timer of its answer shows it.
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    // This round comes too early, the next does not.
    now = 24_999;
    mdns.round();
    const third = question();
    listener.send(encode({ type: "query", id: 8, questions: [] }), port, "224.0.0.251");
    expect(await third).toMatchObject({ id: 8 });
    const fourth = question();
    now = 25_000;
    mdns.round();
    expect(await fourth).toMatchObject({ id: 0, questions: [{ name: serviceName }] });
    vi.useRealTimers();
  });
});

describe("a network that is missing or does not work", () => {
  test("is reported once, and tried each round", async () => {
    const port = await freeMdnsPort();
    const gone = {
      address: "192.0.2.77",
      netmask: "255.255.255.0",
      family: "IPv4",
      mac: "",
      internal: false,
      cidr: "192.0.2.77/24",
    } as const;
    let interfaces: Interfaces = {};
    const mdns = new TestMdns({ service: service("own"), port, interfaces: () => interfaces });
    mdns.round();
    mdns.round();
    expect(mdns.problems).toMatchObject([{ interface: undefined }]);
    interfaces = { gone0: [gone] };
    mdns.round();
    await mdns.until(() => mdns.problems.length === 2);
    expect(mdns.problems[1]).toMatchObject({ interface: "gone0 IPv4", error: { syscall: "addMembership" } });
  });

  test("interfaces that must not be looked at", () => {
    const interfaces = (): never => {
      throw new Error("uv_interface_addresses returned Unknown system error 13");
    };
    const mdns = new TestMdns({ service: service("own"), interfaces });
    mdns.round();
    mdns.round();
    expect(mdns.problems).toMatchObject([{ error: { message: expect.stringContaining("system error 13") } }]);
  });

  test("a port that another program has for itself", async () => {
    const taken = createSocket({ type: "udp4", reuseAddr: false });
    strangers.push(taken);
    taken.bind(0, "0.0.0.0");
    await once(taken, "listening");
    const { port } = taken.address();
    const mdns = new TestMdns({ service: service("own"), port });
    mdns.round();
    await mdns.until(() => mdns.problems.length > 0);
    expect(mdns.problems).toMatchObject([
      { interface: expect.stringMatching(/ IPv4$/), error: { code: "EADDRINUSE" } },
    ]);
    taken.close();
    strangers.pop();
    const other = new TestMdns({ service: service("other"), port });
    mdns.round();
    other.round();
    await mdns.until(() => mdns.found.length > 0);
    expect(mdns.problems).toHaveLength(1);
  });
});

test("close: twice, at once, before the socket is open, and nothing is left behind", async () => {
  const port = await freeMdnsPort();
  const mdns = new TestMdns({ service: service("own"), port });
  mdns.round();
  await Promise.all([mdns.close(), mdns.close()]);
  mdns.round();
  const exclusive = createSocket({ type: "udp4", reuseAddr: false });
  strangers.push(exclusive);
  exclusive.bind(port, "0.0.0.0");
  await once(exclusive, "listening");
});
