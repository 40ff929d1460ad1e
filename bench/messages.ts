import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Term } from "../src/etf/index.ts";
import { monotonicNow } from "../src/io/clock.ts";
import { MaculaNode } from "../src/node/macula-node.ts";
import type { Self } from "../src/process/index.ts";
import { TestRealm } from "../test/quic/support/certificates.ts";
import { BareClient, type BareSetup } from "./support/bare-engine.ts";
import { askersP99, lossP99, stall } from "./support/isolation.ts";
import { type Ready, servePeer, settings } from "./support/message-peer.ts";
import { median, mediansOf5 } from "./support/numbers.ts";
import { tcpRoundTrip } from "./support/plain-tcp.ts";
import type { BenchRow, BenchTable } from "./table.ts";

/** Both ends of what is measured. */
interface Pair {
  readonly node: MaculaNode;
  readonly peer: string;
  readonly bare: BareClient;
  readonly tcpPort: number;
  readonly child: ChildProcess;
  readonly realm: TestRealm;
}

/** Sends `total` messages from `senders` processes; messages per second until the receiver has them all. */
async function flood(
  { node, peer }: Pair,
  to: string,
  message: Term,
  total: number,
  senders: number,
): Promise<number> {
  const target = { name: to, node: peer };
  const each = Math.floor(total / senders);
  return await new Promise<number>((resolve) => {
    node.spawn(async (self) => {
      // The receiver must know the number before the first message: they come over different streams.
      self.send(target, [self.pid, each * senders]);
      await self.sleep(50);
      const begin = monotonicNow();
      const send = async (sender: Self): Promise<void> => {
        for (let sent = 0; sent < each; sent++) {
          if (!sender.send(target, message)) await sender.drained(target);
        }
      };
      for (let index = 0; index < senders; index++) self.spawn(send);
      await self.receive();
      resolve((each * senders) / ((monotonicNow() - begin) / 1_000));
    });
  });
}

