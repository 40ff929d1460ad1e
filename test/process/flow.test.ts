import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { atom, type Term, tuple } from "../../src/etf/index.ts";
import { Network, nodeA, nodeB, nodeC, Puppet, pairOfNodes } from "./support.ts";

describe("back-pressure", () => {
  test("a full mailbox pauses the stream whose message was too many, and half of it resumes", async () => {
    const { network, a, b } = pairOfNodes({ mailboxHighWater: 10 });
    let left = 0;
    let go = (): void => undefined;
    const slow = b.spawn(async (self) => {
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      for (; left < 30; left++) await self.receive();
    });
    const fast = await Puppet.on(network, a);
    for (let count = 0; count < 30; count++) fast.self.send(slow, count);
    await network.settle();
    expect(b.processInfo(slow)?.messageQueueLength).toBe(10);
    expect(network.outputsOf(nodeB, "pause")).toHaveLength(1);
    expect(network.queued).toBe(20);
    go();
    await network.settle();
    expect(left).toBe(30);
    expect(network.queued).toBe(0);
  });

  test("a receive that nothing in the mailbox matches is starved: nothing is held up", async () => {
    const { network, a, b } = pairOfNodes({ mailboxHighWater: 10 });
    let got: Term;
    const choosy = b.spawn(async (self) => {
      got = await self.receive("the one");
      await new Promise(() => undefined);
    });
    const sender = await Puppet.on(network, a);
    for (let count = 0; count < 50; count++) sender.self.send(choosy, count);
    sender.self.send(choosy, "the one");
    await network.settle();
    expect(got).toBe("the one");
    expect(network.outputsOf(nodeB, "pause")).toEqual([]);
    // Busy elsewhere, it is slow and no longer starved.
    sender.self.send(choosy, "more");
    await network.settle();
    expect(network.outputsOf(nodeB, "pause")).toHaveLength(1);
  });

  test("a paused stream goes on when its process exits", async () => {
    const { network, a, b } = pairOfNodes({ mailboxHighWater: 5 });
    const slow = b.spawn(() => new Promise(() => undefined));
    const other = await Puppet.on(network, b);
    const sender = await Puppet.on(network, a);
    for (let count = 0; count < 20; count++) sender.self.send(slow, count);
    sender.self.send(other.pid, "behind");
    await network.settle();
    expect(other.inbox).toEqual([]);
    b.exit(slow, atom("kill"));
    await network.settle();
    expect(other.inbox).toEqual(["behind"]);
  });

  test("beyond mailboxMax the process exits with {system_limit, mailbox}", async () => {
    const { network, a } = pairOfNodes({ mailboxHighWater: 10, mailboxMax: 20 });
    const watcher = await Puppet.on(network, a);
    const slow = a.spawn(() => new Promise(() => undefined));
    watcher.self.monitor(slow);
    for (let count = 0; count < 21; count++) a.send(slow, count);
    await network.settle();
    expect((watcher.inbox[0] as { elements: Term[] }).elements[4]).toEqual(
      tuple(atom("system_limit"), atom("mailbox")),
    );
    expect(a.counters.mailboxOverflows).toBe(1);
  });

  test("bytes count, too", async () => {
    const { network, a, b } = pairOfNodes({ mailboxHighWaterBytes: 1_000 });
    const slow = b.spawn(() => new Promise(() => undefined));
    const sender = await Puppet.on(network, a);
    for (let count = 0; count < 3; count++) sender.self.send(slow, new Uint8Array(600));
    await network.settle();
    expect(b.processInfo(slow)?.messageQueueLength).toBe(2);
  });

  test("send says false above the mark of a process here, and drained resolves below half of it", async () => {
    const { network, a } = pairOfNodes({ mailboxHighWater: 4 });
    const order: string[] = [];
    const slow = a.spawn(async (self) => {
      await self.sleep(10);
      for (let count = 0; count < 4; count++) {
        await self.receive();
        order.push("took");
      }
    });
    const answers: boolean[] = [];
    a.spawn(async (self) => {
      for (let count = 0; count < 4; count++) answers.push(self.send(slow, count));
      await self.drained(slow);
      order.push("drained");
    });
    await network.pass(20);
    expect(answers).toEqual([true, true, true, false]);
    expect(order.indexOf("drained")).toBeGreaterThanOrEqual(1);
    expect(order).toContain("drained");
  });

  test("send says false when the lane is full, and drained resolves when it is not", async () => {
    const { network, a, b } = pairOfNodes();
    network.laneMax = 4;
    const receiver = await Puppet.on(network, b);
    const answers: boolean[] = [];
    let drained = false;
    a.spawn(async (self) => {
      for (let count = 0; count < 5; count++) answers.push(self.send(receiver.pid, count));
      await self.drained(receiver.pid);
      drained = true;
    });
    await network.settle();
    expect(answers).toEqual([true, true, true, false, false]);
    expect(drained).toBe(true);
    expect(receiver.inbox).toHaveLength(5);
  });

  test("a sender waiting for a node that goes down waits no longer", async () => {
    const { network, a, b } = pairOfNodes({ mailboxHighWater: 1 });
    network.laneMax = 1;
    const slow = b.spawn(() => new Promise(() => undefined));
    let drained = false;
    a.spawn(async (self) => {
      for (let count = 0; count < 5; count++) self.send(slow, count);
      await self.drained(slow);
      drained = true;
    });
    await network.settle();
    expect(drained).toBe(false);
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(drained).toBe(true);
  });
});

