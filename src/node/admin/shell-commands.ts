import { MeshError } from "../../base/errors.ts";
import { Atom, atom, charlist, float, format, type Pid, type Term, Tuple, tuple } from "../../etf/index.ts";
import type { Destination, Self } from "../../process/types.ts";
import { parseTerm } from "../term-text.ts";
import type { AdminNode } from "./admin-node.ts";
import { listMembers, listRoutes, measureTrace } from "./mesh-answers.ts";
import { membersText, routesText, traceText } from "./mesh-text.ts";

export interface ShellCommandsOptions {
  readonly node: AdminNode;
  /** The process that the shell runs as. */
  readonly self: Self;
  readonly print: (text: string) => void;
}

const helpText = `nodes()                          nodes we have a link to
connect("name@host:port")        true or false
ping("name@host:port")           {pong, Milliseconds} or pang
members()  routes()              the mesh as this node sees it; node.members() gives the values
trace("name@host:port")          which way messages take, hop by hop
join("host:port")                looks for a member there
leave()                          says farewell and stops this node
rpc(node, "mod", "fun", [args])  calls an exported function, own node included
send(to, message)                to: a pid, a name, {name, node} or tuple(name, node)
self()                           the shell's own pid
flush()                          prints the messages the shell got
receive({ timeoutMs })           takes one of them
spawn(async (self) => { … })     starts a process here
spawnOn(node, "mod", "fun", [args], { link, monitor })
processes()  processInfo(pid)    what runs here
register("name", pid)  unregister("name")  whereis("name")  registered()
link(pid)  unlink(pid)  monitor(pid)  demonitor(ref)  monitorNodes()  exit(pid, reason)
atom("a")  tuple(a, b)  float(1)  charlist("text")  term("{hello, [1,2]}")
stats()  node                    counters; the node itself
Promises are waited for; Ctrl-C stops waiting, Ctrl-D leaves the shell, and the node goes on.`;

/**
 * The functions that a shell on `node` offers, by name. What they do is done by the shell's process, as in Erlang: what
 * it spawns is linked to it, what it monitors is told to it, and what it sends stays in order.
 */
export function shellCommands({
  node,
  self,
  print,
}: ShellCommandsOptions): Readonly<Record<string, unknown>> {
  const done =
    <Args extends readonly unknown[]>(action: (...args: Args) => void) =>
    (...args: Args): true => {
      action(...args);
      return true;
    };
  const shown = (text: string): Term => {
    print(`${text}\n`);
    return atom("ok");
  };
  return {
    node,
    nodes: () => node.nodes(),
    connect: (name: string) => node.connect(name),
    ping: (name: string) => ping(node, name, print),
    members: () => shown(membersText(listMembers(node), node.name)),
    routes: () => shown(routesText(listRoutes(node), node.name)),
    trace: async (name: string) => shown(traceText(await measureTrace(node, name))),
    join: done((address: string) => node.join(address)),
    leave: () => node.close(),
    rpc: (target: string, module: string, name: string, args: readonly Term[] = [], options = {}) =>
      self.rpc(target, module, name, args, options),
    send: (to: Destination | Tuple, message: Term) => self.send(destination(to), message),
    self: () => self.pid,
    flush: () => flush(self, print),
    receive: (...given: readonly unknown[]) =>
      self.receive(...(given.map(own) as Parameters<Self["receive"]>)),
    spawn: (...given: Parameters<Self["spawn"]>) => self.spawn(...given),
    spawnOn: (target: string, module: string, name: string, args: readonly Term[] = [], options = {}) =>
      self.spawnOn(target, module, name, args, options),
    processes: () => node.processes(),
    processInfo: (pid: Pid) => node.processInfo(pid),
    register: done((name: string, pid: Pid) => self.registerName(name, pid)),
    unregister: done((name: string) => self.unregister(name)),
    whereis: (name: string) => self.whereis(name),
    registered: () => node.registered().map((name) => atom(name)),
    link: done((pid: Pid) => self.link(pid)),
    unlink: done((pid: Pid) => self.unlink(pid)),
    monitor: (target: Destination | Tuple) => self.monitor(destination(target)),
    demonitor: (...given: Parameters<Self["demonitor"]>) => self.demonitor(...given),
    monitorNodes: done((flag?: boolean) => self.monitorNodes(flag)),
    // Only exit/2: what exit/1 would end is the shell, and Ctrl-D does that.
    exit: done((to: Pid, reason: Term) => self.exit(to, reason)),
    stats: () => node.stats(),
    atom,
    tuple,
    float,
    charlist,
    term: parseTerm,
    help: () => print(`${helpText}\n`),
  };
}

/** A plain object that was written in the shell, whose `Object` is not ours, as one of ours: `receive` tells them apart. */
function own(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  const isForeign =
    prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) === null;
  return isForeign ? { ...value } : value;
}

/** Erlang's answers, and why when it is `pang`. */
async function ping(node: AdminNode, name: string, print: (text: string) => void): Promise<Term> {
  try {
    return tuple(atom("pong"), (await node.ping(name)).rttMs);
  } catch (thrown) {
    if (!(thrown instanceof MeshError)) throw thrown;
    print(`${thrown.code}: ${thrown.message}\n`);
    return atom("pang");
  }
}

async function flush(self: Self, print: (text: string) => void): Promise<Term> {
  for (;;) {
    let message: Term;
    try {
      message = await self.receive({ timeoutMs: 0 });
    } catch (thrown) {
      if (thrown instanceof MeshError && thrown.code === "TIMEOUT") return atom("ok");
      throw thrown;
    }
    print(`Shell got ${format(message)}\n`);
  }
}

/** `{name, node}` may be written as a tuple, as in Erlang. */
function destination(to: Destination | Tuple): Destination {
  if (!(to instanceof Tuple)) return to;
  const [name, node] = Array.from(to, (part: Term) => (part instanceof Atom ? part.name : part));
  if (to.length === 2 && typeof name === "string" && typeof node === "string") return { name, node };
  throw new MeshError("ENCODE", "a destination is a pid, a name, or {name, node}");
}