/** Median round trip of a 100-byte message, milliseconds. */
async function roundTrip({ node, peer }: Pair, rounds: number): Promise<number> {
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

const small = new Uint8Array(100);
const mebibyte = 1_048_576;

async function smallMessages(pair: Pair): Promise<BenchRow[]> {
  const { one, many } = await mediansOf5({
    one: () => flood(pair, "count", small, 300_000, 1),
    many: () => flood(pair, "count", small, 300_000, 16),
  });
  return [
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
  ];
}

async function roundTrips(pair: Pair): Promise<BenchRow> {
  const rounds = 2_000;
  const { messages, bare, tcp } = await mediansOf5({
    messages: () => roundTrip(pair, rounds),
    bare: () => pair.bare.roundTrip(rounds),
    tcp: () => tcpRoundTrip(pair.tcpPort, rounds),
  });
  const micros = (ms: number): number => Math.round(ms * 1_000);
  return {
    name: "round trip of 100 bytes, p50",
    figures: { µs: micros(messages), "bare µs": micros(bare), "TCP µs": micros(tcp) },
    target: "<= 2.2 x TCP, <= 1.3 x bare",
    met: messages <= 2.2 * tcp && messages <= 1.3 * bare,
  };
}

async function binaries(pair: Pair, name: string, bytes: number, total: number): Promise<BenchRow> {
  const message = new Uint8Array(bytes);
  const { messages, bare } = await mediansOf5({
    messages: async () => ((await flood(pair, "count", message, total, 1)) * bytes) / 1e6,
    bare: () => pair.bare.throughput(bytes, total),
  });
  return {
    name,
    figures: { "MB/s": Math.round(messages), "bare MB/s": Math.round(bare) },
    target: ">= 0.8 x bare",
    met: messages >= 0.8 * bare,
  };
}

async function rssOf(child: ChildProcess, order: "rss" | "collect"): Promise<number> {
  child.send(order);
  const [rss] = (await once(child, "message")) as [number];
  return rss;
}

/** How much the resident sets of both processes grow while `work` runs, at the most, bytes. */
async function memoryGrowth(child: ChildProcess, work: () => Promise<unknown>): Promise<[number, number]> {
  const state = { running: true };
  globalThis.gc?.();
  const idle = [process.memoryUsage().rss, await rssOf(child, "collect")] as const;
  const peak: [number, number] = [...idle];
  const finished = work().finally(() => {
    state.running = false;
  });
  while (state.running) {
    peak[0] = Math.max(peak[0], process.memoryUsage().rss);
    peak[1] = Math.max(peak[1], await rssOf(child, "rss"));
    await Promise.race([finished, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  await finished;
  return [peak[0] - idle[0], peak[1] - idle[1]];
}

/**
 * What may wait on one lane, with the defaults of node and engine, bytes. Sender: the lane's high-water mark and the
 * engine's send window. Receiver: the stream's window, a read of it, and 10,000 messages in the mailbox at their size
 * on the wire and about 300 bytes of objects each. Resident sets grow by that and by garbage not yet collected.
 */
const queuedBound = {
  sender: mebibyte + 8 * mebibyte,
  receiver: 4 * mebibyte + 262_144 + 10_512 * (175 + 300),
};

async function slowReceiver(pair: Pair): Promise<BenchRow> {
  const [here, there] = await memoryGrowth(pair.child, () => flood(pair, "slow", small, 1_000_000, 1));
  return {
    name: "1,000,000 messages to a slow receiver",
    figures: { "sender grew MB": Math.round(here / 1e6), "receiver grew MB": Math.round(there / 1e6) },
    target: `queued <= ${Math.ceil(queuedBound.sender / 1e6)} and ${Math.ceil(queuedBound.receiver / 1e6)} MB`,
  };
}

const perSender = 200;

async function stalledStream({ node, peer }: Pair): Promise<BenchRow> {
  const ask = () => askersP99(node, peer, perSender);
  await ask();
  const { before } = await mediansOf5({ before: ask });
  const release = await stall(node, peer);
  const { during } = await mediansOf5({ during: ask });
  release();
  return {
    name: "p99 of 8 askers while one lane is stalled",
    figures: { "p99 ms": during.toFixed(2), "else ms": before.toFixed(2) },
    target: "unchanged within noise",
  };
}

async function lossOnOneStream({ realm }: Pair): Promise<BenchRow> {
  const none = await lossP99(realm, { lost: false, multiplexed: false });
  const own = await lossP99(realm, { lost: true, multiplexed: false });
  const shared = await lossP99(realm, { lost: true, multiplexed: true });
  return {
    name: "p99 of 15 streams, 1 % loss on a 16th",
    figures: { "p99 ms": own.toFixed(2), "else ms": none.toFixed(2), "one stream ms": shared.toFixed(2) },
    target: "unchanged within noise",
  };
}

const parts: Readonly<Record<string, (pair: Pair) => Promise<BenchRow[]>>> = {
  // First, while the processes are young: what later parts leave behind would hide its growth.
  slow: async (pair) => [await slowReceiver(pair)],
  small: smallMessages,
  trip: async (pair) => [await roundTrips(pair)],
  binaries: async (pair) => [
    await binaries(pair, "64 KiB binaries", 65_536, 4_000),
    await binaries(pair, "1 MiB binaries", mebibyte, 300),
  ],
  stall: async (pair) => [await stalledStream(pair)],
  loss: async (pair) => [await lossOnOneStream(pair)],
};

/** @param names of the parts wanted; all by default. */
export async function run(names: readonly string[] = Object.keys(parts)): Promise<BenchTable> {
  const realm = await TestRealm.create();
  const [there, here] = await Promise.all([realm.issue(), realm.issue()]);
  const child = fork(fileURLToPath(import.meta.url), ["serve"], { serialization: "advanced" });
  child.send({ identity: there.identity, trust: realm.trust } satisfies BareSetup);
  const [{ node: peer, tcpPort, barePort }] = (await once(child, "message")) as [Ready];
  const node = await MaculaNode.start({ name: "sender@localhost:0", ...settings });
  const bare = await BareClient.connect({ identity: here.identity, trust: realm.trust }, barePort);
  try {
    if (!(await node.connect(peer))) throw new Error("no link to the other process");
    const pair = { node, peer, bare, tcpPort, child, realm };
    // So that the compiler has seen it all.
    await flood(pair, "count", small, 100_000, 1);
    await roundTrip(pair, 1_000);
    const rows: BenchRow[] = [];
    for (const name of names) rows.push(...((await parts[name]?.(pair)) ?? []));
    return { title: "Messages between two operating-system processes", rows };
  } finally {
    child.disconnect();
    await Promise.all([node.close(), bare.close()]);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === "serve") {
    process.once("message", (setup: BareSetup) => void servePeer(setup));
  } else {
    const { printTable } = await import("./table.ts");
    printTable(await run(process.argv.length > 2 ? process.argv.slice(2) : undefined));
  }
}
