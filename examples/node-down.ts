// What a node learns when another one goes away: its links and monitors say `noconnection`, and the node itself is told.
// Run: npm run build && npx tsx examples/node-down.ts
import { atom, format, MaculaNode, withSelf } from "macula";

const realm = { realm: "demo", cookie: "a long secret that both nodes share", stateDir: null };
await using watcher = await MaculaNode.start({ name: "watcher@localhost:0", ...realm });
const worker = await MaculaNode.start({ name: "worker@localhost:0", ...realm });
worker.exportModule("worker", { wait: withSelf((self) => self.receive()) });

watcher.on("nodeDown", ({ node, reason }) => console.log(`${node} is gone: ${reason}`));
const told = new Promise<void>((resolve) => {
  watcher.spawn(async (self) => {
    self.trapExit = true;
    await self.spawnOn(worker.name, "worker", "wait", [], { link: true, monitor: true });
    self.send(self.pid, atom("ready"));
    for (let count = 0; count < 3; count++) {
      const message = await self.receive();
      console.log(format(message));
      if (message === atom("ready")) void worker.close();
    }
    resolve();
  });
});
await told;
