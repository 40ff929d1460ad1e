import { afterEach } from "vitest";
import { MaculaNode, type MaculaNodeEvents, type MaculaNodeOptions } from "../../../src/node/macula-node.ts";
import type { Self, SpawnOptions } from "../../../src/process/index.ts";

/** What the nodes of all tests share. */
export const realm = { realm: "test", cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu" } as const;

const open: MaculaNode[] = [];

/** A node on a free port of the loopback, closed when the test is over. */
export async function start(options: Partial<MaculaNodeOptions> = {}): Promise<MaculaNode> {
  const node = await MaculaNode.start({
    name: "node@localhost:0",
    ...realm,
    stateDir: null,
    host: "127.0.0.1",
    // Tests that run at the same time must not find each other's nodes.
    discovery: { mdns: false },
    ...options,
  });
  open.push(node);
  return node;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.close()));
});

/** The next event of this kind. */
export function next<Name extends keyof MaculaNodeEvents>(
  node: MaculaNode,
  event: Name,
): Promise<MaculaNodeEvents[Name]> {
  return new Promise((resolve) => {
    const off = node.on(event, (news) => {
      off();
      resolve(news);
    });
  });
}

/** Runs `body` as a process of `node`; resolves with what it returns, rejects with what it throws. */
export function run<Result>(
  node: MaculaNode,
  body: (self: Self) => Result | Promise<Result>,
  options?: SpawnOptions,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    node.spawn(async (self) => {
      try {
        resolve(await body(self));
      } catch (thrown) {
        reject(thrown);
      }
    }, options);
  });
}

/** A promise and what settles it. */
export function deferred<Value = void>(): {
  readonly promise: Promise<Value>;
  readonly resolve: (value: Value) => void;
} {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
