import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { atom, type Pid, type Term, tuple } from "../../src/etf/index.ts";
import type { LogFields } from "../../src/node/log.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { any, is, type Self, withSelf } from "../../src/process/index.ts";
import { deferred, next, run, start } from "./support/nodes.ts";
import { runProgram } from "./support/program.ts";

/* What two nodes do at their limits: slow receivers, long messages, processes that throw, the end. */

const mebibyte = 1 << 20;

/** A process of `node` under a name that counts what it gets once it is told to begin. */
function slowReceiver(
  node: MaculaNode,
  count: number,
): { readonly begin: () => void; readonly done: Promise<Term[]> } {
  const gate = deferred();
  const done = run(
    node,
    async (self) => {
      await gate.promise;
      const messages: Term[] = [];
      while (messages.length < count) {
        const { elements } = await self.receive(tuple(is.number, any));
        messages.push(elements[0]);
      }
      return messages;
    },
    { name: "slow" },
  );
  return { begin: gate.resolve, done };
}

/** Looks again in each turn of the event loop. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a slow receiver holds the sender back, both sides stay within their bounds, and all 100,000 arrive in order", async () => {
  const receiver = await start({ name: "receiver@localhost:0" });
  const sender = await start({ name: "sender@localhost:0" });
  const count = 100_000;
  const { begin, done } = slowReceiver(receiver, count);
  const slow = receiver.self.whereis("slow") as Pid;
  let most = 0;
  let waits = 0;
  const sent = run(sender, async (self) => {
    const payload = new Uint8Array(1_000);
    for (let index = 0; index < count; index++) {
      if (self.send(slow, tuple(index, payload))) continue;
      waits++;
      most = Math.max(most, sender.stats().links[0]?.queuedBytes ?? 0);
      await self.drained(slow);
    }
  });
  // A full mailbox stops the stream; then the engine's windows fill, and the sender's lane, which stands still
  // somewhere between its mark and the half of it.
  await until(() => receiver.stats().processes.counters.pauses > 0);
  await until(() => (sender.stats().links[0]?.queuedBytes ?? 0) > mebibyte / 2);
  const info = receiver.processInfo(slow);
  expect(info?.messageQueueLength).toBeGreaterThanOrEqual(10_000);
  expect(info?.messageQueueLength).toBeLessThan(count / 2);
  expect(info?.messageQueueBytes).toBeLessThan(17 * mebibyte);
  begin();
  const messages = await done;
  await sent;
  expect(messages).toEqual(Array.from({ length: count }, (_, index) => index));
  expect(waits).toBeGreaterThan(0);
  // One message over the mark, plus what the engine gave back.
  expect(most).toBeLessThan(2 * mebibyte);
});

test("a slow receiver holds back nobody but its senders", async () => {
  const receiver = await start({ name: "receiver@localhost:0" });
  const sender = await start({ name: "sender@localhost:0" });
  const { begin, done } = slowReceiver(receiver, 20_000);
  const slow = receiver.self.whereis("slow") as Pid;
  const pressing = run(sender, async (self) => {
    for (let index = 0; index < 20_000; index++) {
      if (!self.send(slow, tuple(index, new Uint8Array(1_000)))) await self.drained(slow);
    }
  });
  while (receiver.stats().processes.counters.pauses === 0)
    await new Promise((resolve) => setImmediate(resolve));
  receiver.exportModule("other", { echo: withSelf((self, to: Pid) => void self.send(to, "not held back")) });
  await run(sender, async (self) => {
    await self.spawnOn(receiver.name, "other", "echo", [self.pid]);
    expect(await self.receive()).toBe("not held back");
  });
  begin();
  expect(await done).toHaveLength(20_000);
  await pressing;
});

test("a message of 16 MiB and a byte is LIMIT, payload_too_large, at its sender, and nothing is sent; 16 MiB arrive", async () => {
  const receiver = await start({ name: "receiver@localhost:0" });
  const sender = await start({ name: "sender@localhost:0" });
  const lengths: number[] = [];
  const received = run(
    receiver,
    async (self) => {
      while (lengths.length < 2) lengths.push((await self.receive(is.bytes)).length);
    },
    { name: "inbox" },
  );
  const to = receiver.self.whereis("inbox") as Pid;
  await run(sender, async (self) => {
    const limit = 16 * mebibyte;
    // What surrounds the bytes in the payload: found by the bound itself, which is exact.
    const fits = (length: number): boolean => {
      try {
        self.send(to, new Uint8Array(length));
        return true;
      } catch (error) {
        expect(error).toMatchObject({
          code: "LIMIT",
          message: expect.stringContaining("payload_too_large") as unknown,
        });
        return false;
      }
    };
    let overhead = 0;
    while (!fits(limit - overhead)) overhead++;
    // Pid twice, tuple, and the head of a binary.
    expect(overhead).toBeLessThan(200);
    self.send(to, new Uint8Array(1));
    await received;
    // The longest that fits came whole, and none of those that do not.
    expect(lengths).toEqual([limit - overhead, 1]);
    expect(() => self.send(to, new Uint8Array(limit - overhead + 1))).toThrow("payload_too_large");
  });
  expect(sender.nodes()).toEqual([receiver.name]);
});

test("many senders at once: each pair keeps its order", async () => {
  const receiver = await start({ name: "receiver@localhost:0" });
  const senders = await Promise.all([start({ name: "a@localhost:0" }), start({ name: "b@localhost:0" })]);
  const perSender = 2_000;
  const processes = 40;
  const received = run(
    receiver,
    async (self) => {
      const last = new Map<Term, number>();
      for (let left = processes * perSender; left > 0; left--) {
        const [from, number] = (await self.receive(tuple(is.string, is.number, any))).elements;
        expect(number).toBe((last.get(from) ?? -1) + 1);
        last.set(from, Number(number));
      }
      return last;
    },
    { name: "inbox" },
  );
  const to = { name: "inbox", node: receiver.name };
  const send = async (self: Self): Promise<void> => {
    const from = self.pid.toString();
    for (let number = 0; number < perSender; number++) {
      // Long and short ones in turn: a long one must not be overtaken by a short one of the same sender.
      const payload = new Uint8Array(number % 500 === 0 ? 200_000 : 10);
      if (!self.send(to, tuple(from, number, payload))) await self.drained(to);
    }
  };
  await Promise.all(senders.flatMap((node) => Array.from({ length: processes / 2 }, () => run(node, send))));
  const last = await received;
  expect([...last.values()]).toEqual(Array.from({ length: processes }, () => perSender - 1));
});

test("a process that throws harms nobody, and is in the log as process.crash", async () => {
  const lines: { readonly event: string; readonly fields: LogFields }[] = [];
  const ignore = (): void => undefined;
  const error = (fields: LogFields, event: string): void => void lines.push({ event, fields });
  const node = await start({ logger: { debug: ignore, info: ignore, warn: ignore, error } });
  const other = await start({ name: "other@localhost:0" });
  node.exportModule("worker", {
    fail: withSelf(async (self) => {
      await self.receive();
      throw new TypeError("no luck");
    }),
    add: (a: number, b: number) => a + b,
  });
  await run(other, async (self) => {
    const ref = self.makeReference();
    const pid = await self.spawnOn(node.name, "worker", "fail", [], { monitor: ref });
    self.send(pid, "go");
    await self.receive(tuple(atom("DOWN"), ref, any, any, any));
    expect(lines).toMatchObject([{ event: "process.crash", fields: { pid: pid.toString() } }]);
    expect(lines[0]?.fields["reason"]).toContain("no luck");
    expect(await self.rpc(node.name, "worker", "add", [1, 2])).toBe(3);
  });
});

test("a node can be closed while it sends and receives: the peer is told, nothing is left waiting", async () => {
  const receiver = await start({ name: "receiver@localhost:0" });
  const sender = await start({ name: "sender@localhost:0" });
  const some = deferred();
  receiver.spawn(
    async (self) => {
      for (let count = 0; ; count++) {
        await self.receive();
        if (count === 1_000) some.resolve();
      }
    },
    { name: "sink" },
  );
  const to = { name: "sink", node: receiver.name };
  const flow = async (self: Self): Promise<never> => {
    for (;;) {
      if (!self.send(to, new Uint8Array(10_000))) await self.drained(to);
      else await self.sleep(0);
    }
  };
  const flows = Array.from({ length: 10 }, () => sender.spawn(flow));
  await some.promise;
  const down = next(receiver, "nodeDown");
  await Promise.all([sender.close(), down]);
  expect(flows.map((pid) => sender.processInfo(pid))).toEqual(flows.map(() => undefined));
  expect(receiver.nodes()).toEqual([]);
  expect(sender.stats().links).toEqual([]);
});

const closingProgram = fileURLToPath(new URL("support/closing-program.mjs", import.meta.url));

test("a program ends by itself when its last node is closed, with nothing left in its event loop", async () => {
  expect(await runProgram(closingProgram)).toEqual({ code: 0, output: "sum 3\nleft []\n" });
});

test("nodes work in a worker thread, which ends by itself, too", async () => {
  const { code, output } = await runProgram(closingProgram, ["worker"]);
  expect(code).toBe(0);
  expect(output).toContain("sum 3\n");
  expect(output).toContain("worker ended with 0\n");
});
