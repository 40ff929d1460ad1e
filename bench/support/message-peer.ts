// The other operating-system process of bench/messages.ts: a node, the bare engine and plain TCP.
import type { Pid, Term } from "../../src/etf/index.ts";
import { MaculaNode } from "../../src/node/macula-node.ts";
import type { Self } from "../../src/process/index.ts";
import { type BareSetup, serveBare } from "./bare-engine.ts";
import { serveTcp } from "./plain-tcp.ts";

export const settings = {
  realm: "bench",
  cookie: "bench-bench-bench-bench-bench-42",
  stateDir: null,
  discovery: { mdns: false },
} as const;

export interface Ready {
  readonly node: string;
  readonly tcpPort: number;
  readonly barePort: number;
}

export async function servePeer(bare: BareSetup): Promise<void> {
  const node = await MaculaNode.start({ name: "receiver@localhost:0", ...settings });
  node.registerName("echo", node.spawn(echo));
  node.registerName(
    "count",
    node.spawn((self) => count(self, 0)),
  );
  node.registerName(
    "slow",
    node.spawn((self) => count(self, 10)),
  );
  node.registerName("stuck", node.spawn(stuck));
  const [barePort, tcpPort] = [await serveBare(bare), await serveTcp()];
  process.on("message", (order) => {
    if (order === "collect") globalThis.gc?.();
    process.send?.(process.memoryUsage().rss);
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.({ node: node.name, tcpPort, barePort } satisfies Ready);
}

async function echo(self: Self): Promise<void> {
  for (;;) {
    const [from, message] = (await self.receive()) as [Pid, Term];
    self.send(from, message);
  }
}

/** Takes `[from, n]`, then n messages of anything, then tells `from`. Rests `restMs` after each 1,000. */
async function count(self: Self, restMs: number): Promise<void> {
  for (;;) {
    const [from, expected] = (await self.receive()) as [Pid, number];
    for (let received = 0; received < expected; received++) {
      await self.receive();
      if (restMs > 0 && received % 1_000 === 999) await self.sleep(restMs);
    }
    self.send(from, "done");
  }
}

/** Takes one message every 100 ms. */
async function stuck(self: Self): Promise<void> {
  for (;;) {
    await self.sleep(100);
    await self.receive();
  }
}
