import { expect, test } from "vitest";
import type { Pid } from "../../src/etf/index.ts";
import { run, start } from "./support/nodes.ts";

test("DESIGN §5: many stalled streams together delay nobody else", async () => {
  const [one, two] = [await start(), await start()];
  await two.connect(one.name);
  const slow: Pid[] = [];
  for (let index = 0; index < 40; index++) {
    // It waits for something else than messages, so that its mailbox fills and its stream stands still.
    slow.push(one.spawn((self) => new Promise((resolve) => self.onExit(resolve)), { mailboxHighWater: 2 }));
  }
  const piece = new Uint8Array(65_536);
  // More than a stream's window holds, so that each of the 40 lanes stands still with the window full.
  const stalled = slow.map((pid) =>
    run(two, (self) => {
      for (let count = 0; count < 64; count++) self.send(pid, piece);
    }),
  );
  await Promise.all(stalled);
  one.exportModule("math", { add: (a: number, b: number) => a + b });
  expect(await run(two, (self) => self.rpc(one.name, "math", "add", [1, 2]))).toBe(3);
});
