import { describe, expect, test } from "vitest";
import { atom, Pid, type Term, tuple } from "../../src/etf/index.ts";
import { any, is, matches, oneOf, ProcessExit, type Self, where } from "../../src/process/index.ts";
import { Network, nodeA, nodeB, Puppet, pairOfNodes } from "./support.ts";

/** Runs `body` as a process with `messages` in its mailbox, and gives what it returns. */
async function within<T>(
  messages: readonly Term[],
  body: (self: Self) => Promise<T>,
  passMs = 0,
): Promise<T> {
  const network = new Network();
  const node = network.add(nodeA);
  let outcome: Promise<T> | undefined;
  const pid = node.spawn((self) => {
    outcome = body(self);
    return outcome.catch(() => undefined);
  });
  for (const message of messages) node.send(pid, message);
  await network.pass(passMs);
  return outcome as Promise<T>;
}

describe("receive", () => {
  test("gives messages in the order of their arrival", async () => {
    const got = await within([1, 2, 3], async (self) => [
      await self.receive(),
      await self.receive(),
      await self.receive(),
    ]);
    expect(got).toEqual([1, 2, 3]);
  });

  test("a selective receive leaves the others in their order", async () => {
    const got = await within(["a", 1, "b", 2, "c"], async (self) => {
      const order: Term[] = [await self.receive(is.number), await self.receive("b")];
      for (let left = 3; left > 0; left--) order.push(await self.receive());
      return order;
    });
    expect(got).toEqual([1, "b", "a", 2, "c"]);
  });

  test("a waiting receive tests each message once", async () => {
    const network = new Network();
    const node = network.add(nodeA);
    const tested: Term[] = [];
    const pid = node.spawn((self) =>
      self.receive((message: Term) => {
        tested.push(message);
        return message === "last";
      }),
    );
    for (const message of [1, 2]) node.send(pid, message);
    await network.settle();
    for (const message of [3, 4, "last"]) node.send(pid, message);
    await network.settle();
    expect(tested).toEqual([1, 2, 3, 4, "last"]);
  });

  test("rejects with TIMEOUT when time is over, and not before", async () => {
    const network = new Network();
    const node = network.add(nodeA);
    const puppet: { error?: unknown } = {};
    node.spawn((self) =>
      self.receive("never", { timeoutMs: 100 }).catch((error: unknown) => (puppet.error = error)),
    );
    await network.pass(99);
    expect(puppet.error).toBeUndefined();
    await network.pass(1);
    expect(puppet.error).toMatchObject({ code: "TIMEOUT" });
  });

  test("a time-out that was met leaves no deadline behind", async () => {
    const network = new Network();
    const node = network.add(nodeA);
    const puppet = await Puppet.on(network, node);
    const pid = node.spawn(async (self) => {
      await self.receive({ timeoutMs: 50 });
      await self.receive({ timeoutMs: 500 });
    });
    await network.settle();
    puppet.self.send(pid, 1);
    await network.settle();
    expect(node.deadline()).toBe(500);
  });

  test("timeoutMs 0 only looks", async () => {
    const got = await within([1], async (self) => [
      await self.receive({ timeoutMs: 0 }),
      await self.receive({ timeoutMs: 0 }).catch((error: unknown) => error),
    ]);
    expect(got).toEqual([1, expect.objectContaining({ code: "TIMEOUT" })]);
  });

  test("a second receive at the same time is refused", async () => {
    const got = await within([], async (self) => {
      void self.receive();
      return self.receive().catch((error: unknown) => error);
    });
    expect(got).toMatchObject({ code: "UNSUPPORTED" });
  });

  test("a predicate that throws fails the receive, not the sender", async () => {
    const network = new Network();
    const node = network.add(nodeA);
    const crashed: Term[] = [];
    const pid = node.spawn((self) => {
      self.onExit((reason) => crashed.push(reason));
      return self.receive(() => {
        throw new TypeError("bad predicate");
      });
    });
    await network.settle();
    expect(node.send(pid, 1)).toBe(true);
    await network.settle();
    expect(crashed).toHaveLength(1);
  });

  test("thousands of messages grow and shrink the mailbox without loss", async () => {
    const messages = Array.from({ length: 5_000 }, (_, index) => index);
    const got = await within(messages, async (self) => {
      const order: Term[] = [];
      for (let index = 0; index < 5_000; index++) {
        order.push(await self.receive(index % 7 === 3 ? where<number>((n) => (n as number) % 2 === 1) : any));
      }
      return order;
    });
    expect(got.toSorted((a, b) => (a as number) - (b as number))).toEqual(messages);
  });
});

