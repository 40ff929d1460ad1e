import { MeshError } from "../base/errors.ts";
import { after } from "../base/time.ts";
import { atom, Pid, Reference, type Term, tuple } from "../etf/index.ts";
import type { Exported } from "./exports.ts";
import type { Kernel } from "./kernel.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";
import type { SpawnError, SpawnReplySignal, SpawnRequestSignal } from "./signals.ts";
import type { ProcessBody, SpawnOnOptions } from "./types.ts";
import type { Wait } from "./wait.ts";

const abandoned = atom("abandoned");
const undef = atom("undef");

/** A spawn request without a reply. */
export interface PendingSpawn {
  readonly owner: Process;
  readonly ref: Reference;
  readonly what: string;
  readonly wait: Wait<Pid>;
}

/** Remote spawn (SPAWN_REQUEST 0x0C, SPAWN_REPLY 0x0D). Code never travels: only exported functions can be spawned. */
export class Spawner {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /**
   * Unlike Erlang, which spawns a process that exits with `undef` at once, a function that is not exported is an
   * error, and there is no process.
   */
  request(
    owner: Process,
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options: SpawnOnOptions = {},
  ): Promise<Pid> {
    const kernel = this.#kernel;
    const what = `spawn of ${module}:${name}/${args.length} on ${node}`;
    const wait = kernel.wait<Pid>(owner, what);
    const link = options.link ?? false;
    const monitor = options.monitor !== undefined && options.monitor !== false;
    const ref = options.monitor instanceof Reference ? options.monitor : kernel.makeReference();
    if (node === kernel.options.node) {
      this.#spawnHere(owner, wait, what, { module, name, args, link, monitor: monitor ? ref : undefined });
      return wait.promise;
    }
    const number = kernel.referenceNumber(ref);
    const peer = kernel.peers.get(node);
    try {
      if (number === undefined || peer.spawns.has(number)) {
        throw new MeshError("UNSUPPORTED", "the reference is not one of makeReference(), or in use");
      }
      const leader = owner.groupLeader;
      const from = owner.pid;
      kernel.signal(owner, node, {
        type: "spawnRequest",
        ref,
        from,
        leader,
        module,
        function: name,
        args,
        link,
        monitor,
      });
    } catch (error) {
      wait.fail(error as Error);
      return wait.promise;
    }
    peer.spawns.set(number, { owner, ref, what, wait });
    // While it waits for the reply, its own full mailbox must not hold that up.
    if (owner.pausedStreams !== undefined) kernel.flow.resume(owner);
    owner.spawning++;
    const forget = wait.onSettled;
    wait.onSettled = () => {
      forget?.();
      owner.spawning--;
      peer.spawns.delete(number);
    };
    const { timeoutMs = 5_000 } = options;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      const due = after(kernel.now(), timeoutMs);
      wait.until(due);
      kernel.deadlineSet(due);
    }
    return wait.promise;
  }

  #spawnHere(
    owner: Process,
    wait: Wait<Pid>,
    what: string,
    request: {
      readonly module: string;
      readonly name: string;
      readonly args: readonly Term[];
      readonly link: boolean;
      readonly monitor: Reference | undefined;
    },
  ): void {
    const exported = this.#kernel.exports.find(request.module, request.name);
    if (exported === undefined) return wait.fail(spawnError(what, "undef"));
    try {
      const body = bodyOf(exported, request.args);
      const process = this.#kernel.spawn(owner, body, { link: request.link });
      if (request.monitor !== undefined) {
        this.#kernel.monitors.monitor(owner, process.pid, request.monitor);
      }
      wait.succeed(process.pid);
    } catch (error) {
      wait.fail(error as Error);
    }
  }

  // --- Signals from other nodes ---

  onRequest(peer: Peer, signal: SpawnRequestSignal): void {
    const kernel = this.#kernel;
    const { ref, from, link, monitor } = signal;
    const refuse = (result: SpawnError): void =>
      kernel.signalSurely(peer.node, 0, 0, { type: "spawnReply", ref, to: from, link, monitor, result });
    const exported = kernel.exports.find(signal.module, signal.function);
    if (exported === undefined && signal.undefined !== "exits") return refuse("undef");
    const { linksPerNodeMax, monitorsPerNodeMax, spawnsPerNodeMax, processesMax } = kernel.options;
    if (
      peer.spawned >= spawnsPerNodeMax ||
      kernel.processes.size >= processesMax ||
      (link && peer.links.size >= linksPerNodeMax) ||
      (monitor && peer.watchedBy.size >= monitorsPerNodeMax)
    ) {
      kernel.counters.refusedSpawns++;
      return refuse("limit");
    }
    const body = exported === undefined ? undefinedBody(signal) : bodyOf(exported, signal.args);
    const process = kernel.spawn(undefined, body, { groupLeader: signal.leader });
    peer.spawned++;
    process.onExit(() => {
      peer.spawned--;
      kernel.peers.forget(peer);
    });
    if (link) kernel.links.establish(process, from);
    if (monitor) kernel.monitors.watchFor(peer, from, process, process.pid, ref);
    // First in the lane of the new process: nothing that it says comes before.
    kernel.signalSurely(peer.node, process.lane, process.orderKey, {
      type: "spawnReply",
      ref,
      to: from,
      link,
      monitor,
      result: process.pid,
    });
  }

  onReply(peer: Peer, signal: SpawnReplySignal): void {
    const kernel = this.#kernel;
    const { result } = signal;
    const number = kernel.referenceNumber(signal.ref);
    const pending = number === undefined ? undefined : peer.spawns.get(number);
    if (pending === undefined) {
      if (result instanceof Pid) this.#abandon(signal, result);
      return;
    }
    const { owner, ref, what, wait } = pending;
    if (!(result instanceof Pid)) return wait.fail(spawnError(what, result));
    if (signal.link) kernel.links.establish(owner, result);
    if (signal.monitor) kernel.monitors.establish(owner, result, ref);
    wait.succeed(result);
  }

  /** Nobody waited any longer: the new process must not stay linked with, or monitored by, nobody. */
  #abandon({ to, ref, link, monitor }: SpawnReplySignal, pid: Pid): void {
    const kernel = this.#kernel;
    const number = kernel.numberOf(to);
    const lane = kernel.laneOf(number);
    if (monitor) kernel.signalSurely(pid.node, lane, number, { type: "demonitor", from: to, to: pid, ref });
    if (link) {
      kernel.signalSurely(pid.node, lane, number, { type: "linkExit", from: to, to: pid, reason: abandoned });
    }
  }

  onNodeDown(peer: Peer): void {
    for (const { what, wait } of [...peer.spawns.values()]) {
      wait.fail(new MeshError("PEER_UNREACHABLE", `${what}: the node is gone`));
    }
  }
}

function bodyOf(exported: Exported, args: readonly Term[]): ProcessBody {
  if (exported.kind === "plain") return () => exported.call(...args);
  return (self) => exported.body(self, ...args);
}

/** Exits as a process of Erlang does whose function there is not. */
function undefinedBody({ module, function: name, args }: SpawnRequestSignal): ProcessBody {
  return (self) => self.exit(tuple(undef, [tuple(atom(module), atom(name), args, [])]));
}

function spawnError(what: string, error: SpawnError): MeshError {
  if (error === "undef") return new MeshError("NOT_EXPORTED", `${what}: not exported there`);
  return new MeshError("LIMIT", `${what}: too many processes, links or monitors there`);
}
