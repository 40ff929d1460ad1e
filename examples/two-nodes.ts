// Two nodes find each other, call functions and send messages. Here in one program; usually on two machines.
// Run: npm run build && npx tsx examples/two-nodes.ts
import { atom, format, MaculaNode, tuple } from "macula";

const realm = { realm: "demo", cookie: "a long secret that both nodes share", stateDir: null };
await using node1 = await MaculaNode.start({
  name: "node1@localhost:0",
  ...realm,
  print: (text) => process.stdout.write(text),
});
await using node2 = await MaculaNode.start({ name: "node2@localhost:0", ...realm });

node1.exportModule("math", { add: (a: number, b: number) => a + b });
const logged = new Promise<void>((resolve) => {
  const logger = node1.spawn(async (self) => {
    const message = await self.receive({ timeoutMs: 5_000 });
    await self.print(`logger got ${format(message)}\n`);
    resolve();
  });
  node1.registerName("logger", logger);
});

console.log("connected:", await node2.connect(node1.name), node2.nodes());
console.log("1 + 2 =", await node2.rpc(node1.name, "math", "add", [1, 2], { timeoutMs: 1_000 }));
node2.send({ name: "logger", node: node1.name }, tuple(atom("hello"), atom("node2")));
await logged;
