// Processes of one node: messages and patterns.
// Run: npm run build && npx tsx examples/processes.ts
import { atom, is, MaculaNode, tuple } from "macula";

await using node = await MaculaNode.start({
  name: "examples@localhost:0",
  stateDir: null,
  print: (text) => process.stdout.write(text),
});

// Waits for messages of one shape, and answers each.
const doubler = node.spawn(async (self) => {
  for (;;) {
    const [, from, number] = (await self.receive(tuple(atom("double"), is.pid, is.number))).elements;
    self.send(from, Number(number) * 2);
  }
});

await new Promise<void>((resolve) => {
  node.spawn(async (self) => {
    self.send(doubler, tuple(atom("double"), self.pid, 21));
    await self.print(`21 doubled is ${await self.receive(is.number, { timeoutMs: 1_000 })}\n`);
    resolve();
  });
});
