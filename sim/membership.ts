import type { SimulatedNode } from "../src/sim/index.ts";
import type { MemberHost } from "./member-host.ts";
import { type Mesh, type MeshSetup, percentile } from "./mesh.ts";
import type { Scenario, ScenarioResult, ScenarioSetup } from "./scenario.ts";

/** What is promised of membership: docs/membership.md. */
const promises = { crashMs: 10_000, joinMs: 10_000, healMs: 30_000, perNodeHours: 100 };

const hourMs = 3_600_000;

/** What the nodes of a mesh consist of, and what is to be said of such a mesh besides its membership. */
export interface MeshKind<Kind extends Mesh> {
  make(setup: MeshSetup): Kind;
  /** All know each other and are at rest: what is measured begins here. */
  settled(mesh: Kind): void;
  /** How many crash in `crash`, at most. */
  readonly crashesMax: number;
  /** Whether it may give up members of its own side for a moment when the other side vanishes. */
  readonly mayErrWhenParted: boolean;
  /** Whether all is as it should be, apart from the members. */
  isWhole(mesh: Kind): boolean;
  figures(mesh: Kind): ScenarioResult["figures"];
  failures(mesh: Kind): readonly string[];
}

/** `count` nodes that know each other. */
export function meshOf<Kind extends Mesh>(
  kind: MeshKind<Kind>,
  { seed, nodes, log }: ScenarioSetup,
  setup: Omit<MeshSetup, "seed"> = {},
): Kind {
  const mesh = kind.make({ seed, ...setup, ...(log === undefined ? {} : { log }) });
  mesh.addAcquainted(nodes);
  return mesh;
}

export function resultOf<Kind extends Mesh>(
  kind: MeshKind<Kind>,
  mesh: Kind,
  figures: ScenarioResult["figures"],
  failures: readonly (string | false)[],
): ScenarioResult {
  const { simulation } = mesh;
  return {
    figures: { ...figures, ...kind.figures(mesh) },
    failures: [...failures.filter((failure) => failure !== false), ...kind.failures(mesh)],
    virtualMs: simulation.nowMs,
    events: simulation.eventsRun,
    digest: simulation.digest(),
  };
}

export function milliseconds(ms: number): string {
  return `${Math.round(ms)} ms`;
}

/** What all nodes have sent, and for how long. */
function totals(mesh: Mesh): readonly [sent: number, bytes: number, nodeSeconds: number] {
  let [sent, bytes] = [0, 0];
  for (const { traffic } of mesh.nodes) {
    sent += traffic.datagrams + traffic.messages;
    bytes += traffic.datagramBytes + traffic.messageBytes;
  }
  return [sent, bytes, (mesh.nodes.length * mesh.simulation.nowMs) / 1_000];
}

function load(mesh: Mesh, since: ReturnType<typeof totals> = [0, 0, 0]): Record<string, string> {
  const [sent, bytes, seconds] = totals(mesh).map((total, index) => total - (since[index] ?? 0)) as [
    number,
    number,
    number,
  ];
  return {
    "sent per node and second": (sent / seconds).toFixed(3),
    "bytes per node and second": (bytes / seconds).toFixed(0),
  };
}

/** Time in which what newcomers have to tell each other is told. */
const settleMs = 30_000;

/** Nothing happens but what the network does. */
function quiet<Kind extends Mesh>(
  kind: MeshKind<Kind>,
  mesh: Kind,
  nodes: number,
  forMs: number,
  falsePositivesPerNodeHour: number,
): ScenarioResult {
  mesh.simulation.run({ forMs: settleMs });
  const before = totals(mesh);
  kind.settled(mesh);
  mesh.simulation.run({ forMs });
  const nodeHours = (nodes * forMs) / hourMs;
  const mostFalse = Math.max(0, Math.ceil(nodeHours * falsePositivesPerNodeHour) - 1);
  return resultOf(
    kind,
    mesh,
    {
      ...load(mesh, before),
      "node-hours": nodeHours.toFixed(1),
      "suspicions, one for each node that had one": mesh.suspicions,
      "declared dead that were not": mesh.falsePositives,
    },
    [mesh.falsePositives > mostFalse && `${mesh.falsePositives} declared dead that were not`],
  );
}

function steady<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  return quiet(kind, meshOf(kind, setup), setup.nodes, setup.forMs ?? 60_000, 0);
}

