// A receiver that is slower than its sender: `send` says when to wait, so that neither side's memory grows.
// Run: npm run build && npx tsx examples/slow-receiver.ts
import { is, MaculaNode } from "macula";

const count = 100_000;
const realm = { realm: "demo", cookie: "a long secret that both nodes share", stateDir: null };
await using one = await MaculaNode.start({ name: "one@localhost:0", ...realm });
await using two = await MaculaNode.start({ name: "two@localhost:0", ...realm });

const received = new Promise<boolean>((resolve) => {
  one.spawn(
    async (self) => {
      let inOrder = true;
      for (let expected = 0; expected < count; expected++) {
        const number = await self.receive(is.number);
        inOrder &&= number === expected;
        if (expected % 10_000 === 0) await self.sleep(20);
      }
      resolve(inOrder);
    },
    { name: "slow" },
  );
});

let waited = 0;
const slow = { name: "slow", node: one.name };
for (let number = 0; number < count; number++) {
  if (two.send(slow, number)) continue;
  waited++;
  await two.drained(slow);
}
console.log(`${count} sent, waited ${waited} times`);
console.log(`${count} received, ${(await received) ? "in order" : "out of order"}`);
