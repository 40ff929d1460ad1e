import { expect, test } from "vitest";
import { atom, type Term, tuple } from "../../src/etf/index.ts";
import { next, run, start } from "./support/nodes.ts";

test("connect is true or false, as net_kernel:connect_node, and both sides list each other", async () => {
  const one = await start();
  const two = await start();
  const up = next(one, "nodeUp");
  expect(await two.connect(one.name)).toBe(true);
  expect(await up).toMatchObject({ node: two.name, nodeId: two.nodeId });
  expect(two.nodes()).toEqual([one.name]);
  expect(one.nodes()).toEqual([two.name]);
  expect(await two.connect("nobody@127.0.0.1:1")).toBe(false);
});

test("a message to a registered name of the other node keeps its types", async () => {
  const one = await start();
  const two = await start();
  const message = {
    any: "term",
    bytes: Uint8Array.of(65),
    list: [1, 2.5, 3n],
    nested: tuple(atom("ok"), null),
  };
  const received = new Promise<Term>((resolve) => {
    one.spawn(async (self) => resolve(await self.receive()), { name: "inbox" });
  });
  two.send({ name: "inbox", node: one.name }, message);
  expect(await received).toEqual({ ...message, list: [1, 2.5, 3] });
});

test("rpc gives the result, the remote error, or says what is not exported", async () => {
  const one = await start();
  const two = await start();
  one.exportModule("math", {
    add: (a: number, b: number) => a + b,
    fail: () => {
      throw new TypeError("not today");
    },
  });
  expect(await two.rpc(one.name, "math", "add", [1, 2], { timeoutMs: 5_000 })).toBe(3);
  await expect(two.rpc(one.name, "math", "fail", [])).rejects.toMatchObject({ code: "REMOTE" });
  await expect(two.rpc(one.name, "math", "divide", [])).rejects.toMatchObject({ code: "NOT_EXPORTED" });
});

test("ping tells why a node is not reached", async () => {
  const one = await start();
  const stranger = await start({ cookie: "another-cookie-altogether-47a1x" });
  const elsewhere = await start({ realm: "elsewhere" });
  expect((await one.ping(one.name)).rttMs).toBe(0);
  await expect(stranger.ping(one.name)).rejects.toMatchObject({ code: "WRONG_REALM" });
  await expect(elsewhere.ping(one.name)).rejects.toMatchObject({ code: "WRONG_REALM" });
  await expect(one.ping("nobody@127.0.0.1:1")).rejects.toMatchObject({ code: "REFUSED" });
});

test("closing a node tells the others, and may be called twice", async () => {
  const one = await start();
  const two = await start();
  await two.connect(one.name);
  const down = next(two, "nodeDown");
  await Promise.all([one.close(), one.close()]);
  expect(await down).toMatchObject({ node: one.name });
  expect(two.nodes()).toEqual([]);
});

test("whoever waits for an answer when the node is closed, or asks afterwards, gets CLOSED", async () => {
  const one = await start();
  one.exportModule("slow", { ever: () => new Promise(() => undefined) });
  const call = one.rpc(one.name, "slow", "ever", []);
  const outcome = expect(call).rejects.toMatchObject({ code: "CLOSED" });
  await one.close();
  await outcome;
  await expect(one.rpc(one.name, "slow", "ever", [])).rejects.toMatchObject({ code: "CLOSED" });
  expect(() => one.send("user", 1)).toThrow(expect.objectContaining({ code: "CLOSED" }));
  expect(() => one.spawn(() => undefined)).toThrow(expect.objectContaining({ code: "CLOSED" }));
  expect(one.processes()).toEqual([]);
});

test("a listener that throws, or rejects, is the event error and harms nobody", async () => {
  const one = await start();
  const errors: unknown[] = [];
  const both = new Promise<void>((resolve) => {
    one.on("error", (error) => {
      if (errors.push(error) === 2) resolve();
      // Is not told about itself.
      throw new Error("again");
    });
  });
  one.on("message", () => {
    throw new TypeError("at once");
  });
  one.on("message", async () => {
    throw new TypeError("later");
  });
  const received = next(one, "message");
  one.send(one.self.pid, "hello");
  expect(await received).toBe("hello");
  await both;
  expect(errors).toMatchObject([{ message: "at once" }, { message: "later" }]);
});

test("exit signals to the node itself are its event message; it has no mailbox", async () => {
  const one = await start();
  const received = next(one, "message");
  const from = one.spawn((self) => self.exit(one.self.pid, atom("why")));
  expect(await received).toEqual(tuple(atom("EXIT"), from, atom("why")));
  await expect(one.self.receive()).rejects.toMatchObject({ code: "UNSUPPORTED" });
});

test("a node set to two lanes grants its peers all they open", async () => {
  const narrow = await start({ name: "narrow@localhost:0", links: { lanesMax: 2 } });
  const wide = await start({ name: "wide@localhost:0" });
  const senders = 20;
  const received = run(
    narrow,
    async (self) => {
      const messages = new Set<Term>();
      while (messages.size < senders) messages.add(await self.receive());
      return messages.size;
    },
    { name: "inbox" },
  );
  // Each process has a lane of its own, of 128.
  for (let number = 0; number < senders; number++) {
    wide.spawn((self) => void self.send({ name: "inbox", node: narrow.name }, number));
  }
  expect(await received).toBe(senders);
  expect(narrow.stats().links[0]?.incomingStreams).toBeGreaterThan(2);
});
