import { beforeEach, describe, expect, test } from "vitest";
import type { MeshError } from "../../src/base/errors.ts";
import { atom, format, Pid, type Reference, type Term, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { any, is, ProcessExit, RemoteError, type Self, withSelf } from "../../src/process/index.ts";
import { frameType } from "../../src/wire/index.ts";
import { deferred, next, run, start } from "./support/nodes.ts";
import { arrived, handshakesArrived, heartbeatsArrived, noteWhatArrives } from "./support/received.ts";

/*
 * Each of the 13 message types of the wire protocol, sent by one node to another over QUIC, and what it does there.
 * `arrived` shows that it was this frame that did it.
 */

let one: MaculaNode;
let two: MaculaNode;
/** What processes print whose group leader is this node. */
let printed: { one: string; two: string };

noteWhatArrives();

beforeEach(async () => {
  printed = { one: "", two: "" };
  one = await start({ name: "one@localhost:0", print: (text) => (printed.one += text) });
  two = await start({ name: "two@localhost:0", print: (text) => (printed.two += text) });
  two.exportModule("worker", {
    /** Waits for ever. */
    wait: withSelf((self) => self.receive(atom("never"))),
    /** Exits with what it is sent. */
    exit: withSelf(async (self) => self.exit(await self.receive())),
    throw: withSelf(async (self) => {
      throw new RangeError(`worker got ${format(await self.receive(is.atom))}`);
    }),
    /** Sends on what it gets. */
    tell: withSelf(async (self, to: Pid) => {
      self.trapExit = true;
      for (;;) self.send(to, tuple(atom("got"), await self.receive()));
    }),
    print: withSelf((self, text: string) => self.print(text)),
  });
});

/** A process of `two` that runs an exported function. */
function worker(self: Self, name: string, ...args: Term[]): Promise<Pid> {
  return self.spawnOn(two.name, "worker", name, args);
}

/** The reason in the next message `{'EXIT', pid, Reason}`. */
async function exitOf(self: Self, pid: Pid): Promise<Term> {
  return (await self.receive(tuple(atom("EXIT"), pid, any))).elements[2];
}

/** The object and reason in the next message `{'DOWN', ref, process, Object, Reason}`. */
async function downOf(self: Self, ref: Reference): Promise<readonly [Term, Term]> {
  const { elements } = await self.receive(tuple(atom("DOWN"), ref, atom("process"), any, any));
  return [elements[3], elements[4]];
}

/** Resolves when `two` has handled all that `self` sent to its processes before. */
async function settled(self: Self): Promise<void> {
  const echo = await worker(self, "tell", self.pid);
  self.send(echo, "settled");
  await self.receive(tuple(atom("got"), "settled"));
}

test("01 HANDSHAKE: three messages make a link, and each side knows the other", async () => {
  const up = next(two, "nodeUp");
  expect(await one.connect(two.name)).toBe(true);
  expect(await up).toEqual({ node: one.name, nodeId: one.nodeId });
  expect(handshakesArrived()).toBe(3);
  expect(one.stats().links[0]).toMatchObject({ name: two.name, nodeId: two.nodeId, side: "client" });
});

test("02 HEARTBEAT: a question and its answer measure the round trip", async () => {
  await one.connect(two.name);
  const before = heartbeatsArrived();
  const { rttMs } = await one.ping(two.name);
  expect(rttMs).toBeGreaterThan(0);
  expect(heartbeatsArrived() - before).toBeGreaterThanOrEqual(2);
  expect(one.stats().links[0]?.rttMs).toBeGreaterThan(0);
});

test("03 SEND: messages to a pid arrive in the order of their sending, with the sender's pid whole", async () => {
  const received = run(two, async (self) => {
    const messages: Term[] = [];
    while (messages.length < 1_001) messages.push(await self.receive());
    return messages;
  });
  const [to] = two.processes().slice(-1);
  const sender = await run(one, (self) => {
    for (let count = 0; count < 1_000; count++) self.send(to as Pid, count);
    self.send(to as Pid, self.pid);
    return self.pid;
  });
  const messages = await received;
  expect(messages.slice(0, 1_000)).toEqual(Array.from({ length: 1_000 }, (_, count) => count));
  expect(messages[1_000]).toEqual(sender);
  expect(arrived(two, frameType.send)).toHaveLength(1_001);
});

test("03 SEND: a message to a process that is dead is no error, and is counted", async () => {
  await run(one, async (self) => {
    const pid = await worker(self, "exit");
    const ref = self.monitor(pid);
    self.send(pid, atom("done"));
    await downOf(self, ref);
    self.send(pid, "anybody?");
    await settled(self);
  });
  expect(two.stats().processes.counters.undelivered).toBe(1);
});

test("04 REG_SEND: a message to a name arrives at whoever has it", async () => {
  const received = run(two, (self) => self.receive(), { name: "inbox" });
  one.send({ name: "inbox", node: two.name }, { any: "term" });
  expect(await received).toEqual({ any: "term" });
  expect(arrived(two, frameType.regSend)).toHaveLength(1);
});

test("04 REG_SEND: to a name that nobody has is no error", async () => {
  await run(one, async (self) => {
    expect(self.send({ name: "nobody", node: two.name }, 1)).toBe(true);
    await settled(self);
  });
  expect(two.stats().processes.counters.undelivered).toBe(1);
});

describe("05 EXIT", () => {
  test("a link is broken by an exit, and the other side exits with the reason", async () => {
    await run(one, async (self) => {
      self.trapExit = true;
      const linked = self.spawnLink(async (inner) => {
        const pid = await worker(inner, "exit");
        inner.link(pid);
        inner.send(pid, tuple(atom("some"), "reason"));
        await inner.receive();
      });
      expect(await exitOf(self, linked)).toEqual(tuple(atom("some"), "reason"));
    });
    expect(arrived(one, frameType.exit)).toMatchObject([{ type: "linkExit" }]);
  });

  test("a process that returns breaks its links with normal, which ends nobody", async () => {
    await run(one, async (self) => {
      const pid = await worker(self, "exit");
      self.link(pid);
      const ref = self.monitor(pid);
      self.send(pid, atom("normal"));
      expect(await downOf(self, ref)).toEqual([pid, atom("normal")]);
      self.trapExit = true;
      const second = await worker(self, "exit");
      self.link(second);
      self.send(second, atom("normal"));
      expect(await exitOf(self, second)).toBe(atom("normal"));
    });
  });

  test("a throw is told with class, message and stack of the other side", async () => {
    await run(one, async (self) => {
      self.trapExit = true;
      const pid = await self.spawnOn(two.name, "worker", "throw", [], { link: true });
      self.send(pid, atom("something"));
      const [kind, details] = ((await exitOf(self, pid)) as ReturnType<typeof tuple>).elements;
      expect(kind).toBe(atom("error"));
      const [name, message, stack] = (details as ReturnType<typeof tuple>).elements;
      expect([name, message]).toEqual(["RangeError", "worker got something"]);
      expect((stack as string[])[0]).toContain("message-types.test.ts");
    });
  });

  test("exit/2 ends a process that does not trap exits, and is a message to one that does", async () => {
    await run(one, async (self) => {
      const pid = await worker(self, "wait");
      const ref = self.monitor(pid);
      self.exit(pid, atom("normal"));
      self.exit(pid, atom("enough"));
      // The first, `normal`, has ended nobody.
      expect(await downOf(self, ref)).toEqual([pid, atom("enough")]);
      const trapping = await worker(self, "tell", self.pid);
      self.send(trapping, "ready");
      await self.receive(tuple(atom("got"), "ready"));
      for (const reason of [atom("normal"), atom("enough")]) {
        self.exit(trapping, reason);
        const got = await self.receive(tuple(atom("got"), any));
        expect(got.elements[1]).toEqual(tuple(atom("EXIT"), self.pid, reason));
      }
    });
    expect(arrived(two, frameType.exit)).toHaveLength(4);
  });

  test("exit/2 with kill cannot be trapped, and links and monitors say killed", async () => {
    await run(one, async (self) => {
      self.trapExit = true;
      const pid = await worker(self, "tell", self.pid);
      self.send(pid, "ready");
      await self.receive(tuple(atom("got"), "ready"));
      self.link(pid);
      const ref = self.monitor(pid);
      self.exit(pid, atom("kill"));
      expect(await exitOf(self, pid)).toBe(atom("killed"));
      expect(await downOf(self, ref)).toEqual([pid, atom("killed")]);
    });
  });
});

test("06 LINK: works both ways, and with a dead process it is an exit signal noproc", async () => {
  await run(one, async (self) => {
    self.trapExit = true;
    const pid = await worker(self, "wait");
    const other = self.spawn((inner) => {
      inner.link(pid);
      return inner.receive();
    });
    const ref = self.monitor(pid);
    await settled(self);
    expect(two.processInfo(pid)?.links).toEqual([other]);
    self.exit(other, atom("gone"));
    expect(await downOf(self, ref)).toEqual([pid, atom("gone")]);
    self.link(pid);
    expect(await exitOf(self, pid)).toBe(atom("noproc"));
  });
  expect(arrived(two, frameType.link)).toHaveLength(2);
});

test("07 UNLINK: an exit that was under way already is void", async () => {
  await run(one, async (self) => {
    self.trapExit = true;
    const pid = await self.spawnOn(two.name, "worker", "exit", [], { link: true });
    // Both sides of the link act before they hear of each other.
    const ended = new Promise<void>((resolve) => {
      two.spawn(async (observer) => {
        const ref = observer.monitor(pid);
        observer.exit(pid, atom("late"));
        await downOf(observer, ref);
        resolve();
      });
    });
    self.unlink(pid);
    await ended;
    await settled(self);
    await expect(self.receive({ timeoutMs: 0 })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(one.processInfo(self.pid)?.links).toEqual([]);
  });
  // The exit crossed the unlink, or the unlink was there first and was acknowledged.
  expect(arrived(two, frameType.unlink)).toMatchObject([{ type: "unlink" }]);
  expect(arrived(one, frameType.unlink)).toMatchObject([{ type: "unlinkAck" }]);
});

test("08 MONITOR: by pid and by name, of processes alive and dead", async () => {
  await run(one, async (self) => {
    const pid = await worker(self, "exit");
    two.registerName("exiter", pid);
    const byPid = self.monitor(pid);
    const byName = self.monitor({ name: "exiter", node: two.name });
    await settled(self);
    expect(two.processInfo(pid)?.monitoredBy).toEqual([self.pid, self.pid]);
    self.send(pid, atom("bye"));
    const name = tuple(atom("exiter"), atom(two.name));
    expect(await downOf(self, byPid)).toEqual([pid, atom("bye")]);
    expect(await downOf(self, byName)).toEqual([name, atom("bye")]);
    expect(await downOf(self, self.monitor(pid))).toEqual([pid, atom("noproc")]);
    expect(await downOf(self, self.monitor({ name: "exiter", node: two.name }))).toEqual([
      name,
      atom("noproc"),
    ]);
    await expect(self.receive({ timeoutMs: 0 })).rejects.toMatchObject({ code: "TIMEOUT" });
  });
  expect(arrived(two, frameType.monitor)).toHaveLength(4);
  expect(arrived(one, frameType.exit).map(({ type }) => type)).toEqual(["down", "down", "down", "down"]);
});

test("09 DEMONITOR: no DOWN comes any more, and flush takes away one that came", async () => {
  await run(one, async (self) => {
    const pid = await worker(self, "exit");
    const taken = self.monitor(pid);
    const flushed = self.monitor(pid);
    const kept = self.monitor(pid);
    expect(self.demonitor(taken)).toBe(true);
    self.send(pid, atom("bye"));
    await downOf(self, kept);
    // In one turn with `kept`, so in the mailbox.
    expect(self.demonitor(flushed, { flush: true })).toBe(false);
    await settled(self);
    await expect(self.receive({ timeoutMs: 0 })).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(self.demonitor(kept)).toBe(false);
  });
  expect(arrived(two, frameType.demonitor)).toHaveLength(1);
});

describe("0A GROUP_LEADER", () => {
  test("the output of a process spawned elsewhere appears where its group leader lives", async () => {
    await run(one, async (self) => {
      const ref = self.makeReference();
      await self.spawnOn(two.name, "worker", "print", ["hello from two\n"], { monitor: ref });
      await downOf(self, ref);
    });
    expect(printed).toEqual({ one: "hello from two\n", two: "" });
  });

  test("a group leader can be set from the other node", async () => {
    const speaker = two.spawn(async (self) => {
      await self.receive(atom("speak"));
      await self.print("now at one\n");
    });
    const leader = one.self.whereis("user") as Pid;
    one.setGroupLeader(leader, speaker);
    await run(one, async (self) => {
      const ref = self.monitor(speaker);
      await settled(self);
      expect(two.groupLeader(speaker)).toEqual(leader);
      self.send(speaker, atom("speak"));
      await downOf(self, ref);
    });
    expect(arrived(two, frameType.groupLeader)).toHaveLength(1);
    expect(printed).toEqual({ one: "now at one\n", two: "" });
  });
});

describe("0B RPC", () => {
  test("gives the result of a plain function, and of one that is a process", async () => {
    two.exportModule("math", {
      add: (a: number, b: number) => a + b,
      later: async (value: Term) => value,
      asProcess: withSelf((self, value: Term) => tuple(self.node, value)),
    });
    expect(await one.rpc(two.name, "math", "add", [1, 2])).toBe(3);
    expect(await one.rpc(two.name, "math", "later", [{ a: [1n, 2.5] }])).toEqual({ a: [1, 2.5] });
    expect(await one.rpc(two.name, "math", "asProcess", ["x"])).toEqual(tuple(two.name, "x"));
    expect(arrived(two, frameType.rpc).map(({ type }) => type)).toEqual(["rpcCall", "rpcCall", "rpcCall"]);
    expect(arrived(one, frameType.rpc).map(({ type }) => type)).toEqual(["rpcReply", "rpcReply", "rpcReply"]);
  });

  test("tells a throw with class, message and stack, and an exit with its reason", async () => {
    two.exportModule("bad", {
      divide: () => {
        throw new RangeError("by zero");
      },
      exit: withSelf((self) => self.exit(atom("had_enough"))),
    });
    const thrown = await one.rpc(two.name, "bad", "divide", []).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "REMOTE" });
    const { cause } = thrown as MeshError;
    expect(cause).toBeInstanceOf(RemoteError);
    expect(cause).toMatchObject({ name: "RangeError", message: "by zero" });
    expect((cause as Error).stack).toContain("message-types.test.ts");
    const exited = await one.rpc(two.name, "bad", "exit", []).catch((error: unknown) => error);
    expect(exited).toMatchObject({ code: "REMOTE", cause: { reason: atom("had_enough") } });
    expect((exited as MeshError).cause).toBeInstanceOf(ProcessExit);
  });

  test("says what is not exported, and what has no representation as a term", async () => {
    two.exportModule("odd", { symbol: () => Symbol("no term") });
    await expect(one.rpc(two.name, "odd", "toString", [])).rejects.toMatchObject({ code: "NOT_EXPORTED" });
    await expect(one.rpc(two.name, "none", "symbol", [])).rejects.toMatchObject({ code: "NOT_EXPORTED" });
    await expect(one.rpc(two.name, "odd", "symbol", [])).rejects.toMatchObject({
      code: "REMOTE",
      cause: { name: "MeshError" },
    });
  });

  test("times out, and nothing is left of it at the other end", async () => {
    two.exportModule("slow", { ever: withSelf((self) => self.receive()), ready: () => true });
    await one.connect(two.name);
    const before = two.processes().length;
    const call = one.rpc(two.name, "slow", "ever", [], { timeoutMs: 1 });
    await expect(call).rejects.toMatchObject({ code: "TIMEOUT" });
    // Travels in the same stream, behind the cancel.
    expect(await one.rpc(two.name, "slow", "ready", [])).toBe(true);
    expect(two.processes()).toHaveLength(before);
    expect(arrived(two, frameType.rpc).map(({ type }) => type)).toEqual(["rpcCall", "rpcCancel", "rpcCall"]);
  });

  test("a call whose caller exits is cancelled: its process sees that nobody waits", async () => {
    const called = deferred<void>();
    const ended = deferred<Term>();
    two.exportModule("slow", {
      ever: withSelf((self) => {
        self.onExit(ended.resolve);
        called.resolve();
        return self.receive();
      }),
    });
    const caller = one.spawn((self) => self.rpc(two.name, "slow", "ever", []));
    await called.promise;
    one.exit(caller, atom("kill"));
    expect(await ended.promise).toBe(atom("cancelled"));
    expect(arrived(two, frameType.rpc)).toMatchObject([{ type: "rpcCall" }, { type: "rpcCancel" }]);
  });

  test("says PEER_UNREACHABLE for a node that is not there, and for one that goes away meanwhile", async () => {
    await expect(one.rpc("nobody@127.0.0.1:1", "m", "f", [])).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
    const called = new Promise<void>((resolve) => {
      two.exportModule("slow", {
        ever: withSelf((self) => {
          resolve();
          return self.receive();
        }),
      });
    });
    const call = expect(one.rpc(two.name, "slow", "ever", [])).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
    await called;
    two.disconnect(one.name);
    await call;
  });

  test("is refused beyond the bound on calls of one node", async () => {
    const busy = await start({ name: "busy@localhost:0", processes: { callsPerNodeMax: 2 } });
    let release: () => void = () => undefined;
    const released = new Promise<string>((resolve) => {
      release = () => resolve("done");
    });
    busy.exportModule("slow", { wait: () => released });
    const calls = [1, 2, 3].map(() => one.rpc(busy.name, "slow", "wait", []));
    await expect(calls[2]).rejects.toMatchObject({ code: "LIMIT" });
    release();
    expect(await Promise.all(calls.slice(0, 2))).toEqual(["done", "done"]);
    expect(busy.stats().processes.counters.refusedCalls).toBe(1);
  });
});

