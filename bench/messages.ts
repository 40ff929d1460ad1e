import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { Pid, Term } from "../src/etf/index.ts";
import { monotonicNow } from "../src/io/clock.ts";
import { MaculaNode } from "../src/node/macula-node.ts";
import type { Self } from "../src/process/index.ts";
import type { BenchRow, BenchTable } from "./table.ts";

const settings = { realm: "bench", cookie: "bench-bench-bench-bench-bench-42", stateDir: null } as const;

interface Ready {
  readonly node: string;
  readonly tcpPort: number;
}

// --- The other operating-system process ---

async function serve(): Promise<void> {
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
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("data", (bytes) => socket.write(bytes));
  });
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as { port: number };
    process.send?.({ node: node.name, tcpPort: port } satisfies Ready);
  });
  process.on("message", () => process.send?.(process.memoryUsage().rss));
  process.on("disconnect", () => process.exit(0));
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

// --- The measuring ---

/** Sends `total` messages from `senders` processes; seconds until the receiver has them all. */
async function flood(
  node: MaculaNode,
  peer: string,
  to: string,
  message: Term,
  total: number,
  senders: number,
) {
  const target = { name: to, node: peer };
  return await new Promise<number>((resolve) => {
    node.spawn(async (self) => {
      const start = monotonicNow();
      const each = Math.floor(total / senders);
      // The receiver must know the number before the first message: they come over different streams.
      self.send(target, [self.pid, each * senders]);
      if (senders > 1) await self.sleep(50);
      const begin = senders > 1 ? monotonicNow() : start;
      const send = async (sender: Self): Promise<void> => {
        for (let sent = 0; sent < each; sent++) {
          if (!sender.send(target, message)) await sender.drained(target);
        }
      };
      if (senders === 1) await send(self);
      else for (let index = 0; index < senders; index++) self.spawn(send);
      await self.receive();
      resolve((monotonicNow() - begin) / 1_000);
    });
  });
}

/** Median round trip of a 100-byte message, milliseconds. */
async function roundTrip(node: MaculaNode, peer: string, rounds: number): Promise<number> {
  const target = { name: "echo", node: peer };
  return await new Promise<number>((resolve) => {
    node.spawn(async (self) => {
      const message = new Uint8Array(100);
      const times: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const start = monotonicNow();
        self.send(target, [self.pid, message]);
        await self.receive();
        times.push(monotonicNow() - start);
      }
      resolve(median(times));
    });
  });
}

async function tcpRoundTrip(port: number, rounds: number): Promise<number> {
  const socket: Socket = connectTcp(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  const message = new Uint8Array(100);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = monotonicNow();
    socket.write(message);
    await once(socket, "data");
    times.push(monotonicNow() - start);
  }
  socket.destroy();
  return median(times);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function medianOf5(measure: () => Promise<number>): Promise<number> {
  const values: number[] = [];
  for (let round = 0; round < 5; round++) values.push(await measure());
  return median(values);
}

async function rssOf(child: ChildProcess): Promise<number> {
  child.send("rss");
  const [rss] = (await once(child, "message")) as [number];
  return rss;
}

/** The largest resident set of both processes while `work` runs, bytes. */
async function peakMemory(child: ChildProcess, work: Promise<unknown>): Promise<[number, number]> {
  const state = { running: true };
  const peak: [number, number] = [0, 0];
  const finished = work.finally(() => {
    state.running = false;
  });
  while (state.running) {
    peak[0] = Math.max(peak[0], process.memoryUsage().rss);
    peak[1] = Math.max(peak[1], await rssOf(child));
    await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  await finished;
  return peak;
}

const mebibyte = 1_048_576;

export async function run(): Promise<BenchTable> {
  const child = fork(fileURLToPath(import.meta.url), ["serve"]);
  const [{ node: peer, tcpPort }] = (await once(child, "message")) as [Ready];
  const node = await MaculaNode.start({ name: "sender@localhost:0", ...settings });
  try {
    if (!(await node.connect(peer))) throw new Error("no link to the other process");
    return {
      title: "Messages between two operating-system processes",
      rows: await measure(node, peer, tcpPort, child),
    };
  } finally {
    child.disconnect();
    await node.close();
  }
}

async function measure(
  node: MaculaNode,
  peer: string,
  tcpPort: number,
  child: ChildProcess,
): Promise<BenchRow[]> {
  const small = new Uint8Array(100);
  // Warm up, so that the compiler has seen it all.
  await flood(node, peer, "count", small, 100_000, 1);
  const one = await medianOf5(async () => 300_000 / (await flood(node, peer, "count", small, 300_000, 1)));
  const many = await medianOf5(async () => 300_000 / (await flood(node, peer, "count", small, 300_000, 16)));
  await roundTrip(node, peer, 1_000);
  const trip = await medianOf5(() => roundTrip(node, peer, 2_000));
  const tcp = await medianOf5(() => tcpRoundTrip(tcpPort, 2_000));
  const rows: BenchRow[] = [
    {
      name: "100-byte messages, 1 sender",
      figures: { "messages/s": Math.round(one) },
      target: ">= 500,000/s",
      met: one >= 500_000,
    },
    {
      name: "100-byte messages, 16 senders",
      figures: { "messages/s": Math.round(many) },
      target: ">= 1 sender",
      met: many >= one,
    },
    {
      name: "round trip of 100 bytes, p50",
      figures: { µs: Math.round(trip * 1_000), "TCP µs": Math.round(tcp * 1_000) },
      target: "<= 2.2 x TCP",
      met: trip <= 2.2 * tcp,
    },
  ];
  for (const [name, bytes, total] of [
    ["64 KiB binaries", 65_536, 4_000],
    ["1 MiB binaries", mebibyte, 300],
  ] as const) {
    const message = new Uint8Array(bytes);
    const rate = await medianOf5(
      async () => (total * bytes) / (await flood(node, peer, "count", message, total, 1)) / 1e6,
    );
    rows.push({ name, figures: { "MB/s": Math.round(rate) } });
  }
  const [here, there] = await peakMemory(child, flood(node, peer, "slow", small, 1_000_000, 1));
  rows.push({
    name: "1,000,000 messages to a slow receiver",
    figures: { "sender peak MB": Math.round(here / 1e6), "receiver peak MB": Math.round(there / 1e6) },
    target: "memory bounded",
  });
  return rows;
}

if (process.argv[2] === "serve") await serve();
else if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { printTable } = await import("./table.ts");
  printTable(await run());
}
