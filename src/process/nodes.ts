import { atom, tuple } from "../etf/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";

const nodeup = atom("nodeup");
const nodedown = atom("nodedown");

/** Who wants to know which nodes come and go. */
export class Nodes {
  readonly #kernel: Kernel;
  /** Those who called `monitorNodes`. */
  readonly #everything = new Set<Process>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** `erlang:monitor_node/2`: as many `nodedown` messages as calls; a node that is not connected is dialled. */
  monitorNode(process: Process, node: string, flag: boolean): void {
    // This node cannot go down for its own processes.
    if (node === this.#kernel.options.node) return;
    const peer = this.#kernel.peers.get(node);
    const count = (peer.watchers.get(process) ?? 0) + (flag ? 1 : -1);
    if (count > 0) peer.watchers.set(process, count);
    else peer.watchers.delete(process);
    if (flag) {
      process.watchesNodes = true;
      if (!peer.up) this.#kernel.output({ type: "connect", node });
    } else this.#kernel.peers.forget(peer);
  }

  /** `net_kernel:monitor_nodes/1`. */
  monitorNodes(process: Process, flag: boolean): void {
    if (flag) {
      process.watchesNodes = true;
      this.#everything.add(process);
    } else this.#everything.delete(process);
  }

  onNodeUp(node: string): void {
    for (const process of this.#everything) process.deliver(tuple(nodeup, atom(node)), 0);
  }

  /** `wasUp`: those who watch all nodes hear only of what they heard come. */
  onNodeDown(peer: Peer, wasUp: boolean): void {
    const watchers = [...peer.watchers];
    peer.watchers.clear();
    const message = tuple(nodedown, atom(peer.node));
    for (const [process, count] of watchers) {
      for (let index = 0; index < count; index++) process.deliver(message, 0);
    }
    if (!wasUp) return;
    for (const process of this.#everything) process.deliver(message, 0);
  }

  ended(process: Process): void {
    if (!process.watchesNodes) return;
    this.#everything.delete(process);
    for (const peer of this.#kernel.peers.all()) peer.watchers.delete(process);
  }
}