describe("the event loop", () => {
  test("two processes that answer each other without end leave it its turns", async () => {
    const network = new Network();
    const turns: (() => void)[] = [];
    const node = network.add(nodeA, {
      wakeUpsPerTurn: 100,
      later: (run: () => void) => void turns.push(run),
    } as never);
    let count = 0;
    const pong = node.spawn(async (self) => {
      for (;;) self.send((await self.receive()) as never, self.pid);
    });
    node.spawn(async (self) => {
      self.send(pong, self.pid);
      for (;;) {
        self.send((await self.receive()) as never, self.pid);
        count++;
      }
    });
    for (let job = 0; job < 2_000; job++) await Promise.resolve();
    expect(turns).toHaveLength(1);
    const afterFirst = count;
    expect(afterFirst).toBeLessThan(100);
    turns.shift()?.();
    for (let job = 0; job < 2_000; job++) await Promise.resolve();
    expect(count).toBeGreaterThan(afterFirst);
    expect(turns).toHaveLength(1);
  });
});

describe("Signals and Delivery Guarantees", () => {
  test("signals between a pair of processes arrive in order, whatever the network does", async () => {
    const run = async (seed: number, senders: number, messages: number): Promise<void> => {
      const random = seededRandom(seed);
      const network = new Network();
      const nodes = [nodeA, nodeB, nodeC].map((name) =>
        network.add(name, { mailboxHighWater: 5, wakeUpsPerTurn: 7, lanes: 3 }),
      );
      for (const [one, two] of [
        [nodeA, nodeB],
        [nodeB, nodeC],
        [nodeA, nodeC],
      ] as const)
        network.connect(one, two);
      const received = new Map<string, number[]>();
      const receivers = nodes.map((node) =>
        node.spawn(async (self) => {
          self.trapExit = true;
          for (;;) {
            const message = (await self.receive()) as { elements: readonly [string, number] };
            const [from, number] = message.elements;
            const key = `${from} ${self.pid.node}`;
            received.set(key, [...(received.get(key) ?? []), number]);
            if (random.integer(3) === 0) await self.sleep(1);
          }
        }),
      );
      for (let sender = 0; sender < senders; sender++) {
        (nodes[sender % 3] as (typeof nodes)[number]).spawn(async (self) => {
          for (let number = 0; number < messages; number++) {
            for (const receiver of receivers) self.send(receiver, tuple(`s${sender}`, number));
            if (random.integer(2) === 0) await self.sleep(random.integer(3));
          }
        });
      }
      for (let round = 0; round < 400; round++) {
        await network.settle((count) => random.integer(Math.max(1, count)));
        await network.pass(1);
      }
      const expected = Array.from({ length: messages }, (_, number) => number);
      expect(received.size).toBe(senders * 3);
      for (const numbers of received.values()) expect(numbers).toEqual(expected);
    };
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 12 }), run),
      { numRuns: 12 },
    );
  });

  test("what a process said comes before its end", async () => {
    const { network, a, b } = pairOfNodes();
    const one = await Puppet.on(network, a, { trapExit: true });
    const two = await Puppet.on(network, b);
    one.self.link(two.pid);
    await network.settle();
    two.self.send(one.pid, "last words");
    b.exit(two.pid, atom("boom"));
    one.self.monitor(two.pid);
    await network.settle();
    expect(one.inbox[0]).toBe("last words");
    expect(one.inbox).toHaveLength(3);
  });
});
