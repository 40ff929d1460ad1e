// node build/bench/soak-mesh.js --seconds N (after npm run build:bench): a mesh of 25 nodes in eleven processes on the loopback, that
// talk all the time while some are killed, stand still, leave and come back. docs/membership.md says what must hold.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { disagreement, growth, hole, missingMessages, otherState } from "./soak/checks.ts";
import { Fleet } from "./soak/fleet.ts";
import type { Host } from "./soak/host.ts";
import type { Measure } from "./soak/messages.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "600" } } });
const seconds = Number(values.seconds);
const ends = Date.now() + seconds * 1_000;
/** What a round of disturbances takes, and the quiet time before the first. */
const roundSeconds = 75;
const warmUpSeconds = Math.max(35, Math.min(120, seconds / 5));
const stateDir = mkdtempSync(join(tmpdir(), "macula-soak-"));
const fleet = new Fleet();
const begun = Date.now();

function say(text: string): void {
  console.log(`${((Date.now() - begun) / 1_000).toFixed(1).padStart(6)} s  ${text}`);
}

/** A port of UDP that nobody uses at the moment. */
async function freePort(): Promise<number> {
  const socket = createSocket("udp4").bind(0);
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

type Started = Awaited<ReturnType<Fleet["start"]>>;

const seed = await fleet.start(fleet.host(), "steady0@localhost:0");
const steadyHosts: Host[] = [seed.host, fleet.host(), fleet.host()];
const steady = [seed.name];
const bootstrap = seed.name;
for (let index = 1; index < 17; index++) {
  const host = steadyHosts[index % steadyHosts.length] as Host;
  steady.push((await fleet.start(host, `steady${index}@localhost:0`, { bootstrap })).name);
}
const stopped = await Promise.all(
  [0, 1].map((index) => fleet.start(fleet.host(), `stopped${index}@localhost:0`, { bootstrap })),
);
/** Three have a state folder, and find the mesh again by it. */
const folder = (index: number): { readonly stateDir?: string } =>
  index < 3 ? { stateDir: join(stateDir, `killed${index}`) } : {};
let killed = await Promise.all(
  [0, 1, 2, 3, 4].map(async (index) => {
    // Under this name, port included, it comes back.
    const name = `killed${index}@localhost:${await freePort()}`;
    return await fleet.start(fleet.host(), name, { bootstrap, ...folder(index) });
  }),
);
const moverHost = fleet.host();
const moverState = { stateDir: join(stateDir, "mover") };
let mover = await fleet.start(moverHost, "mover@localhost:0", { bootstrap, ...moverState });

const agree = (what: string, withinMs: number): Promise<number> =>
  fleet.until(what, withinMs, (views) => disagreement(views, fleet.names));
const heal = (): Promise<number> => fleet.until("the mesh is whole", 60_000, hole);

/** Nobody says anything new, and all that was said must arrive. */
async function settle(): Promise<Measure> {
  await fleet.talk([]);
  await fleet.until("all messages arrive", 30_000, (views) => missingMessages(views, steady));
  const measure = await fleet.measure(steadyHosts);
  await fleet.talk(fleet.names);
  return measure;
}

async function standStillShortly(): Promise<void> {
  const before = fleet.suspicions;
  await fleet.standStill(stopped, 2_000, async () => {});
  await sleep(6_000);
  say(
    `two stood still for 2 s: ${fleet.suspicions - before} suspicions at all nodes together, nobody given up`,
  );
}

async function killFive(): Promise<void> {
  const since = Date.now();
  const ids = killed.map(({ id }) => id);
  await fleet.kill(killed);
  await fleet.talk(fleet.names);
  await fleet.until("all know of the killed", 10_000, (views) => otherState(views, ids, "dead"));
  const known = fleet.tookToTell(since, ids, fleet.names);
  const whole = await heal();
  say(
    `kill -9 of five: known to all after ${known.toFixed(1)} s, the ring whole ${whole.toFixed(1)} s later`,
  );
}

async function standStillLong(): Promise<void> {
  const since = Date.now();
  const ids = stopped.map(({ id }) => id);
  let known = 0;
  await fleet.standStill(stopped, 20_000, async () => {
    await fleet.talk(fleet.names);
    await fleet.until("all know who stands still", 10_000, (views) => otherState(views, ids, "dead"));
    known = fleet.tookToTell(since, ids, fleet.names);
  });
  const back = await agree("who went on is alive again everywhere", 30_000);
  const whole = await heal();
  say(
    `two stood still for 20 s: dead to all after ${known.toFixed(1)} s; going on, alive to all after ${back.toFixed(1)} s, the ring whole ${whole.toFixed(1)} s later`,
  );
}

async function restart(): Promise<void> {
  killed = await Promise.all(
    killed.map(({ name }, index): Promise<Started> => {
      const remembers = index < 3;
      return fleet.start(fleet.host(), name, remembers ? folder(index) : { bootstrap });
    }),
  );
  const back = await agree("the killed are back", 30_000);
  const whole = await heal();
  say(
    `the five started again, three by what they remembered: known to all after ${back.toFixed(1)} s, the ring whole ${whole.toFixed(1)} s later`,
  );
}

async function move(): Promise<void> {
  const { id, name } = mover;
  await fleet.talk(fleet.names.filter((each) => each !== name));
  await fleet.leave(mover);
  const gone = await fleet.until("all know who left", 10_000, (views) => otherState(views, [id], "left"));
  mover = await fleet.start(moverHost, "mover@localhost:0", moverState);
  if (mover.id !== id || mover.name === name) fleet.faults.push("the mover is not the same node elsewhere");
  const back = await agree("who moved is back", 30_000);
  say(`one left: known to all after ${gone.toFixed(1)} s; at another port, known after ${back.toFixed(1)} s`);
}

const table: Record<string, Measure> = {};
let failure: unknown;
try {
  say(`25 nodes of one mesh after ${(await agree("all have joined", 30_000)).toFixed(1)} s`);
  say(`the ring whole ${(await heal()).toFixed(1)} s later`);
  await fleet.talk(fleet.names);
  await fleet.callAll();
  await sleep(warmUpSeconds * 1_000);
  table["warmed up"] = await settle();
  const rounds = Math.max(1, Math.floor((ends - Date.now()) / 1_000 / roundSeconds));
  for (let round = 1; round <= rounds; round++) {
    await standStillShortly();
    await killFive();
    await standStillLong();
    await restart();
    await move();
    await fleet.talk(fleet.names);
    await fleet.callAll();
    const left = (ends - Date.now()) / 1_000 - (rounds - round) * roundSeconds;
    await sleep(Math.max(0, Math.min(left, 30)) * 1_000);
    table[`round ${round}`] = await settle();
  }
  await sleep(Math.max(0, ends - Date.now()));
  table["the end"] = await settle();
  const views = await fleet.look();
  const messages = views.flatMap(({ traffic }) => Object.values(traffic.received)).reduce((a, b) => a + b, 0);
  const calls = views.reduce((total, { traffic }) => total + traffic.calls, 0);
  const links = views.map((view) => view.links);
  const forwarded = views.reduce((total, { hops }) => total + hops, 0);
  say(
    `${calls} calls and ${messages} messages by the nodes that run now, ${forwarded} packets passed on; ${Math.min(...links)} to ${Math.max(...links)} links a node`,
  );
  fleet.faults.push(...fleet.unexplained());
  fleet.faults.push(...growth(table["warmed up"], table["the end"], steadyHosts.length));
} catch (thrown) {
  failure = thrown;
} finally {
  await fleet.end();
  rmSync(stateDir, { recursive: true });
}

const rows = Object.entries(table).map(([at, measure]) => {
  const cells = Object.entries(measure).map(([key, value]) => [key, Math.round((value as number) * 10) / 10]);
  return [at, Object.fromEntries(cells)];
});
console.log(
  `\nThe ${steadyHosts.length} processes with ${steady.length} nodes that run all the time, together, after a collection:`,
);
console.table(Object.fromEntries(rows));
if (failure !== undefined) console.error("failed:", failure);
for (const why of fleet.faults.slice(0, 50)) console.error("failed:", why);
process.exitCode = failure === undefined && fleet.faults.length === 0 ? 0 : 1;
