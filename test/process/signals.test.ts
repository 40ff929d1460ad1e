import { describe, expect, test } from "vitest";
import { atom, Pid, type Term, tuple } from "../../src/etf/index.ts";
import { type Network, nodeA, nodeB, Puppet, pairOfNodes } from "./support.ts";

const normal = atom("normal");
const boom = atom("boom");
const kill = atom("kill");
const killed = atom("killed");
const noproc = atom("noproc");
const noconnection = atom("noconnection");
const EXIT = atom("EXIT");
const DOWN = atom("DOWN");
const process = atom("process");

interface Pair {
  network: Network;
  /** Lives on node a. */
  one: Puppet;
  /** Lives on node a or b. */
  two: Puppet;
}

async function puppets(remote: boolean, trapping: { one?: boolean; two?: boolean } = {}): Promise<Pair> {
  const { network, a, b } = pairOfNodes();
  const one = await Puppet.on(network, a, { trapExit: trapping.one ?? false });
  const two = await Puppet.on(network, remote ? b : a, { trapExit: trapping.two ?? false });
  return { network, one, two };
}

/** Makes a puppet exit by itself with `reason`. */
async function exits(network: Network, puppet: Puppet, reason: Term): Promise<void> {
  const { self } = puppet;
  if (reason === kill) throw new Error("exit/2 turns kill into killed");
  self.trapExit = false;
  self.onExit(() => undefined);
  try {
    // exit/2 to itself with `normal` ends a process, too.
    self.exit(self.pid, reason);
  } catch {
    // It is dead now.
  }
  await network.settle();
}

const places = [
  { place: "locally", remote: false },
  { place: "remotely", remote: true },
];

describe.each(places)("exit/2 $place", ({ remote }) => {
  test.each([
    { reason: boom, trapping: false, dies: boom },
    { reason: normal, trapping: false, dies: undefined },
    { reason: kill, trapping: false, dies: killed },
    { reason: kill, trapping: true, dies: killed },
    { reason: boom, trapping: true, dies: undefined, gets: boom },
    { reason: normal, trapping: true, dies: undefined, gets: normal },
    { reason: killed, trapping: true, dies: undefined, gets: killed },
  ])("$reason to a process that traps: $trapping", async ({ reason, trapping, dies, gets }) => {
    const { network, one, two } = await puppets(remote, { two: trapping });
    one.self.exit(two.pid, reason);
    await network.settle();
    expect(two.reason?.value).toEqual(dies);
    expect(two.self.alive).toBe(dies === undefined);
    expect(two.inbox).toEqual(gets === undefined ? [] : [tuple(EXIT, one.pid, gets)]);
    expect(one.self.alive).toBe(true);
  });

  test("to a process that is dead nothing happens", async () => {
    const { network, one, two } = await puppets(remote);
    await exits(network, two, boom);
    one.self.exit(two.pid, boom);
    await network.settle();
    expect(one.self.alive).toBe(true);
  });
});

describe("exit/2 to self", () => {
  test.each([
    { reason: normal, trapping: false, dies: normal },
    { reason: boom, trapping: false, dies: boom },
    { reason: kill, trapping: true, dies: killed },
    { reason: normal, trapping: true, dies: undefined },
  ])("$reason, trapping: $trapping", async ({ reason, trapping, dies }) => {
    const { network, one } = await puppets(false, { one: trapping });
    const attempt = (): void => one.self.exit(one.pid, reason);
    if (dies === undefined) attempt();
    else expect(attempt).toThrow("process exits");
    await network.settle();
    expect(one.reason?.value).toEqual(dies);
    expect(one.inbox).toEqual(dies === undefined ? [tuple(EXIT, one.pid, reason)] : []);
  });
});

