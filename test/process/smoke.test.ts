import { expect, test } from "vitest";
import { at } from "../../src/base/time.ts";
import { ProcessRuntime } from "../../src/process/index.ts";
test("smoke", async () => {
  const rt = new ProcessRuntime({ node: "a@h:1", creation: 1, sink: { send: () => true }, clock: () => at(0), wake: () => undefined });
  const got = await new Promise((resolve) => {
    const echo = rt.spawn(async (self) => {
      for (;;) resolve(await self.receive());
    });
    rt.send(echo, "hello");
  });
  expect(got).toBe("hello");
});
