import { atom, format, Pid, Tuple, tuple } from "../../etf/index.ts";
import { createLog } from "../../node/log.ts";
import { MaculaNode } from "../../node/macula-node.ts";
import { type Self, withSelf } from "../../process/index.ts";
import type { FromNode1 } from "./messages.ts";

/*
 * The demo's first node, in a process of its own: started with its name as argument, realm and cookie in the
 * environment. It tells its parent what happens here, so that the parent need not believe itself alone.
 */

const tell = (message: FromNode1): void => void process.send?.(message);

const node = await MaculaNode.start({
  name: process.argv[2] ?? "",
  realm: process.env["MACULA_REALM"] ?? "",
  cookie: process.env["MACULA_COOKIE"] ?? "",
  stateDir: null,
  discovery: { mdns: false },
  logger: createLog({ level: "warn" }),
});

/** Answers `{hello, From, Node}` with `{welcome, node1}`. */
async function greet(self: Self): Promise<never> {
  for (;;) {
    const message = await self.receive();
    if (!(message instanceof Tuple)) continue;
    const [hello, from, name] = message.elements;
    if (hello !== atom("hello") || !(from instanceof Pid)) continue;
    tell({ type: "greeted", from: from.toString(), name: format(name) });
    self.send(from, tuple(atom("welcome"), atom("node1")));
  }
}

node.registerName("greeter", node.spawn(greet));
node.exportModule("worker", {
  /** Says where it runs, then waits for ever. */
  run: withSelf(async (self: Self, boss: Pid, number: number) => {
    tell({ type: "spawned", pid: self.pid.toString(), number });
    self.send(boss, tuple(atom("working"), self.pid, process.pid, number * 2));
    for (;;) await self.receive();
  }),
});
// A parent that is gone leaves no node behind.
process.on("disconnect", () => process.exit(0));
tell({ type: "ready", name: node.name, nodeId: node.nodeId, pid: process.pid });