describe.each(places)("link/1 $place", ({ remote }) => {
  test.each([
    { reason: boom, trapping: false, dies: boom, gets: undefined },
    { reason: normal, trapping: false, dies: undefined, gets: undefined },
    { reason: boom, trapping: true, dies: undefined, gets: boom },
    { reason: normal, trapping: true, dies: undefined, gets: normal },
    // A process that exits by itself with `kill` is no `exit(Pid, kill)`: the others can trap it.
    { reason: tuple(boom, 1), trapping: false, dies: tuple(boom, 1), gets: undefined },
  ])("the other exits with $reason, trapping: $trapping", async ({ reason, trapping, dies, gets }) => {
    const { network, one, two } = await puppets(remote, { one: trapping });
    one.self.link(two.pid);
    await network.settle();
    await exits(network, two, reason);
    expect(one.reason?.value).toEqual(dies);
    expect(one.inbox).toEqual(gets === undefined ? [] : [tuple(EXIT, two.pid, gets)]);
  });

  test("a link goes both ways", async () => {
    const { network, one, two } = await puppets(remote);
    one.self.link(two.pid);
    await network.settle();
    await exits(network, one, boom);
    expect(two.reason?.value).toEqual(boom);
  });

  test("linking twice is one link, also from both sides", async () => {
    const { network, one, two } = await puppets(remote, { one: true });
    one.self.link(two.pid);
    one.self.link(two.pid);
    two.self.link(one.pid);
    await network.settle();
    await exits(network, two, boom);
    expect(one.inbox).toEqual([tuple(EXIT, two.pid, boom)]);
  });

  test.each([
    { trapping: true, dies: undefined },
    { trapping: false, dies: noproc },
  ])("to a dead process is an exit signal noproc, trapping: $trapping", async ({ trapping, dies }) => {
    const { network, one, two } = await puppets(remote, { one: trapping });
    await exits(network, two, boom);
    try {
      one.self.link(two.pid);
    } catch {
      // Locally the signal arrives at once.
    }
    await network.settle();
    expect(one.reason?.value).toEqual(dies);
    expect(one.inbox).toEqual(trapping ? [tuple(EXIT, two.pid, noproc)] : []);
  });

  test("after unlink no exit arrives, on either side", async () => {
    const { network, one, two } = await puppets(remote);
    one.self.link(two.pid);
    await network.settle();
    one.self.unlink(two.pid);
    await network.settle();
    await exits(network, two, boom);
    expect(one.self.alive).toBe(true);
  });

  test("a killed process's links get killed", async () => {
    const { network, one, two } = await puppets(remote, { one: true });
    one.self.link(two.pid);
    await network.settle();
    one.self.exit(two.pid, kill);
    await network.settle();
    expect(one.inbox).toEqual([tuple(EXIT, two.pid, killed)]);
  });

  test("linking with itself is nothing", async () => {
    const { network, one } = await puppets(remote);
    one.self.link(one.pid);
    await exits(network, one, boom);
    expect(one.reason?.value).toEqual(boom);
  });
});

describe("the link protocol", () => {
  test("an exit that crosses the unlink is void", async () => {
    const { network, one, two } = await puppets(true, { one: true });
    one.self.link(two.pid);
    await network.settle();
    // The exit is under way when the link goes.
    try {
      two.self.exit(two.pid, boom);
    } catch {
      // Dead.
    }
    one.self.unlink(two.pid);
    await network.settle();
    expect(one.inbox).toEqual([]);
  });

  test("unlink and link again before the acknowledgement: linked", async () => {
    const { network, one, two } = await puppets(true, { one: true });
    one.self.link(two.pid);
    await network.settle();
    one.self.unlink(two.pid);
    one.self.link(two.pid);
    await network.settle();
    await exits(network, two, boom);
    expect(one.inbox).toEqual([tuple(EXIT, two.pid, boom)]);
  });

  test("a link of the other side that crosses our unlink leaves both unlinked", async () => {
    const { network, one, two } = await puppets(true, { one: true, two: true });
    one.self.link(two.pid);
    await network.settle();
    two.self.unlink(one.pid);
    two.self.link(one.pid);
    one.self.unlink(two.pid);
    await network.settle();
    const links = [...network.nodes.values()].flatMap((node) =>
      [one.pid, two.pid].flatMap((pid) => node.processInfo(pid)?.links ?? []),
    );
    expect(links).toEqual([]);
  });

  test("the acknowledgement is a signal of its own", async () => {
    const { network, one, two } = await puppets(true);
    one.self.link(two.pid);
    one.self.unlink(two.pid);
    await network.settle();
    expect(network.log.map(({ signal }) => signal.type)).toEqual(["link", "unlink", "unlinkAck"]);
  });
});

