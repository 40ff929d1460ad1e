// A node calls functions that another one exports, and starts processes there. Code never travels.
// Run: npm run build && npx tsx examples/call-and-spawn.ts
import { is, MaculaNode, type MeshError, type Pid, withSelf } from "macula";

const realm = { realm: "demo", cookie: "a long secret that both nodes share", stateDir: null };
await using server = await MaculaNode.start({ name: "server@localhost:0", ...realm });
await using client = await MaculaNode.start({ name: "client@localhost:0", ...realm });

server.exportModule("math", {
  add: (a: number, b: number) => a + b,
  divide: (a: number, b: number) => {
    if (b === 0) throw new RangeError("by zero");
    return a / b;
  },
});
server.exportModule("worker", {
  /** A process: it gets `self` before its arguments. */
  introduce: withSelf((self, to: Pid, number: number) => self.send(to, `worker ${number} on ${self.node}`)),
});

console.log("1 + 2 =", await client.rpc(server.name, "math", "add", [1, 2]));
await client.rpc(server.name, "math", "divide", [1, 0]).catch(({ cause }: MeshError) => {
  console.log("the other side:", String(cause));
});

const introduced = new Promise<string>((resolve) => {
  client.spawn(async (self) => {
    await self.spawnOn(server.name, "worker", "introduce", [self.pid, 7], { link: true });
    resolve(await self.receive(is.string));
  });
});
console.log(await introduced);
