import { expect, test } from "vitest";
import { atom, type Term, tuple } from "../../src/etf/index.ts";
import { next, start } from "./support/nodes.ts";

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
