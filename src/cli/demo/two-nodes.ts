import { createSocket } from "node:dgram";
import { atom, format, type Reference, type Term, tuple } from "../../etf/index.ts";
import { createLog } from "../../node/log.ts";
import { MaculaNode } from "../../node/macula-node.ts";
import { any, type Self } from "../../process/index.ts";
import { check, said, step } from "./narrator.ts";
import { Node1Process } from "./node1-child.ts";

/** A crash must be known by then (DESIGN §5). */
const nodeDownMs = 10_000;

interface Secret {
  readonly realm: string;
  readonly cookie: string;
}

/** `port` when it is free, else 0, for any. */
function freePort(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket({ type: "udp6", reuseAddr: false });
    socket.once("error", () => resolve(0));
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(port)));
  });
}

async function startNode2(port: number, { realm, cookie }: Secret): Promise<MaculaNode> {
  const logger = createLog({ level: "error" });
  return MaculaNode.start({
    name: `node2@localhost:${port}`,
    realm,
    cookie,
    stateDir: null,
    discovery: { mdns: false },
    logger,
  });
}

/** What happens in the process on node2, from the greeting to the news of node1's death. */
async function play(self: Self, node2: MaculaNode, node1: Node1Process, name1: string): Promise<void> {
  self.trapExit = true;
  self.monitorNodes();

  step("node2 sends {hello, From, node2} to the process registered as greeter on node1");
  self.send({ name: "greeter", node: name1 }, tuple(atom("hello"), self.pid, atom("node2")));
  const greeted = await node1.told("greeted");
  check(greeted.name === "node2", `node1 got it, from ${greeted.from}`);
  const welcome = await self.receive(tuple(atom("welcome"), any));
  check(format(welcome) === "{welcome,node1}", `and answered ${format(welcome)}`);

  step("node2 starts worker:run on node1, linked and monitored");
  const ref: Reference = self.makeReference();
  const worker = await self.spawnOn(name1, "worker", "run", [self.pid, 21], { link: true, monitor: ref });
  const spawned = await node1.told("spawned");
  check(worker.node === name1 && spawned.number === 21, `its pid is ${format(worker)}, on ${worker.node}`);
  const working = await self.receive(tuple(atom("working"), worker, any, any));
  const ready = await node1.told("ready");
  const [, , osPid, result] = working.elements as readonly Term[];
  check(
    osPid === ready.pid && osPid !== process.pid,
    `it runs in process ${format(osPid)}, this is ${process.pid}`,
  );
  check(result === 42, `and computed ${format(result)}`);

  step("node1 is killed with SIGKILL, without a goodbye");
  const killedAt = performance.now();
  check((await node1.kill()) === "SIGKILL", `process ${ready.pid} is dead`);
  const seconds = (): string => `after ${((performance.now() - killedAt) / 1_000).toFixed(2)} s`;
  const exit = await self.receive(tuple(atom("EXIT"), worker, any));
  check(exit.elements[2] === atom("noconnection"), `the link gave ${format(exit)} ${seconds()}`);
  const down = await self.receive(tuple(atom("DOWN"), ref, atom("process"), worker, any));
  check(down.elements[4] === atom("noconnection"), `the monitor gave ${format(down)} ${seconds()}`);
  const nodeDown = await self.receive(tuple(atom("nodedown"), any));
  check(format(nodeDown).includes(name1), `the node gave ${format(nodeDown)} ${seconds()}`);
  check(performance.now() - killedAt < nodeDownMs, `all within ${nodeDownMs / 1_000} s`);
  check(node2.nodes().length === 0, `nodes() is ${format(node2.nodes())} again`);
}

/** The first part of the demo: two nodes in two processes talk as Erlang's do, and one of them is killed. */
export async function playTwoNodes(secret: Secret): Promise<void> {
  const ports = await Promise.all([freePort(4_433), freePort(4_434)]);
  if (ports.includes(0)) said("4433 or 4434 is in use on this machine: free ports are used instead");

  step("node1 and node2 start, as processes of their own");
  const environment = { ...process.env, MACULA_REALM: secret.realm, MACULA_COOKIE: secret.cookie };
  const node1 = new Node1Process(`node1@localhost:${ports[0]}`, environment);
  let node2: MaculaNode | undefined;
  try {
    const ready = await node1.told("ready");
    said(`${ready.name}  id ${ready.nodeId.slice(0, 12)}…  process ${ready.pid}`);
    node2 = await startNode2(ports[1], secret);
    said(`${node2.name}  id ${node2.nodeId.slice(0, 12)}…  process ${process.pid}`);
    check(
      ready.pid !== process.pid && ready.nodeId !== node2.nodeId,
      "two processes, two identities, one realm",
    );

    step("node2 connects to node1");
    check(await node2.connect(ready.name), `connect(${ready.name}) is true`);
    check(node2.nodes().join() === ready.name, `nodes() is ${format(node2.nodes())}`);
    const { rttMs } = await node2.ping(ready.name);
    said(`round trip ${rttMs.toFixed(2)} ms`);

    await inProcess(node2, node1, ready.name);
  } finally {
    await node1.kill();
    await node2?.close();
  }
}

/** Runs `play` as a process of node2; rejects with what it throws. */
function inProcess(node2: MaculaNode, node1: Node1Process, name1: string): Promise<void> {
  return new Promise((resolve, reject) => {
    node2.spawn((self) => play(self, node2, node1, name1).then(resolve, reject));
  });
}