describe.each(places)("monitor/2 $place", ({ remote }) => {
  test.each([boom, normal, tuple(boom, 1)])("the process exits with %s", async (reason) => {
    const { network, one, two } = await puppets(remote);
    const ref = one.self.monitor(two.pid);
    await network.settle();
    await exits(network, two, reason);
    expect(one.inbox).toEqual([tuple(DOWN, ref, process, two.pid, reason)]);
    expect(one.self.alive).toBe(true);
  });

  test("of a dead process: DOWN with noproc at once", async () => {
    const { network, one, two } = await puppets(remote);
    await exits(network, two, boom);
    const ref = one.self.monitor(two.pid);
    await network.settle();
    expect(one.inbox).toEqual([tuple(DOWN, ref, process, two.pid, noproc)]);
  });

  test("by name: DOWN shows {Name, Node}", async () => {
    const { network, one, two } = await puppets(remote);
    two.self.registerName("worker", two.pid);
    const ref = one.self.monitor({ name: "worker", node: two.self.node });
    await network.settle();
    await exits(network, two, boom);
    const object = tuple(atom("worker"), atom(two.self.node));
    expect(one.inbox).toEqual([tuple(DOWN, ref, process, object, boom)]);
  });

  test("of a name that nobody has: DOWN with noproc", async () => {
    const { network, one, two } = await puppets(remote);
    const ref = one.self.monitor({ name: "nobody", node: two.self.node });
    await network.settle();
    const object = tuple(atom("nobody"), atom(two.self.node));
    expect(one.inbox).toEqual([tuple(DOWN, ref, process, object, noproc)]);
  });

  test("monitors add up, each with its DOWN", async () => {
    const { network, one, two } = await puppets(remote);
    const refs = [one.self.monitor(two.pid), one.self.monitor(two.pid)];
    await network.settle();
    await exits(network, two, boom);
    expect(one.inbox).toEqual(refs.map((ref) => tuple(DOWN, ref, process, two.pid, boom)));
  });

  test("demonitor: no DOWN, and tells whether there was a monitor (info)", async () => {
    const { network, one, two } = await puppets(remote);
    const ref = one.self.monitor(two.pid);
    await network.settle();
    expect(one.self.demonitor(ref)).toBe(true);
    expect(one.self.demonitor(ref)).toBe(false);
    await network.settle();
    await exits(network, two, boom);
    expect(one.inbox).toEqual([]);
  });

  test("a watcher that exits leaves no monitor behind", async () => {
    const { network, one, two } = await puppets(remote);
    one.self.monitor(two.pid);
    await network.settle();
    await exits(network, one, boom);
    const node = network.nodes.get(two.self.node);
    expect(node?.processInfo(two.pid)?.monitoredBy).toEqual([]);
  });
});

describe("demonitor/2 with flush", () => {
  test("takes a DOWN out of the mailbox, and only that", async () => {
    const { network, a } = pairOfNodes();
    const seen: Term[] = [];
    a.spawn(async (self) => {
      const { pid, ref } = self.spawnMonitor(() => undefined);
      const other = self.monitor(pid);
      await self.sleep(1);
      self.demonitor(ref, { flush: true });
      seen.push(other, await self.receive({ timeoutMs: 0 }));
      await self.receive({ timeoutMs: 0 }).catch(() => seen.push("empty"));
    });
    await network.pass(2);
    expect(seen[1]).toEqual(
      tuple(DOWN, seen[0], process, expect.anything() as Term, expect.anything() as Term),
    );
    expect(seen[2]).toBe("empty");
  });
});

