// What a node costs that does nothing: 1,000 links in one process, and one node with one link.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { monotonicNow } from "../src/io/clock.ts";
import { coreCrypto } from "../src/io/crypto.ts";
import { systemRandom } from "../src/io/random.ts";
import { Links } from "../src/node/links/index.ts";
import { MaculaNode } from "../src/node/macula-node.ts";
import { openParts } from "../src/node/parts.ts";
import type { BenchTable } from "./table.ts";

const linksCount = 1_000;
const idleSeconds = 20;
const settings = {
  realm: "bench",
  cookie: "bench-8vq2mfx0z7wjr4t6nklp5hd3",
  stateDir: null,
  discovery: { mdns: false },
  host: "127.0.0.1",
};

/** Resident memory after a thorough collection, bytes. */
async function settledMemory(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await sleep(200);
  }
  return process.memoryUsage().rss;
}

/** A node of nothing but links: a thousand whole ones would make a mesh. */
interface Bare {
  readonly name: string;
  readonly links: Links;
  close(): Promise<void>;
}

async function bare(name: string): Promise<Bare> {
  const parts = await openParts({ ...settings, name });
  const { endpoint, identity, stopRenewal } = parts;
  const links = new Links({
    endpoint,
    nodeId: identity.nodeId,
    name: parts.name,
    creation: 1,
    crypto: coreCrypto(identity.privateKey),
    random: systemRandom,
    clock: monotonicNow,
    deliver: () => {},
  });
  endpoint.onConnection = (connection) => links.onConnection(connection);
  const close = async (): Promise<void> => {
    stopRenewal();
    await links.close();
    await endpoint.close();
  };
  return { name: parts.name, links, close };
}

/** Both ends of `linksCount` links live in this process: the hub's and those of as many small nodes. */
async function links(): Promise<{ bytesPerLink: number; cpuMsPerLink: number; idleCpuShare: number }> {
  const hub = await bare("hub@localhost:0");
  const nodes: Bare[] = [];
  for (let index = 0; index < linksCount; index++) nodes.push(await bare(`leaf${index}@localhost:0`));
  const before = await settledMemory();
  const cpu = process.cpuUsage();
  for (const node of nodes) await node.links.connect(hub.name);
  const { user, system } = process.cpuUsage(cpu);
  const after = await settledMemory();
  const made = hub.links.connected().length;
  if (made !== linksCount) throw new Error(`${made} links instead of ${linksCount}`);
  const idle = process.cpuUsage();
  await sleep(idleSeconds * 1_000);
  const used = process.cpuUsage(idle);
  const idleCpuShare = (used.user + used.system) / 1e6 / idleSeconds;
  await Promise.all([...nodes, hub].map((node) => node.close()));
  const cpuMsPerLink = (user + system) / 1_000 / linksCount;
  return { bytesPerLink: (after - before) / linksCount, cpuMsPerLink, idleCpuShare };
}

/** User and system time of a process, milliseconds, and its resident memory, bytes (proc_pid_stat(5), 100 ticks a second). */
function usage(pid: number): { cpuMs: number; rss: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rss: Number(fields[21]) * 4_096 };
}

async function idleNode(): Promise<{ rss: number; cpuShare: number }> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ["child"], { execArgv: [] });
  const peer = await MaculaNode.start({ ...settings, name: "peer@localhost:0" });
  try {
    const [name] = (await once(child, "message")) as [string];
    if (!(await peer.connect(name))) throw new Error("the idle node is not reached");
    await sleep(3_000);
    const before = usage(child.pid as number);
    await sleep(idleSeconds * 1_000);
    const after = usage(child.pid as number);
    return { rss: after.rss, cpuShare: (after.cpuMs - before.cpuMs) / (idleSeconds * 1_000) };
  } finally {
    child.kill("SIGKILL");
    await peer.close();
  }
}

export async function run(): Promise<BenchTable> {
  const node = await idleNode();
  const many = await links();
  return {
    title: "Idle",
    rows: [
      {
        name: "idle node with one link",
        figures: { "memory MB": round(node.rss / 1e6), "CPU % of a core": round(node.cpuShare * 100) },
        target: "< 100 MB, < 1 %",
        met: node.rss < 100e6 && node.cpuShare < 0.01,
      },
      {
        name: `${linksCount} idle links, both ends in one process`,
        figures: {
          "KB per link": round(many.bytesPerLink / 1e3),
          "handshake CPU ms": round(many.cpuMsPerLink),
          "CPU % of a core while idle": round(many.idleCpuShare * 100),
        },
        target: "< 100 KB, < 3 ms",
        met: many.bytesPerLink < 100e3 && many.cpuMsPerLink < 3,
      },
    ],
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

if (process.argv[2] === "child") {
  const node = await MaculaNode.start({ ...settings, name: "idle@localhost:0" });
  process.send?.(node.name);
}
