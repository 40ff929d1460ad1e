import { MeshView } from "./mesh-view.ts";
import type { NodePlan, StartedNode } from "./messages.ts";
import { check, said, step } from "./narrator.ts";
import { Relay } from "./relay.ts";

/*
 * The second part of the demo: 25 nodes in five processes. Between them is a network that can be cut; they run on this machine only, and
 * nobody else is told of them.
 */

const processes = 5;
const nodesEach = 5;
/** Where multicast works, nodes have found each other by then. */
const mdnsMs = 15_000;
/** Finding each other, and making a ring, may take so long. */
const joinMs = 30_000;
/** One crash is known to all within 10 s; of five at once each node has to find out five, on a busy machine as well. */
const crashMs = 20_000;
/** Half of all at once takes longer: whoever gets no answers, and no help either, doubts itself first. */
const cutMs = 60_000;
/** Mostly it takes a few seconds; whoever hears of nobody is sure to ask somebody within 30 s. */
const healMs = 60_000;

export async function playMesh(secret: { readonly realm: string; readonly cookie: string }): Promise<void> {
  const relay = new Relay();
  const view = new MeshView(secret);
  try {
    await form(view, relay);
    await sendAcross(view);
    await killFive(view);
    await partition(view, relay);
    step("All nodes leave");
    await view.close();
    said("each has said farewell");
  } finally {
    await view.kill();
    relay.close();
  }
}

async function form(view: MeshView, relay: Relay): Promise<void> {
  step(`${processes * nodesEach} nodes start, ${nodesEach} in each of ${processes} processes`);
  const startedAt = performance.now();
  const ports = await Promise.all(Array.from({ length: processes * nodesEach }, () => relay.open()));
  const names = ports.map((port, index) => `n${String(index + 1).padStart(2, "0")}@127.0.0.1:${port}`);
  const group = (number: number): string[] => names.slice(number * nodesEach, (number + 1) * nodesEach);
  const start = async (number: number, settings: Omit<NodePlan, "name">): Promise<void> => {
    const child = await view.start(group(number).map((name) => ({ name, ...settings })));
    for (const { name, port } of child.nodes) relay.lead(Number(name.slice(name.lastIndexOf(":") + 1)), port);
  };
  const [first, second] = [names[0] as string, names[1] as string];
  // What is found by mDNS is dialled where it listens itself, past the network that will be cut: so these two stay on one side of the cut.
  await Promise.all([
    start(0, { bootstrap: [first, second], mdns: true }),
    start(1, { bootstrap: [], mdns: true }),
    ...[2, 3, 4].map((number) => start(number, { bootstrap: [first, second], mdns: false })),
  ]);
  for (const { pid, nodes } of view.children) said(`${span(nodes)}  process ${pid}`);
  said("n06 … n10 know no address and look by mDNS; the others are told where n01 and n02 are");
  await findByMdns(view, first);
  const all = view.nodes;
  const others = all.length - 1;
  await view.until(
    () => view.count(all, "every", all, "alive") === all.length,
    joinMs,
    () => view.strays(all, all),
  );
  check(true, `each of the ${all.length} knows the ${others} others, ${since(startedAt)}`);
  await view.untilRing(all, joinMs);
  check(true, `a ring: each has links to its three nearest on either side, ${since(startedAt)}`);
  const count = linkCount(await view.links());
  const possible = (all.length * others) / 2;
  check(
    count < possible,
    `${count} links, of ${possible} that are possible; those of the start that nobody wants go later`,
  );
}

/** The second process finds the first; where multicast does not work at all it is told an address, and you are told so. */
async function findByMdns(view: MeshView, address: string): Promise<void> {
  const [there, seekers] = view.children;
  if (there === undefined || seekers === undefined) return;
  const found = (): number => view.count(seekers.nodes, "some", there.nodes, "alive");
  try {
    await view.until(
      () => found() === seekers.nodes.length,
      mdnsMs,
      () => "multicast does not work",
    );
    check(true, `${span(seekers.nodes)} have found the others by mDNS`);
  } catch {
    said(`multicast does not work on this machine: ${span(seekers.nodes)} are told an address, too`);
    await seekers.ask({ op: "join", to: address });
  }
}

