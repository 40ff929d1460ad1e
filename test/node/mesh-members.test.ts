import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/base/text.ts";
import { freePort } from "../support/free-port.ts";
import { joined, memberIn, memberOf, membershipOf, until } from "./support/mesh.ts";
import { next, start } from "./support/nodes.ts";
import { PeerProcess, stateFolder } from "./support/peer-process.ts";

const named = (name: string) => ({ name: `${name}@localhost:0` });

describe("docs/membership.md: who is in the mesh", () => {
  test("a node alone is the only member", async () => {
    const alone = await start({ metadata: utf8("zone=a") });
    expect(alone.members()).toEqual([
      {
        name: alone.name,
        id: alone.nodeId,
        address: alone.name.slice("node@".length),
        state: "alive",
        incarnation: 0,
        metadata: utf8("zone=a"),
      },
    ]);
  });

  test("memberUp: who joins by a name, and who is there, meet with all that they say of themselves", async () => {
    const a = await start({ ...named("a"), metadata: utf8("zone=a") });
    const b = await start({ ...named("b"), metadata: utf8("zone=b") });
    const ups = [next(a, "memberUp"), next(b, "memberUp")];
    b.join(a.name);
    const [bAtA, aAtB] = await Promise.all(ups);
    expect(bAtA).toEqual(memberOf(a, b.name));
    expect(bAtA).toEqual({ ...b.members()[0], incarnation: expect.any(Number) });
    expect(aAtB).toEqual({ ...a.members()[0], incarnation: expect.any(Number) });
  });

  test("join: by host and port alone", async () => {
    const [a, b] = [await start(named("a")), await start(named("b"))];
    b.join(`localhost:${a.address.port}`);
    expect((await memberIn(b, "alive", a.nodeId)).name).toBe(a.name);
    await memberIn(a, "alive", b.nodeId);
  });

  test("join: under a wrong name, whoever is there", async () => {
    const [a, b] = [await start(named("a")), await start(named("b"))];
    b.join(`somebody@localhost:${a.address.port}`);
    expect((await memberIn(b, "alive", a.nodeId)).name).toBe(a.name);
  });

  test("join: nobody is there, and later somebody is", async () => {
    const port = await freePort();
    const b = await start(named("b"));
    b.join(`localhost:${port}`);
    await until(() => b.stats().counters.dialsFailed > 0);
    expect(b.members()).toHaveLength(1);
    const a = await start({ name: `a@localhost:${port}` });
    await joined(b, a);
  });

  test("join: what is no address, or its own, changes nothing", async () => {
    const a = await start(named("a"));
    for (const address of ["", "@", ":", "localhost:99999", "localhost:http", "a@b@c:1", "[::1", "\0:1"])
      a.join(address);
    for (const own of [a.name, `localhost:${a.address.port}`]) a.join(own);
    await joined(await start(named("b")), a);
    expect(a.members()).toHaveLength(2);
  });

  test("who joins one member knows all, and all know it, and they reach each other by name", async () => {
    const nodes = await Promise.all(["a", "b", "c", "d"].map((name) => start(named(name))));
    const [a, b, c, d] = nodes as [
      (typeof nodes)[0],
      (typeof nodes)[0],
      (typeof nodes)[0],
      (typeof nodes)[0],
    ];
    await joined(b, a);
    await joined(c, b);
    await joined(d, c);
    for (const node of nodes) for (const other of nodes) await memberIn(node, "alive", other.name);
    a.exportModule("who", { are: () => a.name });
    expect(await d.rpc(a.name, "who", "are", [])).toBe(a.name);
  });

  test("a node that listens elsewhere than its name says is met there, under its name", async () => {
    const [a, listens] = [await start(named("a")), await freePort()];
    const b = await start({ name: `b@localhost:${await freePort()}`, port: listens });
    expect(b.address.port).toBe(listens);
    const events = membershipOf(a);
    a.join(`localhost:${listens}`);
    const member = await memberIn(a, "alive", b.nodeId);
    expect(member).toMatchObject({ name: b.name, address: b.name.slice("b@".length) });
    await memberIn(b, "alive", a.nodeId);
    b.exportModule("who", { are: () => b.name });
    // The link that they have is used, wherever the name leads.
    expect(await a.rpc(b.name, "who", "are", [])).toBe(b.name);
    expect(events).toEqual(["memberUp alive b"]);
  });

  test("two nodes of one name: both are members, calls reach the one that there is a link with, the others notice nothing", async () => {
    const name = `twin@localhost:${await freePort()}`;
    const [a, b] = [await start(named("a")), await start(named("b"))];
    const one = await start({ name, port: await freePort() });
    const two = await start({ name, port: await freePort() });
    for (const twin of [one, two]) twin.exportModule("who", { are: () => twin.nodeId });
    for (const [node, twin] of [
      [a, one],
      [b, two],
    ] as const) {
      node.join(`localhost:${twin.address.port}`);
      await memberIn(node, "alive", twin.nodeId);
      await until(() => node.nodes().includes(name));
    }
    await joined(a, b);
    for (const node of [a, b]) {
      for (const { nodeId } of [one, two]) expect((await memberIn(node, "alive", nodeId)).name).toBe(name);
      expect(node.stats().mesh.counters.datagrams.namesakes).toBeGreaterThan(0);
      for (const twin of [one, two]) await memberIn(twin, "alive", node.nodeId);
    }
    expect(await a.rpc(name, "who", "are", [])).toBe(one.nodeId);
    expect(await b.rpc(name, "who", "are", [])).toBe(two.nodeId);
    a.exportModule("who", { are: () => a.name });
    expect(await b.rpc(a.name, "who", "are", [])).toBe(a.name);
    await one.close();
    await memberIn(a, "left", one.nodeId);
    expect(
      a
        .members()
        .filter((member) => member.name === name)
        .map(({ state }) => state)
        .sort(),
    ).toEqual(["alive", "left"]);
  });

  test("a node of another realm is not met", async () => {
    const [a, stranger] = [await start(named("a")), await start({ ...named("s"), realm: "elsewhere" })];
    const events = [membershipOf(a), membershipOf(stranger)];
    a.join(stranger.name);
    stranger.join(`localhost:${a.address.port}`);
    for (const node of [a, stranger])
      await until(
        () =>
          node.stats().counters.endings.not_in_realm !== undefined && node.stats().counters.dialsFailed > 0,
      );
    expect(a.members()).toHaveLength(1);
    expect(stranger.members()).toHaveLength(1);
    expect(events).toEqual([[], []]);
  });
});