describe("noconnection", () => {
  test.each([true, false])("a link breaks with its node, trapping: %s", async (trapping) => {
    const { network, one, two } = await puppets(true, { one: trapping });
    one.self.link(two.pid);
    await network.settle();
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(one.inbox).toEqual(trapping ? [tuple(EXIT, two.pid, noconnection)] : []);
    expect(one.reason?.value).toEqual(trapping ? undefined : noconnection);
    expect(two.reason?.value).toEqual(noconnection);
  });

  test("a monitor fires with its node, once", async () => {
    const { network, one, two } = await puppets(true);
    const byPid = one.self.monitor(two.pid);
    const byName = one.self.monitor({ name: "x", node: nodeB });
    const beforeAnswer = tuple(DOWN, byName, process, tuple(atom("x"), atom(nodeB)), noconnection);
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(one.inbox).toEqual([tuple(DOWN, byPid, process, two.pid, noconnection), beforeAnswer]);
    network.connect(nodeA, nodeB);
    await network.settle();
    await exits(network, two, boom);
    expect(one.inbox).toHaveLength(2);
  });

  test("link and monitor towards a node that cannot be reached", async () => {
    const { network, one } = await puppets(true, { one: true });
    const gone = new Pid("nowhere@host:9", 1, 0, 1);
    one.self.link(gone);
    const ref = one.self.monitor(gone);
    await network.settle();
    expect(one.inbox).toEqual([
      tuple(EXIT, gone, noconnection),
      tuple(DOWN, ref, process, gone, noconnection),
    ]);
  });

  test("a link that was taken back is not reported", async () => {
    const { network, one, two } = await puppets(true, { one: true });
    one.self.link(two.pid);
    await network.settle();
    one.self.unlink(two.pid);
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(one.inbox).toEqual([]);
  });
});

describe("monitor_node/2 and net_kernel:monitor_nodes/1", () => {
  const nodeup = atom("nodeup");
  const nodedown = atom("nodedown");

  test("as many nodedown as calls, then no more", async () => {
    const { network, one } = await puppets(true);
    one.self.monitorNode(nodeB);
    one.self.monitorNode(nodeB);
    one.self.monitorNode(nodeB);
    one.self.monitorNode(nodeB, false);
    network.disconnect(nodeA, nodeB);
    network.connect(nodeA, nodeB);
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(one.inbox).toEqual([tuple(nodedown, atom(nodeB)), tuple(nodedown, atom(nodeB))]);
  });

  test("a node that cannot be reached is down", async () => {
    const { network, one } = await puppets(true);
    one.self.monitorNode("nowhere@host:9");
    await network.settle();
    expect(one.inbox).toEqual([tuple(nodedown, atom("nowhere@host:9"))]);
  });

  test("monitorNodes tells of every node that comes and goes", async () => {
    const { network, one } = await puppets(true);
    one.self.monitorNodes();
    network.disconnect(nodeA, nodeB);
    network.connect(nodeA, nodeB);
    one.self.monitorNodes(false);
    network.disconnect(nodeA, nodeB);
    await network.settle();
    expect(one.inbox).toEqual([tuple(nodedown, atom(nodeB)), tuple(nodeup, atom(nodeB))]);
  });
});

describe("an earlier life of a node", () => {
  test("its pids never match the new processes", async () => {
    const { network, a } = pairOfNodes();
    const b1 = network.nodes.get(nodeB);
    const old = await Puppet.on(network, b1 as typeof a);
    const one = await Puppet.on(network, a, { trapExit: true });
    network.disconnect(nodeA, nodeB);
    const again = network.add(nodeB, {}, 2);
    network.connect(nodeA, nodeB);
    const fresh = await Puppet.on(network, again);
    expect([fresh.pid.id, fresh.pid.serial]).toEqual([old.pid.id, old.pid.serial]);
    one.self.send(old.pid, "for the old one");
    one.self.exit(old.pid, kill);
    one.self.link(old.pid);
    const ref = one.self.monitor(old.pid);
    await network.settle();
    expect(fresh.inbox).toEqual([]);
    expect(fresh.self.alive).toBe(true);
    expect(one.inbox).toEqual([tuple(EXIT, old.pid, noproc), tuple(DOWN, ref, process, old.pid, noproc)]);
  });
});
