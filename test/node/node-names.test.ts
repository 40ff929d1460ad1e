import { expect, test } from "vitest";
import { canonicalNodeName } from "../../src/base/node-name.ts";
import { MaculaNode } from "../../src/node/macula-node.ts";

test("a node name without its port means 4433, everywhere", () => {
  expect(canonicalNodeName("a@localhost")).toBe("a@localhost:4433");
  expect(canonicalNodeName("a@localhost:1")).toBe("a@localhost:1");
});

test("what is no node name is an error at once, thrown or rejected as the call does it", async () => {
  await using node = await MaculaNode.start({
    name: "node@localhost:0",
    cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu",
    stateDir: null,
    discovery: { mdns: false },
    host: "127.0.0.1",
  });
  const wrong = expect.objectContaining({ code: "CONFIGURATION" });
  const to = { name: "logger", node: "garbage" };
  expect(() => node.send(to, 1)).toThrow(wrong);
  expect(() => node.monitor(to)).toThrow(wrong);
  await expect(node.drained(to)).rejects.toThrow(wrong);
  await expect(node.rpc("garbage", "math", "add", [])).rejects.toThrow(wrong);
  await expect(node.spawnOn("garbage", "math", "add", [])).rejects.toThrow(wrong);
  await expect(node.connect("garbage")).rejects.toThrow(wrong);
});

test("a short name reaches the node that calls itself by the long one", async () => {
  await using node = await MaculaNode.start({
    name: "node@localhost",
    port: 0,
    cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu",
    stateDir: null,
    discovery: { mdns: false },
    host: "127.0.0.1",
  });
  expect(node.name).toBe("node@localhost:4433");
  const received = new Promise((resolve) => {
    node.spawn(async (self) => resolve(await self.receive()), { name: "logger" });
  });
  node.send({ name: "logger", node: "node@localhost" }, "hello");
  expect(await received).toBe("hello");
});