describe("docs/membership.md: what changes", () => {
  test("memberChanged: other metadata", async () => {
    const [a, b] = [await start(named("a")), await start({ ...named("b"), metadata: utf8("load=1") })];
    await joined(b, a);
    const change = next(a, "memberChanged");
    b.setMetadata(utf8("load=2"));
    expect(b.members()[0]?.metadata).toEqual(utf8("load=2"));
    expect(await change).toMatchObject({ id: b.nodeId, state: "alive", metadata: utf8("load=2") });
    expect(memberOf(a, b.name)?.metadata).toEqual(utf8("load=2"));
    expect(() => b.setMetadata(new Uint8Array(513))).toThrow(/513 bytes of metadata: at most 512/);
    expect(b.members()[0]?.metadata).toEqual(utf8("load=2"));
  });

  test("metadata that is too long does not start", async () => {
    await expect(start({ metadata: new Uint8Array(513) })).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining("513 bytes of metadata: at most 512"),
    });
  });

  test("memberDown: who closes has left, and comes back", async () => {
    const stateDir = stateFolder();
    const [a, b] = [await start(named("a")), await start({ ...named("b"), stateDir })];
    await joined(b, a);
    const events = membershipOf(a);
    await b.close();
    expect(await memberIn(a, "left", b.nodeId)).toMatchObject({ name: b.name });
    expect(events).toEqual(["memberDown left b"]);
    // Its key is kept: it is the same member, elsewhere.
    const again = await start({ ...named("b"), stateDir });
    expect(again.nodeId).toBe(b.nodeId);
    await joined(again, a);
    expect(await memberIn(a, "alive", b.nodeId)).toMatchObject({ name: again.name });
    expect(events).toEqual(["memberDown left b", "memberUp alive b"]);
    expect(a.members()).toHaveLength(2);
  });

  test("memberSuspect, memberDown: who is killed is suspected and then dead", async () => {
    const a = await start(named("a"));
    const peer = await PeerProcess.start();
    a.join(peer.name);
    await memberIn(a, "alive", peer.name);
    const events = membershipOf(a);
    await peer.kill();
    await memberIn(a, "dead", peer.name);
    expect(events).toEqual(["memberSuspect suspect peer", "memberDown dead peer"]);
    expect(a.stats().mesh.members).toEqual({ alive: 0, suspect: 0, dead: 1, left: 0 });
  });

  test("memberChanged: who stood still a while, and goes on, was only suspected", async () => {
    const a = await start(named("a"));
    const peer = await PeerProcess.start();
    a.join(peer.name);
    await memberIn(a, "alive", peer.name);
    const events = membershipOf(a);
    peer.stop();
    await memberIn(a, "suspect", peer.name);
    peer.continue();
    await memberIn(a, "alive", peer.name);
    expect(events).toEqual(["memberSuspect suspect peer", "memberChanged alive peer"]);
  });

  test("who stood still so long that it was given up is alive again when it goes on", async () => {
    const a = await start(named("a"));
    const peer = await PeerProcess.start();
    a.join(peer.name);
    await memberIn(a, "alive", peer.name);
    const events = membershipOf(a);
    peer.stop();
    await memberIn(a, "dead", peer.name);
    peer.continue();
    await memberIn(a, "alive", peer.name);
    expect(events.filter((event) => !event.startsWith("memberSuspect"))).toEqual([
      "memberDown dead peer",
      "memberUp alive peer",
    ]);
    expect(await a.rpc(peer.name, "worker", "counters", [])).toBeTypeOf("object");
  });
});
