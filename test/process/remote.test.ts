import { describe, expect, test } from "vitest";
import { at } from "../../src/base/time.ts";
import { atom, Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import { type ProcessRuntime, RemoteError, type Self, withSelf } from "../../src/process/index.ts";
import type { Network } from "./support.ts";
import { nodeA, nodeB, nodeC, Puppet, pairOfNodes } from "./support.ts";

const boom = atom("boom");

function withMath(limits = {}): { network: Network; a: ProcessRuntime; b: ProcessRuntime } {
  const nodes = pairOfNodes(limits);
  for (const node of [nodes.a, nodes.b]) {
    node.exportModule("math", {
      add: (a: number, b: number) => a + b,
      slow: async () => new Promise(() => undefined),
      fail: () => {
        throw new RangeError("too far");
      },
      leave: withSelf((self) => self.exit(boom)),
      me: withSelf((self, tag: string) => tuple(tag, self.pid)),
      wait: withSelf(async (self) => self.receive()),
      nonsense: () => () => undefined,
    });
  }
  return nodes;
}

/** How `promise` ended. */
async function outcome(network: Network, promise: Promise<unknown>, passMs = 0): Promise<unknown> {
  const settled = promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  await network.pass(passMs);
  return settled;
}

describe.each([
  { place: "here", node: nodeA },
  { place: "on another node", node: nodeB },
])("rpc $place", ({ node }) => {
  test("gives what the function returns", async () => {
    const { network, a } = withMath();
    expect(await outcome(network, a.rpc(node, "math", "add", [1, 2]))).toBe(3);
  });

  test("a withSelf function runs as a process", async () => {
    const { network, a } = withMath();
    const result = (await outcome(network, a.rpc(node, "math", "me", ["x"]))) as { elements: Term[] };
    expect(result.elements).toEqual(["x", expect.objectContaining({ node })]);
  });

  test("a throw arrives as REMOTE, with class, message and stack over there", async () => {
    const { network, a } = withMath();
    const error = (await outcome(network, a.rpc(node, "math", "fail", []))) as Error;
    expect(error).toMatchObject({ code: "REMOTE", message: `math:fail/0 on ${node}: RangeError: too far` });
    expect(error.cause).toBeInstanceOf(RemoteError);
    expect(error.cause).toMatchObject({ name: "RangeError", message: "too far" });
    expect((error.cause as Error).stack).toContain("remote.test.ts");
  });

  test("an exit arrives as REMOTE, with the reason", async () => {
    const { network, a } = withMath();
    const error = await outcome(network, a.rpc(node, "math", "leave", []));
    expect(error).toMatchObject({ code: "REMOTE", cause: { reason: boom } });
  });

  test.each([
    ["math", "nothing"],
    ["nothing", "add"],
    ["math", "toString"],
    ["__proto__", "add"],
  ])("%s:%s is NOT_EXPORTED", async (module, name) => {
    const { network, a } = withMath();
    expect(await outcome(network, a.rpc(node, module, name, []))).toMatchObject({ code: "NOT_EXPORTED" });
  });

  test("no answer in time is TIMEOUT, and a process that runs it ends", async () => {
    const { network, a, b } = withMath();
    const before = a.processes().length + b.processes().length;
    const error = outcome(network, a.rpc(node, "math", "wait", [], { timeoutMs: 50 }), 100);
    expect(await error).toMatchObject({ code: "TIMEOUT" });
    expect(a.processes().length + b.processes().length).toBe(before);
  });
});

describe("rpc", () => {
  test("a result that is no term is an error for the caller", async () => {
    const { network, a } = withMath();
    expect(await outcome(network, a.rpc(nodeB, "math", "nonsense", []))).toMatchObject({ code: "REMOTE" });
  });

  test("arguments that are no terms are an error at once", async () => {
    const { network, a } = withMath();
    const error = await outcome(network, a.rpc(nodeB, "math", "add", [Symbol("s") as never]));
    expect(error).toMatchObject({ code: "ENCODE" });
  });

  test("the loss of the node is PEER_UNREACHABLE; the callee's process ends", async () => {
    const { network, a, b } = withMath();
    const before = b.processes().length;
    const call = outcome(network, a.rpc(nodeB, "math", "wait", []));
    await network.settle();
    expect(b.processes()).toHaveLength(before + 1);
    network.disconnect(nodeA, nodeB);
    expect(await call).toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(b.processes()).toHaveLength(before);
    expect(await outcome(network, a.rpc("nowhere@host:9", "m", "f", []))).toMatchObject({
      code: "PEER_UNREACHABLE",
    });
  });

  test("more calls than callsPerNodeMax are refused, also when nobody waits for the first any more", async () => {
    const { network, a, b } = withMath({ callsPerNodeMax: 1 });
    await outcome(network, a.rpc(nodeB, "math", "slow", [], { timeoutMs: 10 }), 20);
    expect(await outcome(network, a.rpc(nodeB, "math", "add", [1, 2]))).toMatchObject({ code: "LIMIT" });
    expect(b.counters.refusedCalls).toBe(1);
  });

  test("a caller that exits cancels", async () => {
    const { network, a } = withMath();
    const pid = a.spawn((self) => self.rpc(nodeB, "math", "wait", []));
    await network.settle();
    a.exit(pid, atom("kill"));
    await network.settle();
    expect(network.log.map(({ signal }) => signal.type)).toEqual(["rpcCall", "rpcCancel"]);
  });

  test("an answer to nobody, and one answered twice, change nothing", async () => {
    const { network, a } = withMath();
    network.inject(nodeB, nodeA, { type: "rpcReply", id: 1, status: "ok", value: 1 });
    expect(await outcome(network, a.rpc(nodeB, "math", "add", [1, 2]))).toBe(3);
    network.inject(nodeB, nodeA, { type: "rpcReply", id: 1, status: "ok", value: 4 });
    expect(a.nodes()).toEqual([nodeB]);
  });
});

describe.each([
  { place: "here", node: nodeA },
  { place: "on another node", node: nodeB },
])("spawnOn $place", ({ node }) => {
  test("runs an exported function in a process", async () => {
    const { network, a } = withMath();
    const pid = (await outcome(network, a.spawnOn(node, "math", "wait", []))) as Pid;
    expect(pid.node).toBe(node);
    expect(network.nodes.get(node)?.processInfo(pid)?.status).toBe("waiting");
  });

  test("links and monitors from the start, also when the process exits at once", async () => {
    const { network, a } = withMath();
    const one = await Puppet.on(network, a, { trapExit: true });
    const ref = one.self.makeReference();
    const spawned = one.self.spawnOn(node, "math", "leave", [], { link: true, monitor: ref });
    const pid = (await outcome(network, spawned)) as Pid;
    expect(
      one.inbox.toSorted(
        (x, y) => (x as never as { length: number }).length - (y as never as { length: number }).length,
      ),
    ).toEqual([tuple(atom("EXIT"), pid, boom), tuple(atom("DOWN"), ref, atom("process"), pid, boom)]);
  });

  test("the link goes both ways", async () => {
    const { network, a } = withMath();
    const one = await Puppet.on(network, a);
    const pid = (await outcome(network, one.self.spawnOn(node, "math", "wait", [], { link: true }))) as Pid;
    a.exit(one.pid, boom);
    await network.settle();
    expect(network.nodes.get(node)?.processInfo(pid)).toBeUndefined();
  });

  test("not exported is NOT_EXPORTED, and there is no process", async () => {
    const { network, a } = withMath();
    expect(await outcome(network, a.spawnOn(node, "math", "nothing", []))).toMatchObject({
      code: "NOT_EXPORTED",
    });
  });
});

describe("spawnOn", () => {
  test("of the node itself: what happens to the process comes out as messages", async () => {
    const { network, a } = withMath();
    const pid = (await outcome(
      network,
      a.spawnOn(nodeB, "math", "wait", [], { link: true, monitor: true }),
    )) as Pid;
    network.disconnect(nodeA, nodeB);
    const messages = network
      .outputsOf(nodeA, "message")
      .map((output) => (output as { message: Term }).message);
    expect(messages).toEqual([
      tuple(atom("EXIT"), pid, atom("noconnection")),
      tuple(atom("DOWN"), expect.any(Reference) as never, atom("process"), pid, atom("noconnection")),
    ]);
  });

  test("a node that is gone is PEER_UNREACHABLE", async () => {
    const { network, a } = withMath();
    expect(await outcome(network, a.spawnOn("nowhere@host:9", "m", "f", []))).toMatchObject({
      code: "PEER_UNREACHABLE",
    });
  });

  test("more than spawnsPerNodeMax are refused, until some have exited", async () => {
    const { network, a, b } = withMath({ spawnsPerNodeMax: 1 });
    const pid = (await outcome(network, a.spawnOn(nodeB, "math", "wait", []))) as Pid;
    expect(await outcome(network, a.spawnOn(nodeB, "math", "wait", []))).toMatchObject({ code: "LIMIT" });
    expect(b.counters.refusedSpawns).toBe(1);
    a.exit(pid, boom);
    await network.settle();
    expect(await outcome(network, a.spawnOn(nodeB, "math", "wait", []))).toBeInstanceOf(Pid);
  });

  test("a linked process whose spawner gave up waiting does not stay", async () => {
    const { network, a, b } = withMath();
    const before = b.processes().length;
    const spawner = a.spawn((self) => self.spawnOn(nodeB, "math", "wait", [], { link: true, monitor: true }));
    // Let the request leave, and end its sender before the reply is back.
    await Promise.resolve();
    await Promise.resolve();
    a.exit(spawner, atom("kill"));
    await network.settle();
    expect(b.processes()).toHaveLength(before);
  });
});

describe("group leader", () => {
  const hello = withSelf(async (self: Self) => self.print("héllo\n"));

  test("output of a remotely spawned process appears where its spawner's group leader lives", async () => {
    const { network, a, b } = pairOfNodes();
    b.exportModule("talk", { hello });
    await outcome(network, a.spawnOn(nodeB, "talk", "hello", []));
    expect(network.printed.get(nodeA)).toBe("héllo\n");
    expect(network.printed.get(nodeB)).toBeUndefined();
  });

  test("also over three nodes: it is inherited", async () => {
    const { network, a, b } = pairOfNodes();
    const c = network.add(nodeC);
    network.connect(nodeB, nodeC);
    network.connect(nodeA, nodeC);
    c.exportModule("talk", { hello });
    b.exportModule("relay", { go: withSelf((self) => self.spawnOn(nodeC, "talk", "hello", [])) });
    await outcome(network, a.rpc(nodeB, "relay", "go", []));
    expect(network.printed.get(nodeA)).toBe("héllo\n");
  });

  test("GROUP_LEADER sets it on another node", async () => {
    const { network, a, b } = pairOfNodes();
    const two = await Puppet.on(network, b);
    expect(b.groupLeader(two.pid)).toEqual(b.whereis("user"));
    a.setGroupLeader(a.whereis("user") as Pid, two.pid);
    await network.settle();
    void two.self.print("here");
    await network.settle();
    expect(network.printed.get(nodeA)).toBe("here");
  });

  test.each<[string, Term, Term, string | undefined]>([
    ["bytes", tuple(atom("put_chars"), atom("unicode"), new TextEncoder().encode("ä")), atom("ok"), "ä"],
    ["chardata", tuple(atom("put_chars"), atom("unicode"), [104, [105, "!"]]), atom("ok"), "hi!"],
    ["latin1", tuple(atom("put_chars"), Uint8Array.of(0xe4)), atom("ok"), "ä"],
    [
      "no UTF-8",
      tuple(atom("put_chars"), atom("unicode"), Uint8Array.of(0xff)),
      tuple(atom("error"), atom("put_chars")),
      undefined,
    ],
    [
      "requests",
      tuple(atom("requests"), [
        tuple(atom("put_chars"), atom("unicode"), "a"),
        tuple(atom("put_chars"), atom("unicode"), "b"),
      ]),
      atom("ok"),
      "ab",
    ],
    [
      "formatting",
      tuple(atom("put_chars"), atom("unicode"), atom("io_lib"), atom("format"), ["x", []]),
      tuple(atom("error"), atom("enotsup")),
      undefined,
    ],
    [
      "input",
      tuple(atom("get_line"), atom("unicode"), ">"),
      tuple(atom("error"), atom("enotsup")),
      undefined,
    ],
    ["nonsense", tuple(atom("dance")), tuple(atom("error"), atom("request")), undefined],
    ["no request", 5, tuple(atom("error"), atom("request")), undefined],
  ])("user answers the I/O protocol: %s", async (_what, request, reply, printed) => {
    const { network, a, b } = pairOfNodes();
    const two = await Puppet.on(network, b);
    two.self.send({ name: "user", node: nodeA }, tuple(atom("io_request"), two.pid, 7, request));
    await network.settle();
    expect(two.inbox).toEqual([tuple(atom("io_reply"), 7, reply)]);
    expect(network.printed.get(nodeA)).toBe(printed);
    expect(a.whereis("user")).toBeDefined();
  });

  test("user cannot be ended from outside", async () => {
    const { network, a, b } = pairOfNodes();
    b.exit(a.whereis("user") as Pid, atom("kill"));
    await network.settle();
    expect(a.whereis("user")).toBeDefined();
  });
});

describe("what a peer may do", () => {
  test("it may not speak for others: forged signals are counted and dropped", async () => {
    const { network, a } = pairOfNodes();
    const victim = await Puppet.on(network, a);
    const forger = new Pid(nodeC, 1, 0, 1);
    for (const from of [forger, victim.pid]) {
      network.inject(nodeB, nodeA, { type: "send", from, to: victim.pid, message: 1 });
      network.inject(nodeB, nodeA, { type: "exit", from, to: victim.pid, reason: atom("kill") });
      network.inject(nodeB, nodeA, { type: "linkExit", from, to: victim.pid, reason: boom });
    }
    await network.settle();
    expect(victim.inbox).toEqual([]);
    expect(victim.self.alive).toBe(true);
    expect(a.counters.forged).toBe(6);
  });

  test("nor for an earlier life of itself", async () => {
    const { network, a } = pairOfNodes();
    const victim = await Puppet.on(network, a);
    a.handle({ type: "nodeUp", node: nodeB, creation: 5 }, at(0));
    network.inject(nodeB, nodeA, { type: "send", from: new Pid(nodeB, 1, 0, 4), to: victim.pid, message: 1 });
    expect(a.counters.forged).toBe(1);
  });

  test("a DOWN under another node's reference changes nothing", async () => {
    const { network, a, b } = pairOfNodes();
    network.add(nodeC);
    network.connect(nodeA, nodeC);
    const one = await Puppet.on(network, a);
    const two = await Puppet.on(network, b);
    const ref = one.self.monitor(two.pid);
    await network.settle();
    network.inject(nodeC, nodeA, { type: "down", from: "x", to: one.pid, ref, reason: boom });
    expect(one.inbox).toEqual([]);
  });

  test("exit signals through links that are none change nothing", async () => {
    const { network, a } = pairOfNodes();
    const one = await Puppet.on(network, a);
    network.inject(nodeB, nodeA, {
      type: "linkExit",
      from: new Pid(nodeB, 9, 0, 1),
      to: one.pid,
      reason: boom,
    });
    expect(one.self.alive).toBe(true);
  });

  test("links and monitors have a bound per node, and the refusal says so", async () => {
    const { network, a, b } = pairOfNodes({ linksPerNodeMax: 1, monitorsPerNodeMax: 1 });
    const target = await Puppet.on(network, b, { trapExit: true });
    const one = await Puppet.on(network, a, { trapExit: true });
    const two = await Puppet.on(network, a, { trapExit: true });
    for (const puppet of [one, two]) {
      puppet.self.link(target.pid);
      puppet.self.monitor(target.pid);
    }
    await network.settle();
    expect(one.inbox).toEqual([]);
    expect(two.inbox).toHaveLength(2);
    expect(two.inbox[0]).toEqual(tuple(atom("EXIT"), target.pid, atom("system_limit")));
    expect(b.counters).toMatchObject({ refusedLinks: 1, refusedMonitors: 1 });
  });

  test("signals for other nodes and other lives are counted and dropped", async () => {
    const { network, a } = pairOfNodes();
    const from = new Pid(nodeB, 1, 0, 1);
    network.inject(nodeB, nodeA, { type: "send", from, to: new Pid(nodeC, 1, 0, 1), message: 1 });
    network.inject(nodeB, nodeA, { type: "link", from, to: new Pid(nodeA, 3, 0, 9) });
    expect(a.counters.misrouted).toBe(2);
    await network.settle();
    expect(network.log.map(({ signal }) => signal.type)).toEqual(["linkExit"]);
  });

  test("an id beyond 28 bits is no other process", async () => {
    const { network, a } = pairOfNodes();
    const one = await Puppet.on(network, a);
    const alias = new Pid(nodeA, one.pid.id + 2 ** 28, -1, 1);
    network.inject(nodeB, nodeA, { type: "send", from: new Pid(nodeB, 1, 0, 1), to: alias, message: 1 });
    expect(one.inbox).toEqual([]);
  });

  test("nothing is left of a node that is gone", async () => {
    const { network, a, b } = withMath();
    const one = await Puppet.on(network, a, { trapExit: true });
    const two = await Puppet.on(network, b, { trapExit: true });
    one.self.link(two.pid);
    two.self.monitor(one.pid);
    await network.settle();
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(a.nodes()).toEqual([]);
    expect(a.processInfo(one.pid)).toMatchObject({ links: [], monitoredBy: [] });
  });
});

describe("an exit reason that cannot travel", () => {
  test("is replaced, and the other side still hears of the end", async () => {
    const { network, a, b } = pairOfNodes();
    const one = await Puppet.on(network, a, { trapExit: true });
    const two = await Puppet.on(network, b);
    one.self.link(two.pid);
    await network.settle();
    b.exit(two.pid, () => undefined);
    await network.settle();
    expect(one.inbox).toEqual([tuple(atom("EXIT"), two.pid, atom("unencodable_reason"))]);
  });
});
