import { beforeEach, expect, test } from "vitest";
import { atom, Pid, type Reference, type Term, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { any, type Self } from "../../src/process/index.ts";
import { freePort } from "../support/free-port.ts";
import { deferred, next, run, start } from "./support/nodes.ts";
import { PeerProcess, quickHeartbeats, stateFolder } from "./support/peer-process.ts";

/* What a node learns when the operating-system process of another dies, or stands still. */

const noconnection = atom("noconnection");

let node: MaculaNode;
let downs: string[];

beforeEach(async () => {
  node = await start({ links: quickHeartbeats });
  downs = [];
  node.on("nodeDown", (news) => downs.push(news.node));
});

/** The reason in the next message `{'EXIT', pid, Reason}`. */
async function exitOf(self: Self, pid: Pid): Promise<Term> {
  return (await self.receive(tuple(atom("EXIT"), pid, any))).elements[2];
}

/** The object and reason in the next message `{'DOWN', ref, process, Object, Reason}`. */
async function downOf(self: Self, ref: Reference): Promise<readonly [Term, Term]> {
  const { elements } = await self.receive(tuple(atom("DOWN"), ref, atom("process"), any, any));
  return [elements[3], elements[4]];
}

function nodedown(name: string): Term {
  return tuple(atom("nodedown"), atom(name));
}

async function expectNoMessage(self: Self): Promise<void> {
  await expect(self.receive({ timeoutMs: 0 })).rejects.toMatchObject({ code: "TIMEOUT" });
}

test("SIGKILL: links, monitors and those who watch the node are told once, noconnection", async () => {
  const peer = await PeerProcess.start();
  await run(node, async (self) => {
    self.trapExit = true;
    const ref = self.makeReference();
    const pid = await self.spawnOn(peer.name, "worker", "wait", [], { link: true, monitor: ref });
    const byName = self.monitor({ name: "user", node: peer.name });
    self.monitorNode(peer.name);
    // Not trapping exits, it ends with the link.
    const linked = self.spawnMonitor((other) => {
      other.link(pid);
      self.send(self.pid, "linked");
      return other.receive();
    });
    await self.receive("linked");
    await peer.kill();
    expect(await exitOf(self, pid)).toBe(noconnection);
    expect(await downOf(self, ref)).toEqual([pid, noconnection]);
    expect(await downOf(self, byName)).toEqual([tuple(atom("user"), atom(peer.name)), noconnection]);
    expect(await downOf(self, linked.ref)).toEqual([linked.pid, noconnection]);
    await self.receive(nodedown(peer.name));
    await expectNoMessage(self);
    expect(node.processInfo(self.pid)).toMatchObject({ links: [], monitors: [] });
  });
  expect(node.nodes()).toEqual([]);
  expect(downs).toEqual([peer.name]);
});

test("SIGKILL: calls and spawns that wait for an answer are PEER_UNREACHABLE", async () => {
  const peer = await PeerProcess.start();
  await run(node, async (self) => {
    const call = self.rpc(peer.name, "worker", "hang", [self.pid], { timeoutMs: 60_000 });
    await self.receive("called");
    // It cannot answer this any more.
    peer.stop();
    const spawned = self.spawnOn(peer.name, "worker", "wait", [], {
      timeoutMs: 60_000,
      link: true,
      monitor: true,
    });
    const asked = self.ask({ name: "user", node: peer.name }, () => "no request", { timeoutMs: 60_000 });
    await peer.kill();
    const outcomes = await Promise.allSettled([call, spawned, asked]);
    expect(outcomes).toMatchObject([
      { status: "rejected", reason: { code: "PEER_UNREACHABLE" } },
      { status: "rejected", reason: { code: "PEER_UNREACHABLE" } },
      { status: "rejected", reason: { code: "PEER_UNREACHABLE" } },
    ]);
    // A link or monitor of the spawn that never was would still tell.
    await expectNoMessage(self);
  });
  expect(downs).toEqual([peer.name]);
});

test("SIGKILL: whoever waits to send is let go, and what was queued is counted as dropped", async () => {
  const peer = await PeerProcess.start();
  await run(node, async (self) => {
    const pid = await self.spawnOn(peer.name, "worker", "wait", []);
    const megabyte = new Uint8Array(1 << 20);
    peer.stop();
    for (let count = 0; count < 40; count++) self.send(pid, megabyte);
    const drained = self.drained(pid);
    await peer.kill();
    await drained;
  });
  expect(node.stats().counters.droppedBytes).toBeGreaterThan(0);
  expect(downs).toEqual([peer.name]);
});

test("SIGSTOP: a peer that stands still is lost; it can be linked again, and what was linked with us is dead", async () => {
  const peer = await PeerProcess.start();
  await run(node, async (self) => {
    self.trapExit = true;
    const linked = await self.spawnOn(peer.name, "worker", "wait", [], { link: true });
    const free = await self.spawnOn(peer.name, "worker", "echo", [self.pid]);
    self.monitorNode(peer.name);
    peer.stop();
    expect(await exitOf(self, linked)).toBe(noconnection);
    await self.receive(nodedown(peer.name));
    expect(node.nodes()).toEqual([]);

    peer.continue();
    const up = next(node, "nodeUp");
    expect(await node.connect(peer.name)).toBe(true);
    expect(await up).toMatchObject({ node: peer.name });
    // The peer has seen the loss of the link, too.
    expect(await downOf(self, self.monitor(linked))).toEqual([linked, atom("noproc")]);
    // As after a net split in Erlang: who was not linked with us has noticed nothing.
    self.send(free, "still there");
    await self.receive("still there");
    await expectNoMessage(self);
  });
  expect(downs).toEqual([peer.name]);
});

test("restart under the same name: the pids of the earlier life stay dead", async () => {
  const stateDir = stateFolder();
  const first = await PeerProcess.start({ stateDir, name: `peer@localhost:${await freePort()}` });
  await node.connect(first.name);
  const [before] = node.stats().links;
  await run(node, async (self) => {
    self.trapExit = true;
    const old = await self.spawnOn(first.name, "worker", "echo", [self.pid], { link: true });
    await first.kill();
    expect(await exitOf(self, old)).toBe(noconnection);

    const second = await PeerProcess.start({ stateDir, name: first.name });
    expect(second.name).toBe(first.name);
    expect(await node.connect(second.name)).toBe(true);
    const [link] = node.stats().links;
    expect(link?.nodeId).toBe(before?.nodeId);
    expect(link?.creation).not.toBe(before?.creation);

    const fresh = await self.spawnOn(second.name, "worker", "echo", [self.pid]);
    // The same number in the new life is somebody else.
    const same = new Pid(old.node, fresh.id, fresh.serial, old.creation);
    self.send(same, "for the dead");
    self.link(same);
    expect(await exitOf(self, same)).toBe(atom("noproc"));
    expect(await downOf(self, self.monitor(same))).toEqual([same, atom("noproc")]);
    self.exit(same, atom("kill"));
    self.send(fresh, "for the living");
    expect(await self.receive()).toBe("for the living");
    expect(await self.rpc(second.name, "worker", "counters", [])).toMatchObject({ forged: 0, misrouted: 4 });
  });
  expect(downs).toEqual([first.name]);
});

test("a peer killed while it is being dialled is unreachable, and the next dial finds the new one", async () => {
  const stateDir = stateFolder();
  const first = await PeerProcess.start({ stateDir });
  first.stop();
  const waiting = deferred<boolean>();
  node.connect(first.name).then(waiting.resolve, () => waiting.resolve(false));
  await first.kill();
  expect(await waiting.promise).toBe(false);
  await PeerProcess.start({ stateDir, name: first.name });
  expect(await node.connect(first.name)).toBe(true);
  expect(downs).toEqual([]);
});