describe("patterns", () => {
  const pid = new Pid(nodeA, 1, 0, 1);
  test.each<[string, Term, Term, boolean]>([
    ["any", any, 1, true],
    ["an atom", atom("a"), atom("a"), true],
    ["another atom", atom("a"), atom("b"), false],
    ["a tuple", tuple(atom("a"), is.number), tuple(atom("a"), 1), true],
    ["a longer tuple", tuple(atom("a"), any), tuple(atom("a"), 1, 2), false],
    ["a list", [1, any], [1, 2], true],
    ["a tuple is no list", [1, any], tuple(1, 2), false],
    ["an equal pid", pid, new Pid(nodeA, 1, 0, 1), true],
    ["a pid of another life", pid, new Pid(nodeA, 1, 0, 2), false],
    ["equal bytes", Uint8Array.of(1, 2), Uint8Array.of(1, 2), true],
    ["some keys of a map", { kind: "x", n: is.number }, { kind: "x", n: 1, more: true }, true],
    ["a missing key", { kind: any }, { sort: 1 }, false],
    ["an inherited key", { toString: any }, {}, false],
    ["a Map", new Map([[1, is.string]]), new Map<Term, Term>([[1, "x"]]), true],
    ["one of two", oneOf(1, is.string), "x", true],
    ["none of two", oneOf(1, is.string), 2, false],
    ["a predicate", where((term) => term === 5), 5, true],
    ["null", null, undefined, false],
    ["an integer is no float", is.integer, 1.5, false],
    ["a big integer", is.integer, 2n ** 70n, true],
  ])("%s", (_name, pattern, message, expected) => {
    expect(matches(pattern, message)).toBe(expected);
  });

  test("give the message its type", async () => {
    const text = await within([tuple(atom("print"), "hello", 3)], async (self) => {
      const [, what, times] = (await self.receive(tuple(atom("print"), is.string, is.number))).elements;
      return what.repeat(Number(times));
    });
    expect(text).toBe("hellohellohello");
  });
});

describe("the end of a process", () => {
  test("a kill rejects what it awaits, so that finally runs; then nothing works", async () => {
    const { network, a } = pairOfNodes();
    const seen: unknown[] = [];
    const pid = a.spawn(async (self) => {
      try {
        await self.receive();
      } catch (error) {
        seen.push(error);
        await self.receive().catch((again: unknown) => seen.push(again));
        await self.sleep(1).catch((again: unknown) => seen.push(again));
      } finally {
        seen.push("finally");
        try {
          self.send(self.pid, 1);
        } catch (error) {
          seen.push(error);
        }
      }
    });
    await network.settle();
    a.exit(pid, atom("kill"));
    await network.settle();
    const exit = expect.any(ProcessExit) as unknown;
    expect(seen).toEqual([exit, exit, exit, "finally", exit]);
    expect((seen[0] as ProcessExit).reason).toBe(atom("killed"));
  });

  test("rejections that nobody looks at are nobody's problem", async () => {
    const { network, a } = pairOfNodes();
    const pid = a.spawn(async (self) => {
      void self.receive();
      void self.sleep(1_000);
      void self.rpc("nowhere@host:9", "m", "f", []);
      await new Promise(() => undefined);
    });
    await network.settle();
    a.exit(pid, atom("kill"));
    await network.settle();
    // Vitest fails the run on an unhandled rejection.
    expect(a.processInfo(pid)).toBeUndefined();
  });

  test.each([
    ["returns", () => undefined, atom("normal")],
    ["exits", (self: Self) => self.exit(tuple(atom("my"), 1)), tuple(atom("my"), 1)],
    [
      "throws an error",
      () => raise(new RangeError("too far")),
      tuple(atom("error"), tuple("RangeError", "too far", expect.any(Array) as Term)),
    ],
    ["throws a term", () => raise(atom("ball")), tuple(atom("nocatch"), atom("ball"))],
    ["throws no term", () => raise(Symbol("s")), tuple(atom("nocatch"), "Symbol(s)")],
  ])("a process that %s", async (_how, body, reason) => {
    const { network, a } = pairOfNodes();
    for (const run of [body, async (self: Self) => body(self)]) {
      const puppet = await Puppet.on(network, a);
      const pid = a.spawn(run);
      puppet.self.monitor(pid);
      await network.settle();
      expect((puppet.inbox[0] as { elements: Term[] }).elements[4]).toEqual(reason);
    }
  });

  test("what a process throws is reported for the log, and harms nobody", async () => {
    const { network, a } = pairOfNodes();
    const other = await Puppet.on(network, a);
    a.spawn(() => raise(new Error("oops")), { name: "clumsy" });
    await network.settle();
    expect(network.outputsOf(nodeA, "crash")).toMatchObject([{ name: "clumsy", type: "crash" }]);
    expect(other.self.alive).toBe(true);
  });

  test("an exit callback that throws is counted", async () => {
    const { network, a } = pairOfNodes();
    a.spawn((self) => void self.onExit(() => raise(new Error("late"))));
    await network.settle();
    expect(a.counters.failedCallbacks).toBe(1);
  });

  test("a chain of 50,000 links breaks without exhausting the stack", async () => {
    const network = new Network();
    const node = network.add(nodeA);
    const first = node.spawn(async (self) => {
      const chain = async (parent: Self, left: number): Promise<void> => {
        if (left > 0) parent.spawnLink((child) => chain(child, left - 1));
        await parent.receive();
      };
      await chain(self, 50_000);
    });
    await network.settle();
    expect(node.processes().length).toBeGreaterThan(50_000);
    node.exit(first, atom("boom"));
    await network.settle();
    expect(node.processes()).toHaveLength(2);
  });
});