describe("0C SPAWN_REQUEST, 0D SPAWN_REPLY", () => {
  test("a process is spawned, linked and monitored before it runs", async () => {
    await run(one, async (self) => {
      self.trapExit = true;
      const ref = self.makeReference();
      const pid = await self.spawnOn(two.name, "worker", "exit", [], { link: true, monitor: ref });
      expect(pid).toBeInstanceOf(Pid);
      expect(pid.node).toBe(two.name);
      expect(two.processInfo(pid)).toMatchObject({ links: [self.pid], monitoredBy: [self.pid] });
      self.send(pid, atom("bye"));
      expect(await exitOf(self, pid)).toBe(atom("bye"));
      expect(await downOf(self, ref)).toEqual([pid, atom("bye")]);
    });
    expect(arrived(two, frameType.spawnRequest)).toMatchObject([
      { link: true, monitor: true, function: "exit" },
    ]);
    expect(arrived(one, frameType.spawnReply)).toMatchObject([{ link: true, monitor: true }]);
  });

  test("the link of a spawned process works from the spawner's side, too", async () => {
    const spawned = deferred<Pid>();
    const boss = one.spawn(async (self) => {
      spawned.resolve(await self.spawnOn(two.name, "worker", "wait", [], { link: true }));
      await self.receive(atom("never"));
    });
    const pid = await spawned.promise;
    await run(two, async (self) => {
      const ref = self.monitor(pid);
      one.exit(boss, atom("over"));
      expect(await downOf(self, ref)).toEqual([pid, atom("over")]);
    });
  });

  test("what cannot be spawned is an error, and no process", async () => {
    await one.connect(two.name);
    const before = two.processes().length;
    await expect(one.spawnOn(two.name, "worker", "nothing", [])).rejects.toMatchObject({
      code: "NOT_EXPORTED",
    });
    await expect(one.spawnOn("nobody@127.0.0.1:1", "worker", "wait", [])).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
    expect(two.processes()).toHaveLength(before);
    expect(arrived(one, frameType.spawnReply)).toMatchObject([{ result: "undef" }]);
  });

  test("is refused beyond the bound on processes of one node", async () => {
    const small = await start({ name: "small@localhost:0", processes: { spawnsPerNodeMax: 1 } });
    small.exportModule("worker", { wait: withSelf((self) => self.receive()) });
    const first = await one.spawnOn(small.name, "worker", "wait", []);
    await expect(one.spawnOn(small.name, "worker", "wait", [])).rejects.toMatchObject({ code: "LIMIT" });
    await run(one, async (self) => {
      const ref = self.monitor(first);
      self.exit(first, atom("kill"));
      await downOf(self, ref);
    });
    expect(await one.spawnOn(small.name, "worker", "wait", [])).toBeInstanceOf(Pid);
  });
});
