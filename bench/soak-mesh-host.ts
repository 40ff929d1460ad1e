// One process of the mesh's soak: runs some of its nodes, and does what `bench/soak-mesh.ts` asks.
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { MaculaNode } from "../src/node/macula-node.ts";
import type { Answers, Ask, FromHost, Measure, NodeView, Told } from "./soak/messages.ts";
import { Talk } from "./soak/talk.ts";

interface Running {
  readonly node: MaculaNode;
  readonly talk: Talk;
}

const settings = { realm: "soak", cookie: "soak-5n7wq2hd8xkz3vtm9rfy4jcb6p", host: "127.0.0.1" };
const joinEveryMs = 500;
const nodes = new Map<string, Running>();

async function answer(ask: Ask): Promise<Answers[Ask["op"]]> {
  switch (ask.op) {
    case "start":
      return await start(ask);
    case "leave": {
      const { node, talk } = nodes.get(ask.name) as Running;
      nodes.delete(ask.name);
      talk.end();
      await node.close();
      return undefined;
    }
    case "talk":
      for (const { talk } of nodes.values()) talk.with(ask.peers);
      return undefined;
    case "callAll":
      return (await Promise.all(Array.from(nodes.values(), ({ talk }) => talk.callAll(ask.peers)))).flat();
    case "look":
      return Array.from(nodes.values(), look);
    case "measure":
      return await measure();
    default:
      return ask satisfies never;
  }
}

async function start({
  name,
  stateDir,
  bootstrap,
}: Extract<Ask, { op: "start" }>): Promise<Answers["start"]> {
  const node = await MaculaNode.start({
    ...settings,
    name,
    stateDir,
    beam: { attach: "off" },
    discovery: { mdns: false },
  });
  nodes.set(node.name, { node, talk: new Talk(node) });
  for (const type of ["memberUp", "memberSuspect", "memberDown", "memberChanged"] as const) {
    node.on(type, ({ id, state }) => tell({ type, by: node.name, at: Date.now(), id, state }));
  }
  node.on("nodeDown", (down) =>
    tell({ type: "nodeDown", by: node.name, at: Date.now(), node: down.node, reason: down.reason }),
  );
  if (bootstrap !== undefined) void join(node, bootstrap);
  return { name: node.name, id: node.nodeId };
}

async function join(node: MaculaNode, address: string): Promise<void> {
  while (nodes.has(node.name) && node.members().length === 1) {
    node.join(address);
    await sleep(joinEveryMs);
  }
}

function look({ node, talk }: Running): NodeView {
  const { links, mesh } = node.stats();
  return {
    name: node.name,
    id: node.nodeId,
    members: node.members(),
    routes: node.routes(),
    links: links.length,
    hops: mesh.counters.forwarder.forwarded,
    traffic: talk.view(),
  };
}

async function measure(): Promise<Measure> {
  // What finalizers let go of is collected in the next round.
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.();
    await sleep(100);
  }
  const { heapUsed, rss, external } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const stats = Array.from(nodes.values(), ({ node }) => node.stats());
  const sum = (of: (each: (typeof stats)[number]) => number): number =>
    stats.reduce((total, each) => total + of(each), 0);
  return {
    heapMB: heapUsed / 1e6,
    rssMB: rss / 1e6,
    externalMB: external / 1e6,
    descriptors: readdirSync("/proc/self/fd").length,
    resources: process.getActiveResourcesInfo().length,
    cpuSeconds: (user + system) / 1e6,
    members: sum(({ mesh: { members } }) => members.alive + members.suspect),
    links: sum(({ links }) => links.length),
    sessions: sum(({ sessions }) => sessions),
    peers: sum(({ known }) => known.peers),
    dialled: sum(({ known }) => known.dialled),
    channels: sum(({ mesh }) => mesh.sizes.channelPeers + mesh.sizes.incomingChannels),
    waitingBytes: sum(({ mesh }) => mesh.sizes.forwardBytes + mesh.sizes.reorderBytes),
    processes: sum(({ processes }) => processes.live),
  };
}

function tell(told: Told): void {
  say({ told });
}

function say(message: FromHost): void {
  // A parent that is gone is told nothing.
  if (process.connected) process.send?.(message, () => undefined);
}

process.on("message", (message) => {
  const { id, ask } = message as { readonly id: number; readonly ask: Ask };
  answer(ask).then(
    (result) => say({ id, answer: result }),
    (error: unknown) => say({ id, error: String(error) }),
  );
});
process.on("disconnect", () => process.exit());
