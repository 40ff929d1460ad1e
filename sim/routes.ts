import { Members } from "../src/ring/index.ts";
import { nodeIdFromBytes, type SimulatedNode, Simulation } from "../src/sim/index.ts";
import { Ledger } from "./ledger.ts";
import { percentile } from "./mesh.ts";
import { RoutesHost, type RoutesWatcher } from "./routes-host.ts";
import type { Scenario, ScenarioResult, ScenarioSetup } from "./scenario.ts";

type RoutesNode = SimulatedNode<RoutesHost>;

/** Members that each node is told of, as many as a routing table of 10,000 nodes can be filled from. */
const toldMax = 1_000;
const messages = 5_000;
const records = 50;

function run({ seed, nodes: count, log }: ScenarioSetup): ScenarioResult {
  const simulation = new Simulation({ seed, ...(log === undefined ? {} : { log }) });
  const ledger = new Ledger();
  const hops: number[] = [];
  const members = new Members();
  const watcher: RoutesWatcher = {
    addressOf: (id) => simulation.nodeOf(id)?.address ?? "nowhere:1",
    isMember: (id) => simulation.nodeOf(id) !== undefined,
    delivered: (by, from, message) => ledger.delivered(by, from, message),
    lost: (by, to) => ledger.down(by, to),
    forwarded: (by, to, payload) => ledger.forwarded(by, to, payload),
    arrived: (links) => void hops.push(links),
    directory: (by, output) => {
      if (output.type !== "send") ledger.directory(by, output);
    },
  };
  const nodes: RoutesNode[] = Array.from({ length: count }, () =>
    simulation.add({ create: (context) => new RoutesHost(context, watcher, members) }),
  );
  const pick = (): RoutesNode => nodes[simulation.random.integer(count)] as RoutesNode;
  for (const { id } of nodes) members.add(id);
  for (const node of nodes) {
    node.act((host, now) => {
      const told = count <= toldMax ? nodes : Array.from({ length: toldMax }, pick);
      for (const other of told) if (other !== node) host.member(other.id, true, now);
    });
  }
  simulation.run({ forMs: 10_000 });
  const keys = Array.from({ length: records }, () => nodeIdFromBytes(simulation.random.bytes(32)));
  for (const key of keys) {
    const value = Uint8Array.of(1);
    pick().act((host, now) =>
      host.directory({ type: "publish", kind: 1, key, value, ttlMs: 3_600_000 }, now),
    );
  }
  const gapMs = 40_000 / messages;
  for (let number = 0; number < messages; number++) {
    const [from, to] = [pick(), pick()];
    if (from !== to) from.act((host, now) => host.send(to.id, ledger.message(from.id, to.id), now));
    simulation.run({ forMs: gapMs });
  }
  for (const key of keys) pick().act((host, now) => host.directory({ type: "get", token: 1, key }, now));
  simulation.run({ forMs: 20_000 });
  return judge(simulation, ledger, nodes, hops);
}

function judge(
  simulation: Simulation,
  ledger: Ledger,
  nodes: readonly RoutesNode[],
  hops: readonly number[],
): ScenarioResult {
  const { sent, delivered } = ledger.count(() => true);
  const mean = hops.reduce((sum, each) => sum + each, 0) / hops.length;
  const most = percentile(hops, 1);
  const log = Math.log2(nodes.length);
  const degrees = nodes.map(({ host }) => host.links.size);
  const degree = degrees.reduce((sum, each) => sum + each, 0) / nodes.length;
  return {
    figures: {
      messages: sent,
      delivered,
      "hops, mean and most": `${mean.toFixed(2)}, ${most}`,
      "log2(n)": log.toFixed(2),
      "links, mean and most": `${degree.toFixed(1)}, ${percentile(degrees, 1)}`,
      "records found": `${ledger.found} of ${records}`,
    },
    failures: [
      delivered < sent && `${sent - delivered} of ${sent} messages did not arrive`,
      ledger.loops > 0 && `${ledger.loops} packets came to a node again`,
      ledger.disordered > 0 && `${ledger.disordered} messages arrived twice or out of order`,
      mean > log / 2 && `${mean.toFixed(2)} hops on average`,
      most > log + 2 && `${most} hops`,
      ledger.found < records && `only ${ledger.found} of ${records} records found`,
    ].filter((failure) => failure !== false),
    virtualMs: simulation.nowMs,
    events: simulation.eventsRun,
    digest: simulation.digest(),
  };
}

export const routes: Scenario = {
  about: "ring, directory and messages of nodes that are told who the members are",
  nodes: 10_000,
  run,
};