function stable<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  return quiet(
    kind,
    meshOf(kind, setup, { network: { lossRate: 0.01 } }),
    setup.nodes,
    setup.forMs ?? hourMs,
    0,
  );
}

function lossy<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.2 } });
  return quiet(kind, mesh, setup.nodes, setup.forMs ?? hourMs, 1 / promises.perNodeHours);
}

function pauses<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.01 } });
  pauseNowAndThen(mesh, Math.ceil(setup.nodes * 0.05));
  return quiet(kind, mesh, setup.nodes, setup.forMs ?? hourMs, 1 / promises.perNodeHours);
}

function pauseNowAndThen(mesh: Mesh, count: number): void {
  const { simulation } = mesh;
  for (const node of mesh.nodes.slice(0, count)) {
    const next = (): void => {
      simulation.pause(node, 2_000);
      simulation.later(2_000 + 120_000 * simulation.random.float(), next);
    };
    simulation.later(60_000 * simulation.random.float(), next);
  }
}

function crash<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.01 } });
  const { simulation } = mesh;
  simulation.run({ forMs: 5_000 });
  const crashes = Math.max(1, Math.min(kind.crashesMax, Math.floor(setup.nodes / 4)));
  const lasts: number[] = [];
  const all: number[] = [];
  let missing = 0;
  for (let count = 0; count < crashes; count++) {
    const victim = mesh.running()[
      simulation.random.integer(mesh.running().length)
    ] as SimulatedNode<MemberHost>;
    simulation.crash(victim);
    const watch = mesh.watch(victim, "memberDown");
    simulation.runUntil(() => watch.waiting.size === 0, { withinMs: 60_000 });
    missing += watch.waiting.size;
    lasts.push(watch.lastMs - watch.startMs);
    all.push(...watch.eachMs);
    // Not in step with the probes.
    simulation.run({ forMs: 1_000 * simulation.random.float() });
  }
  const p99 = percentile(lasts, 0.99);
  return resultOf(
    kind,
    mesh,
    {
      crashes,
      "median, all survivors": milliseconds(percentile(all, 0.5)),
      "99 %, all survivors": milliseconds(percentile(all, 0.99)),
      "median, last survivor": milliseconds(percentile(lasts, 0.5)),
      "99 %, last survivor": milliseconds(p99),
      "greatest, last survivor": milliseconds(percentile(lasts, 1)),
      "declared dead that were not": mesh.falsePositives,
    },
    [
      missing > 0 && `${missing} survivors did not find out in a minute`,
      p99 >= promises.crashMs && `99 % of the crashes known everywhere only after ${milliseconds(p99)}`,
      mesh.falsePositives > 0 && `${mesh.falsePositives} declared dead that were not`,
    ],
  );
}

function join<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.01 } });
  const { simulation } = mesh;
  simulation.run({ forMs: 5_000 });
  const times: number[] = [];
  let missing = 0;
  for (let count = 0; count < 20; count++) {
    const newcomer = mesh.add();
    const watch = mesh.watch(newcomer, "memberUp");
    mesh.join(newcomer);
    simulation.runUntil(
      () => watch.waiting.size === 0 && newcomer.host.swim.livingCount === mesh.nodes.length,
      { withinMs: 60_000 },
    );
    missing += watch.waiting.size;
    times.push(simulation.nowMs - watch.startMs);
  }
  const greatest = percentile(times, 1);
  return resultOf(
    kind,
    mesh,
    { joins: times.length, median: milliseconds(percentile(times, 0.5)), greatest: milliseconds(greatest) },
    [
      missing > 0 && `${missing} members did not hear of a newcomer in a minute`,
      greatest >= promises.joinMs && `a join was known everywhere only after ${milliseconds(greatest)}`,
    ],
  );
}

function partition<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup);
  const { simulation } = mesh;
  simulation.run({ forMs: 5_000 });
  simulation.partition([mesh.nodes.filter((_, index) => index % 2 === 0)]);
  simulation.run({ forMs: 300_000 });
  const wasParted = mesh.nodes.every(({ host }) => host.swim.livingCount <= Math.ceil(setup.nodes / 2));
  simulation.heal();
  const tookMs = simulation.runUntil(() => mesh.agrees() && kind.isWhole(mesh), {
    withinMs: 120_000,
    everyMs: 250,
  });
  return resultOf(
    kind,
    mesh,
    {
      "one membership again after": tookMs === undefined ? "more than 2 minutes" : milliseconds(tookMs),
      "declared dead on the same side": mesh.falsePositives,
    },
    [
      !wasParted && "the halves did not give each other up",
      (tookMs ?? Infinity) > promises.healMs && "not one membership within 30 s",
      mesh.falsePositives > 0 &&
        !kind.mayErrWhenParted &&
        `${mesh.falsePositives} declared dead that were not`,
    ],
  );
}

