import { Pid } from "../etf/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";
import type { Signal } from "./signals.ts";

/** Takes signals from other nodes to where they belong, after checking who speaks. */
export class SignalRouter {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  route(node: string, stream: number, bytes: number, signal: Signal): void {
    const kernel = this.#kernel;
    const peer = kernel.peers.get(node);
    // A node may speak only for its own processes: else one could kill others' links in their names.
    if ("from" in signal && signal.from instanceof Pid && !speaksFor(peer, signal.from, signal.type)) {
      kernel.counters.forged++;
      return;
    }
    if ("to" in signal && signal.to instanceof Pid && !this.#isOurs(signal.to)) {
      kernel.counters.misrouted++;
      // Links and monitors want an answer all the same: the process of an earlier life is dead.
      if (!kernel.isLocal(signal.to) || (signal.type !== "link" && signal.type !== "monitor")) return;
    }
    switch (signal.type) {
      case "send":
        return this.#deliver(kernel.find(signal.to), signal.message, node, stream, bytes);
      case "regSend":
        return this.#deliver(kernel.names.find(signal.name), signal.message, node, stream, bytes);
      case "exit": {
        const process = kernel.find(signal.to);
        if (process !== undefined) kernel.exits.receive(process, signal.from, signal.reason);
        return;
      }
      case "linkExit":
        return kernel.links.onExit(signal.from, signal.to, signal.reason);
      case "down":
        return kernel.monitors.onDown(peer, signal);
      case "link":
        return kernel.links.onLink(peer, signal.from, signal.to);
      case "unlink":
        return kernel.links.onUnlink(signal.from, signal.to, signal.id);
      case "unlinkAck":
        return kernel.links.onUnlinkAck(signal.from, signal.to, signal.id);
      case "monitor":
        return kernel.monitors.onMonitor(peer, signal.from, signal.to, signal.ref);
      case "demonitor":
        return kernel.monitors.onDemonitor(peer, signal.from, signal.ref);
      case "groupLeader": {
        const process = kernel.find(signal.to);
        if (process !== undefined) process.groupLeader = signal.leader;
        return;
      }
      case "rpcCall":
        return kernel.rpc.onCall(peer, signal);
      case "rpcReply":
        return kernel.rpc.onReply(peer, signal);
      case "rpcCancel":
        return kernel.rpc.onCancel(peer, signal.id);
      case "spawnRequest":
        return kernel.spawner.onRequest(peer, signal);
      case "spawnReply":
        if (signal.result instanceof Pid && !speaksFor(peer, signal.result, signal.type)) {
          kernel.counters.forged++;
          return;
        }
        return kernel.spawner.onReply(peer, signal);
      default:
        signal satisfies never;
    }
  }

  #deliver(
    process: Process | undefined,
    message: Extract<Signal, { type: "send" }>["message"],
    node: string,
    stream: number,
    bytes: number,
  ): void {
    if (process === undefined) this.#kernel.counters.undelivered++;
    else if (!process.deliver(message, bytes, node)) this.#kernel.flow.pause(process, node, stream);
  }

  #isOurs(pid: Pid): boolean {
    return pid.creation === this.#kernel.options.creation && pid.node === this.#kernel.options.node;
  }
}

/** Of the processes of its earlier lives, a node can only say that they are dead. */
function speaksFor(peer: Peer, pid: Pid, type: Signal["type"]): boolean {
  if (pid.node !== peer.node) return false;
  if (peer.creation === undefined || peer.creation === pid.creation) return true;
  return type === "linkExit" || type === "down";
}
