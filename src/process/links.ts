import { atom, type Pid, type Term } from "../etf/index.ts";
import { noconnection, noproc } from "./exit.ts";
import { unspeakable } from "./exits.ts";
import type { Kernel } from "./kernel.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";

const systemLimit = atom("system_limit");

/** A link with a process of another node, as seen from `process`. */
export interface RemoteLink {
  readonly process: Process;
  readonly pid: Pid;
  /** False once unlinked, while the peer has not acknowledged: an exit signal that arrives then is void. */
  active: boolean;
  /** The unlink that is to be acknowledged; 0 for none. */
  unlinkId: number;
}

/**
 * Links, with Erlang's link protocol ("Distribution protocol", §"Link protocol"): an unlink has an id and is
 * acknowledged. Until then, exits through the link and new links by the peer, both of which it sent before it saw the
 * unlink, change nothing; so both sides agree in the end, whatever crosses.
 */
export class Links {
  readonly #kernel: Kernel;
  #unlinkId = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  link(process: Process, to: Pid): void {
    const kernel = this.#kernel;
    if (kernel.isLocal(to)) {
      const other = kernel.find(to);
      if (other === process) return;
      if (other === undefined) kernel.exits.linkBroke(process, to, noproc);
      else join(process, other);
      return;
    }
    const link = process.remoteLinks?.get(linkKey(process, to));
    if (link?.active === true) return;
    kernel.signal(process, to.node, { type: "link", from: process.pid, to });
    if (link === undefined) this.establish(process, to);
    else {
      link.active = true;
      link.unlinkId = 0;
    }
  }

  unlink(process: Process, to: Pid): void {
    const kernel = this.#kernel;
    if (kernel.isLocal(to)) {
      const other = kernel.find(to);
      if (other !== undefined) part(process, other);
      return;
    }
    const link = process.remoteLinks?.get(linkKey(process, to));
    if (link?.active !== true) return;
    const id = ++this.#unlinkId;
    kernel.signal(process, to.node, { type: "unlink", id, from: process.pid, to });
    link.active = false;
    link.unlinkId = id;
  }

  /** Notes an active link with a process of another node. */
  establish(process: Process, pid: Pid): void {
    const key = linkKey(process, pid);
    const link: RemoteLink = { process, pid, active: true, unlinkId: 0 };
    (process.remoteLinks ??= new Map()).set(key, link);
    this.#kernel.peers.get(pid.node).links.set(key, link);
  }

  /** Whom `process` is linked with. */
  of(process: Process): Pid[] {
    const remote = [...(process.remoteLinks?.values() ?? [])].filter((link) => link.active);
    return [...(process.links ?? [])].map((other) => other.pid).concat(remote.map((link) => link.pid));
  }

  // --- Signals from other nodes ---

  onLink(peer: Peer, from: Pid, to: Pid): void {
    const kernel = this.#kernel;
    const process = kernel.find(to);
    if (process === undefined) return this.#refuse(from, to, noproc);
    // Our unlink is on its way: the peer, which will read it after having sent this, drops the link then.
    if (process.remoteLinks?.has(linkKey(process, from)) === true) return;
    if (peer.links.size >= kernel.options.linksPerNodeMax) {
      kernel.counters.refusedLinks++;
      return this.#refuse(from, to, systemLimit);
    }
    this.establish(process, from);
  }

  onUnlink(from: Pid, to: Pid, id: number | bigint): void {
    const process = this.#kernel.find(to);
    const link = process?.remoteLinks?.get(linkKey(process, from));
    if (link?.active === true) this.#forget(link);
    const number = this.#kernel.numberOf(to);
    this.#kernel.signalSurely(from.node, this.#kernel.laneOf(number), number, {
      type: "unlinkAck",
      id,
      from: to,
      to: from,
    });
  }

  onUnlinkAck(from: Pid, to: Pid, id: number | bigint): void {
    const process = this.#kernel.find(to);
    const link = process?.remoteLinks?.get(linkKey(process, from));
    if (link !== undefined && !link.active && link.unlinkId === id) this.#forget(link);
  }

  onExit(from: Pid, to: Pid, reason: Term): void {
    const process = this.#kernel.find(to);
    const link = process?.remoteLinks?.get(linkKey(process, from));
    if (process === undefined || link?.active !== true) return;
    this.#forget(link);
    this.#kernel.exits.linkBroke(process, from, reason);
  }

  onNodeDown(peer: Peer): void {
    const links = [...peer.links.values()];
    for (const link of links) this.#forget(link);
    for (const { process, pid, active } of links) {
      if (active && process.alive) this.#kernel.exits.linkBroke(process, pid, noconnection);
    }
  }

  // --- The end of a process ---

  ended(process: Process, reason: Term): void {
    const { links, remoteLinks } = process;
    process.links = undefined;
    process.remoteLinks = undefined;
    for (const other of links ?? []) {
      other.links?.delete(process);
      if (other.alive) this.#kernel.exits.linkBroke(other, process.pid, reason);
    }
    for (const [key, { pid, active }] of remoteLinks ?? []) {
      this.#kernel.peers.find(pid.node)?.links.delete(key);
      if (active) this.broke(process, pid, reason);
    }
  }

  /** Tells `to` that its link with `process` broke. */
  broke(process: Process, to: Pid, reason: Term): void {
    const signal = { type: "linkExit", from: process.pid, to, reason } as const;
    const fallback = { ...signal, reason: unspeakable };
    this.#kernel.signalReason(to.node, process.lane, process.orderKey, signal, fallback);
  }

  #refuse(from: Pid, to: Pid, reason: Term): void {
    // In the lane of the dead process, so that nothing it said before comes after.
    const number = this.#kernel.numberOf(to);
    this.#kernel.signalSurely(from.node, this.#kernel.laneOf(number), number, {
      type: "linkExit",
      from: to,
      to: from,
      reason,
    });
  }

  #forget(link: RemoteLink): void {
    const key = linkKey(link.process, link.pid);
    link.process.remoteLinks?.delete(key);
    this.#kernel.peers.find(link.pid.node)?.links.delete(key);
  }
}

function linkKey(process: Process, pid: Pid): string {
  return `${process.orderKey}/${pid.id}.${pid.serial}.${pid.creation}@${pid.node}`;
}

function join(a: Process, b: Process): void {
  (a.links ??= new Set()).add(b);
  (b.links ??= new Set()).add(a);
}

function part(a: Process, b: Process): void {
  a.links?.delete(b);
  b.links?.delete(a);
}