function restarts<Kind extends Mesh>(kind: MeshKind<Kind>, setup: ScenarioSetup): ScenarioResult {
  const mesh = meshOf(kind, setup, { network: { lossRate: 0.02 }, clockDriftRate: 0.000_1 });
  const { simulation } = mesh;
  let addresses = 0;
  const steps: readonly (() => void)[] = [
    () => {
      const node = anyRunning(mesh);
      mesh.rememberAndCrash(node);
      simulation.later(simulation.random.integer(30_000), () => {
        const isMoved = simulation.random.integer(2) === 0;
        simulation.restart(node, isMoved ? `192.0.2.1:${++addresses}` : node.address);
        mesh.join(node);
      });
    },
    () => simulation.pause(anyRunning(mesh), 2_000),
    () => {
      const node = anyRunning(mesh);
      if (mesh.running().length <= setup.nodes / 2) return;
      node.act((host, now) => host.leave(now));
      simulation.later(3_000, () => simulation.stop(node));
    },
    () => mesh.join(mesh.add()),
  ];
  const everyMs = 2_000;
  for (let atMs = everyMs; atMs <= 300_000; atMs += everyMs) {
    simulation.later(atMs, () => steps[simulation.random.integer(steps.length)]?.());
  }
  simulation.run({ forMs: 330_000 });
  const tookMs = simulation.runUntil(() => mesh.agrees() && kind.isWhole(mesh), {
    withinMs: 120_000,
    everyMs: 250,
  });
  return resultOf(
    kind,
    mesh,
    {
      ...load(mesh),
      "nodes that ever were": mesh.nodes.length,
      "nodes that are": mesh.running().length,
      "agreed, after the last event and 30 s": tookMs === undefined ? "never" : milliseconds(tookMs),
      "declared dead that were not": mesh.falsePositives,
    },
    [tookMs === undefined && "the members do not agree two minutes after the last event"],
  );
}

function anyRunning(mesh: Mesh): SimulatedNode<MemberHost> {
  const running = mesh.nodes.filter(
    ({ state, host }) => state === "running" && host.swim.self.state === "alive",
  );
  return running[mesh.simulation.random.integer(running.length)] as SimulatedNode<MemberHost>;
}

/** The same scenarios for each kind of mesh, by name. */
export function membershipScenarios<Kind extends Mesh>(
  kind: MeshKind<Kind>,
): Record<"steady" | "stable" | "lossy" | "pauses" | "crash" | "join" | "partition" | "restarts", Scenario> {
  return {
    steady: {
      about: "a minute in which nothing happens",
      nodes: 2_000,
      run: (setup) => steady(kind, setup),
    },
    stable: {
      about: "an hour in which the network loses 1 %: nobody is declared dead",
      nodes: 100,
      run: (setup) => stable(kind, setup),
    },
    lossy: {
      about: "an hour in which the network loses 20 %: fewer than 1 in 100 node-hours declared dead",
      nodes: 100,
      run: (setup) => lossy(kind, setup),
    },
    pauses: {
      about: "an hour in which 5 % of the nodes stand still for 2 s, about once a minute each",
      nodes: 100,
      run: (setup) => pauses(kind, setup),
    },
    crash: {
      about: "nodes crash one after the other; when does the last survivor know?",
      nodes: 1_000,
      run: (setup) => crash(kind, setup),
    },
    join: {
      about: "newcomers join, each through a random member; when does the last one know?",
      nodes: 1_000,
      run: (setup) => join(kind, setup),
    },
    partition: {
      about: "the network is parted in halves for 5 minutes, and healed",
      nodes: 100,
      run: (setup) => partition(kind, setup),
    },
    restarts: {
      about:
        "for five minutes nodes crash, come back elsewhere, leave, join and stand still; then there is rest",
      nodes: 100,
      run: (setup) => restarts(kind, setup),
    },
  };
}