async function sendAcross(view: MeshView): Promise<void> {
  const links = [...(await view.links())].toSorted(([, a], [, b]) => a.length - b.length);
  const from = links[0]?.[0] ?? "";
  step(`A process on ${short(from)} sends a message to a node without a link from there`);
  const child = view.childOf(from);
  const { mesh } = await child.ask({ op: "ways", node: from });
  const traces = await Promise.all(mesh.map((to) => child.ask({ op: "trace", node: from, to })));
  const longest = traces.toSorted((a, b) => b.hops.length - a.hops.length)[0];
  if (longest === undefined) throw new Error(`not so: ${from} has links to all others`);
  const to = longest.hops.at(-1) as string;
  const hops = longest.hops.length - 1;
  check(
    hops >= 2,
    `${longest.hops.map(short).join(" → ")}: ${hops} hops, ${ms(longest.rttMs)} there and back`,
  );
  const { answer, tookMs } = await child.ask({ op: "greet", node: from, to });
  check(
    answer === `{welcome,'${to}'}`,
    `the process greeter on ${short(to)} answered ${answer} after ${ms(tookMs)}`,
  );
}

async function killFive(view: MeshView): Promise<void> {
  const victim = view.children.at(-1);
  if (victim === undefined) return;
  const { nodes: dead, pid } = victim;
  step(`Process ${pid} is killed with SIGKILL: ${span(dead)} are gone at once`);
  const killedAt = performance.now();
  await victim.kill();
  const survivors = view.nodes;
  await view.until(
    () => view.count(survivors, "some", dead, "suspect", "dead") > 0,
    crashMs,
    () => "nobody suspects anything",
  );
  said(`first suspicion ${since(killedAt)}`);
  await view.until(
    () => view.count(survivors, "some", dead, "dead") > 0,
    crashMs,
    () => "nobody knows of a death",
  );
  said(`first certainty ${since(killedAt)}`);
  await view.until(
    () => view.count(survivors, "every", dead, "dead") === survivors.length,
    crashMs,
    () => `${view.count(survivors, "every", dead, "dead")} of ${survivors.length} know of all five`,
  );
  check(true, `all ${survivors.length} survivors know that all ${dead.length} are dead ${since(killedAt)}`);
  await view.untilRing(survivors, healMs);
  check(true, `the ring is closed again ${since(killedAt)}`);
  check(
    view.count(survivors, "every", survivors, "alive") === survivors.length,
    "and nobody holds a survivor to be dead",
  );
}

async function partition(view: MeshView, relay: Relay): Promise<void> {
  const all = view.nodes;
  const one = all.slice(0, all.length / 2);
  const two = all.slice(all.length / 2);
  const isInOne = (port: number): boolean => one.some(({ name }) => name.endsWith(`:${port}`));
  step(`The network is cut between ${span(one)} and ${span(two)}`);
  const cutAt = performance.now();
  relay.cut((from, to) => isInOne(from) !== isInOne(to));
  const apart = (): number => view.count(one, "every", two, "dead") + view.count(two, "every", one, "dead");
  await view.until(
    () => apart() === all.length,
    cutMs,
    () => `${apart()} of ${all.length} know that the other half is gone`,
  );
  check(true, `each half holds the other to be dead ${since(cutAt)}`);
  for (const half of [one, two]) await view.untilRing(half, healMs);
  check(true, `and is a ring of its own ${since(cutAt)}`);
  for (const half of [one, two]) await greet(view, half[0], half.at(-1));

  step("The cut is mended");
  const mendedAt = performance.now();
  relay.cut(() => false);
  await view.until(
    () => view.count(all, "every", all, "alive") === all.length,
    healMs,
    () => view.strays(all, all),
  );
  check(true, `all ${all.length} know each other again ${since(mendedAt)}`);
  await view.untilRing(all, healMs);
  check(true, `in one ring ${since(mendedAt)}`);
  await greet(view, one[0], two.at(-1));
  said(`${linkCount(await view.links())} links now`);
}

async function greet(
  view: MeshView,
  from: StartedNode | undefined,
  to: StartedNode | undefined,
): Promise<void> {
  const [node, other] = [from?.name ?? "", to?.name ?? ""];
  const { answer, tookMs } = await view.childOf(node).ask({ op: "greet", node, to: other });
  check(
    answer === `{welcome,'${other}'}`,
    `${short(node)} greets ${short(other)}, answered after ${ms(tookMs)}`,
  );
}

function linkCount(links: ReadonlyMap<string, readonly string[]>): number {
  return [...links.values()].flat().length / 2;
}

function span(nodes: readonly StartedNode[]): string {
  return `${short(nodes[0]?.name ?? "")} … ${short(nodes.at(-1)?.name ?? "")}`;
}

function short(name: string): string {
  return name.slice(0, name.indexOf("@"));
}

function ms(milliseconds: number): string {
  return `${milliseconds.toFixed(1)} ms`;
}

function since(instant: number): string {
  return `after ${((performance.now() - instant) / 1_000).toFixed(1)} s`;
}
