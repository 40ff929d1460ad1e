// A node in an operating-system process of its own, for tests that stop or kill it. Argument: its options, as JSON.
import { MaculaNode, withSelf } from "../../../dist/index.js";

const options = JSON.parse(process.argv[2]);
const node = await MaculaNode.start(options);
node.exportModule("worker", {
  /** Waits for ever. */
  wait: withSelf((self) => self.receive(() => false)),
  /** Sends back what it gets. */
  echo: withSelf(async (self, to) => {
    for (;;) self.send(to, await self.receive());
  }),
  /** Says that it is called, and never answers. */
  hang: withSelf((self, to) => {
    self.send(to, "called");
    return self.receive();
  }),
  counters: () => ({ ...node.stats().processes.counters }),
});
// A parent that is gone leaves no node behind.
process.on("disconnect", () => process.exit());
process.send({ name: node.name });
