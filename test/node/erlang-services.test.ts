import { expect, test } from "vitest";
import { GlobalNameServer } from "../../src/erlang/services/global.ts";
import { atom, type Pid, type Term, tuple } from "../../src/etf/index.ts";
import { GenServer } from "../../src/process/index.ts";
import { start } from "./support/nodes.ts";

test("global: one lock that many hold is bounded as many locks are, and there is room when holders are gone", async () => {
  const node = await start();
  const names = { nameFor: String, nodeOf: () => undefined };
  const global = await GenServer.start(node.self, GlobalNameServer, [names]);
  const release: Pid[] = [];
  const hold = (lock: Term): Promise<Term> =>
    new Promise((resolve, reject) => {
      const pid = node.spawn(async (self) => {
        GenServer.call(self, global, tuple(atom("set_lock"), tuple(lock, "us")), {
          timeoutMs: 60_000,
        }).then(resolve, reject);
        await self.receive();
      });
      release.push(pid);
    });
  const answers = await Promise.all(Array.from({ length: 1_001 }, () => hold("one")));
  expect(answers.filter((answer) => answer === true)).toHaveLength(1_000);
  expect(await hold("other")).toBe(false);
  node.send(release[0] as Pid, "end");
  await expect.poll(() => hold("other")).toBe(true);
});
