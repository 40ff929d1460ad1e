import type { NodeId } from "../src/sim/index.ts";
import { type MeshKind, membershipScenarios, meshOf, milliseconds, resultOf } from "./membership.ts";
import type { Scenario, ScenarioResult, ScenarioSetup } from "./scenario.ts";
import { WholeMesh } from "./whole-mesh.ts";

/** What is promised of the whole mesh: docs/routing.md. */
const promises = { delivered: 0.999, found: 0.999, hopsMax: 40 };

const kind: MeshKind<WholeMesh> = {
  make: (setup) => new WholeMesh(setup),
  settled: (mesh) => mesh.measure(),
  crashesMax: 25,
  // Half of all ways lead through the other side until links are found to be dead.
  mayErrWhenParted: true,
  isWhole: (mesh) => mesh.isRingWhole(),
  figures: (mesh) => {
    const rates = mesh.rates();
    const own = rates.probesDirect + rates.probesForwarded;
    const rest = rates.exchanges + rates.ring + rates.directory + rates.sessions;
    return {
      "own probes per node and second": `${own.toFixed(3)}, ${rates.probesForwarded.toFixed(3)} of them by others`,
      "own other frames per node and second": rest.toFixed(3),
      "frames passed on per node and second": rates.passed.toFixed(3),
      links: WholeMesh.summary(mesh.degrees()),
      "links wanted": WholeMesh.summary(mesh.running().map(({ host }) => host.mesh.ring.wanted.size)),
      "most hops of a packet": mesh.ledger.hopsMax,
    };
  },
  failures: (mesh) => {
    const { loops, disordered, hopsMax } = mesh.ledger;
    const excess = mesh.excess();
    return [
      loops > 0 && `${loops} packets came to a node again`,
      disordered > 0 && `${disordered} messages arrived twice or out of order`,
      hopsMax > promises.hopsMax && `a packet went over ${hopsMax} links`,
      excess > 0 && `${excess} nodes want more links than six and one for each bucket`,
    ].filter((failure) => failure !== false);
  },
};

/** How many links a packet crosses. */
function hops(setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup);
  mesh.simulation.run({ forMs: 70_000 });
  const counts = mesh.traceHops(2_000);
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const most = Math.max(...counts);
  const log = Math.log2(setup.nodes);
  return resultOf(kind, mesh, { hops: WholeMesh.summary(counts), "log2(n)": log.toFixed(2) }, [
    mean > log / 2 && `${mean.toFixed(2)} hops on average, ${(log / 2).toFixed(2)} are promised`,
    most > log + 2 && `${most} hops, at most ${(log + 2).toFixed(2)} are promised`,
  ]);
}

/** Messages between random pairs, while nothing happens. */
function messages(setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.01 } });
  mesh.simulation.run({ forMs: 30_000 });
  talk(mesh, 60_000);
  mesh.simulation.run({ forMs: 20_000 });
  const { sent, delivered } = mesh.ledger.count(() => true);
  return resultOf(kind, mesh, { messages: sent, delivered }, [
    delivered < sent && `${sent - delivered} of ${sent} messages did not arrive`,
  ]);
}

function talk(mesh: WholeMesh, forMs: number): void {
  const gapMs = 15;
  for (let atMs = 0; atMs < forMs; atMs += gapMs) {
    mesh.send(mesh.pick(), mesh.pick());
    mesh.simulation.run({ forMs: gapMs });
  }
}

/** A tenth of the nodes crash within a minute and as many others join, while messages go between random pairs. */
function churn(setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.01 } });
  const { simulation } = mesh;
  simulation.run({ forMs: 30_000 });
  const crashed = new Set<NodeId>();
  for (const victim of mesh.nodes.filter((_, index) => index % 10 === 0)) {
    simulation.later(simulation.random.integer(60_000), () => {
      crashed.add(victim.id);
      simulation.crash(victim);
    });
    simulation.later(simulation.random.integer(60_000), () => mesh.join(mesh.add()));
  }
  talk(mesh, 60_000);
  simulation.run({ forMs: 60_000 });
  const survivors = mesh.ledger.count(({ from, to }) => !crashed.has(from) && !crashed.has(to));
  const toCrashed = mesh.ledger.count(({ from, to }) => !crashed.has(from) && crashed.has(to));
  const share = survivors.delivered / survivors.sent;
  const isOne = mesh.agrees() && mesh.isRingWhole();
  return resultOf(
    kind,
    mesh,
    {
      "messages between survivors": survivors.sent,
      "of them delivered": `${survivors.delivered}, ${(100 * share).toFixed(2)} %`,
      "messages to nodes that crashed": toCrashed.sent,
      "declared dead that were not": mesh.falsePositives,
    },
    [
      share < promises.delivered && `only ${(100 * share).toFixed(3)} % delivered`,
      survivors.silent + toCrashed.silent > 0 &&
        `of ${survivors.silent + toCrashed.silent} messages nobody heard what became of them`,
      mesh.falsePositives > 0 && `${mesh.falsePositives} declared dead that were not`,
      !isOne && "not one ring of all members a minute later",
    ],
  );
}

/** Records are stored, a fifth of the nodes crash at once, and they are looked up. */
function names(setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup);
  const { simulation, ledger } = mesh;
  simulation.run({ forMs: 30_000 });
  const owners = mesh.nodes.filter((_, index) => index % 5 !== 0);
  const records = 2 * owners.length;
  const keys = Array.from({ length: records }, (_, index) => {
    const key = mesh.key();
    owners[index % owners.length]?.act((host, now) =>
      host.directory({ type: "publish", kind: 1, key, value: Uint8Array.of(1), ttlMs: 3_600_000 }, now),
    );
    simulation.run({ forMs: 5 });
    return key;
  });
  const storedMs = simulation.runUntil(() => ledger.published >= records, { withinMs: 60_000 });
  simulation.run({ forMs: 5_000 });
  for (const victim of mesh.nodes) if (!owners.includes(victim)) simulation.crash(victim);
  const startMs = simulation.nowMs;
  // At once, before anybody knows who is gone, and on.
  for (const [token, key] of keys.entries()) {
    mesh.pick().act((host, now) => host.directory({ type: "get", token, key }, now));
    simulation.run({ forMs: 5 });
  }
  const foundMs = simulation.runUntil(() => ledger.found + ledger.missed >= records, { withinMs: 120_000 });
  const share = ledger.found / records;
  return resultOf(
    kind,
    mesh,
    {
      "records stored": ledger.published,
      "records found": `${ledger.found}, ${(100 * share).toFixed(2)} %`,
      "all answered after": milliseconds(simulation.nowMs - startMs),
    },
    [
      storedMs === undefined && `only ${ledger.published} of ${records} records were stored`,
      foundMs === undefined && `${records - ledger.found - ledger.missed} lookups had no answer in 2 minutes`,
      share < promises.found && `only ${(100 * share).toFixed(2)} % found`,
    ],
  );
}

/** The scenarios of whole nodes. */
export const whole = {
  ...membershipScenarios(kind),
  hops: { about: "the way of messages between 2,000 random pairs", nodes: 1_000, run: hops },
  messages: { about: "messages between random pairs for a minute: all arrive", nodes: 100, run: messages },
  churn: {
    about: "a tenth of the nodes crash within a minute, others join, and messages go on",
    nodes: 100,
    run: churn,
  },
  names: {
    about: "records are stored, a fifth of the nodes crash, and all are looked up",
    nodes: 100,
    run: names,
  },
} satisfies Record<string, Scenario>;