describe("names", () => {
  test("a name is free once its process has exited", async () => {
    const { network, a } = pairOfNodes();
    const one = await Puppet.on(network, a);
    a.registerName("echo", one.pid);
    expect(a.whereis("echo")).toEqual(one.pid);
    expect(a.registered().toSorted()).toEqual(["echo", "user"]);
    a.send("echo", "hello");
    await network.settle();
    expect(one.inbox).toEqual(["hello"]);
    a.exit(one.pid, atom("kill"));
    expect(a.whereis("echo")).toBeUndefined();
  });

  test("register/2 refuses a second name, a second process, and the dead", async () => {
    const { network, a } = pairOfNodes();
    const one = await Puppet.on(network, a);
    const two = await Puppet.on(network, a);
    a.registerName("one", one.pid);
    expect(() => a.registerName("one", two.pid)).toThrow("taken");
    expect(() => a.registerName("uno", one.pid)).toThrow("already registered");
    expect(() => a.registerName("undefined", two.pid)).toThrow("cannot be");
    a.exit(two.pid, atom("kill"));
    expect(() => a.registerName("two", two.pid)).toThrow("no such process");
    a.unregister("one");
    expect(() => a.unregister("one")).toThrow("no process is registered");
  });

  test("send to an unknown name: an error here (badarg), silence for {Name, Node}", async () => {
    const { network, a } = pairOfNodes();
    expect(() => a.send("nobody", 1)).toThrow("no process is registered as nobody");
    expect(a.send({ name: "nobody", node: nodeA }, 1)).toBe(true);
    expect(a.send({ name: "nobody", node: "b@host:2" }, 1)).toBe(true);
    await network.settle();
    expect(a.counters.undelivered).toBe(1);
    expect(network.nodes.get("b@host:2")?.counters.undelivered).toBe(1);
  });

  test("a spawn under a taken name leaves no process", () => {
    const { a } = pairOfNodes();
    const before = a.processes().length;
    expect(() => a.spawn(() => undefined, { name: "user" })).toThrow("taken");
    expect(a.processes()).toHaveLength(before);
  });
});

function raise(value: unknown): never {
  throw value;
}

test("a time-out that is no time is refused, and puts nobody else's out of order", async () => {
  const { network, a } = pairOfNodes();
  const outcomes: unknown[] = [];
  a.spawn(async (self) => {
    await self.receive({ timeoutMs: Number.NaN }).catch((error: unknown) => outcomes.push(error));
    await self.receive({ timeoutMs: -1 }).catch((error: unknown) => outcomes.push(error));
    await self
      .rpc(nodeB, "m", "f", [], { timeoutMs: Number.NaN })
      .catch((error: unknown) => outcomes.push(error));
    await self.receive({ timeoutMs: 10 }).catch((error: unknown) => outcomes.push(error));
  });
  await network.pass(10);
  expect(outcomes.map((error) => (error as Error).name)).toEqual([
    "RangeError",
    "RangeError",
    "RangeError",
    "MeshError",
  ]);
});
