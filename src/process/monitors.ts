import { Atom, atom, Pid, type Reference, type Term, tuple } from "../etf/index.ts";
import { downMessage, isDownMessage, noconnection, noproc } from "./exit.ts";
import { unspeakable } from "./exits.ts";
import type { Kernel } from "./kernel.ts";
import { samePid, sameReference } from "./match.ts";
import type { Peer } from "./peers.ts";
import type { Process } from "./process.ts";
import type { DownSignal } from "./signals.ts";
import type { Destination } from "./types.ts";

const systemLimit = atom("system_limit");

/** One monitor. It ends with the `DOWN`, with `demonitor`, or with the process that holds it. */
export interface Watch {
  readonly ref: Reference;
  /** Who holds it: a process here, or one of another node. */
  readonly watcher: Process | Pid;
  /** The process watched, when it lives here. */
  readonly target: Process | undefined;
  /** What was monitored: a pid, or a name on a node. */
  readonly object: Pid | { readonly name: string; readonly node: string };
}

/** Monitors of processes, by pid and by name. */
export class Monitors {
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** `ref` was made here. @throws MeshError `ENCODE` or `LIMIT` when the other node cannot be told. */
  monitor(watcher: Process, to: Destination, ref: Reference): Reference {
    const kernel = this.#kernel;
    const object = typeof to === "string" ? { name: to, node: kernel.options.node } : to;
    if (object.node !== kernel.options.node) {
      const target = object instanceof Pid ? object : object.name;
      kernel.signal(watcher, object.node, { type: "monitor", from: watcher.pid, to: target, ref });
      this.establish(watcher, object, ref);
      return ref;
    }
    const target = object instanceof Pid ? kernel.find(object) : kernel.names.find(object.name);
    if (target === undefined) watcher.deliver(downMessage(ref, objectTerm(object), noproc), 0);
    else {
      const watch: Watch = { ref, watcher, target, object };
      (target.watchedBy ??= new Set()).add(watch);
      this.#hold(watcher, watch);
    }
    return ref;
  }

  /** Notes a monitor on a process of another node. */
  establish(watcher: Process, object: Watch["object"], ref: Reference): void {
    const watch: Watch = { ref, watcher, target: undefined, object };
    this.#hold(watcher, watch);
    this.#kernel.peers.get(object.node).watches.set(this.#number(ref), watch);
  }

  demonitor(watcher: Process, ref: Reference, flush: boolean): boolean {
    const number = this.#kernel.referenceNumber(ref);
    const watch = number === undefined ? undefined : watcher.watches?.get(number);
    if (watch === undefined) {
      if (flush) watcher.discard((message) => isDownOf(message, ref));
      return false;
    }
    this.#drop(watch);
    if (watch.target === undefined) {
      const { object } = watch;
      const to = object instanceof Pid ? object : object.name;
      this.#kernel.signalSurely(object.node, watcher.lane, watcher.orderKey, {
        type: "demonitor",
        from: watcher.pid,
        to,
        ref,
      });
    }
    return true;
  }

  // --- Signals from other nodes ---

  onMonitor(peer: Peer, from: Pid, to: Pid | string, ref: Reference): void {
    const kernel = this.#kernel;
    const target = to instanceof Pid ? kernel.find(to) : kernel.names.find(to);
    if (target === undefined) return this.#down(from, to, ref, noproc, undefined);
    if (peer.watchedBy.size >= kernel.options.monitorsPerNodeMax) {
      kernel.counters.refusedMonitors++;
      return this.#down(from, to, ref, systemLimit, undefined);
    }
    const key = referenceKey(ref);
    // A reference is used once: a second monitor under it would make one of the two undeletable.
    if (peer.watchedBy.has(key)) return;
    const object = to instanceof Pid ? to : { name: to, node: kernel.options.node };
    this.watchFor(peer, from, target, object, ref);
  }

  /** A process of `peer` monitors `target` from now on. */
  watchFor(peer: Peer, watcher: Pid, target: Process, object: Watch["object"], ref: Reference): void {
    const watch: Watch = { ref, watcher, target, object };
    peer.watchedBy.set(referenceKey(ref), watch);
    (target.watchedBy ??= new Set()).add(watch);
  }

  onDemonitor(peer: Peer, from: Pid, ref: Reference): void {
    const key = referenceKey(ref);
    const watch = peer.watchedBy.get(key);
    if (watch === undefined || !(watch.watcher instanceof Pid) || !samePid(watch.watcher, from)) return;
    peer.watchedBy.delete(key);
    watch.target?.watchedBy?.delete(watch);
  }

  onDown(peer: Peer, signal: DownSignal): void {
    const number = this.#kernel.referenceNumber(signal.ref);
    // Only the node that was asked is believed: the table is its own.
    const watch = number === undefined ? undefined : peer.watches.get(number);
    if (watch === undefined) return;
    this.#drop(watch);
    this.#tellWatcher(watch, signal.reason);
  }

  onNodeDown(peer: Peer): void {
    const watches = [...peer.watches.values()];
    for (const watch of watches) this.#drop(watch);
    for (const watch of peer.watchedBy.values()) watch.target?.watchedBy?.delete(watch);
    peer.watchedBy.clear();
    for (const watch of watches) this.#tellWatcher(watch, noconnection);
  }

  // --- The end of a process ---

  ended(process: Process, reason: Term): void {
    const { watchedBy, watches } = process;
    process.watchedBy = undefined;
    for (const watch of watchedBy ?? []) {
      this.#drop(watch);
      if (watch.watcher instanceof Pid) {
        const { object } = watch;
        const from = object instanceof Pid ? object : object.name;
        this.#down(watch.watcher, from, watch.ref, reason, process);
      } else this.#tellWatcher(watch, reason);
    }
    for (const watch of watches?.values() ?? []) this.demonitor(process, watch.ref, false);
    process.watches = undefined;
  }

  #tellWatcher(watch: Watch, reason: Term): void {
    const { watcher } = watch;
    if (watcher instanceof Pid || !watcher.alive) return;
    watcher.deliver(downMessage(watch.ref, objectTerm(watch.object), reason), 0);
  }

  /** Tells a process of another node. `process` is the one that exited; without there was none. */
  #down(to: Pid, from: Pid | string, ref: Reference, reason: Term, process: Process | undefined): void {
    const kernel = this.#kernel;
    // In the lane of the dead process, so that nothing it said before comes after.
    const number = process?.orderKey ?? (from instanceof Pid ? kernel.numberOf(from) : 0);
    const signal = { type: "down", from, to, ref, reason } as const;
    kernel.signalReason(to.node, kernel.laneOf(number), number, signal, { ...signal, reason: unspeakable });
  }

  #hold(watcher: Process, watch: Watch): void {
    (watcher.watches ??= new Map()).set(this.#number(watch.ref), watch);
  }

  /** Takes the monitor out of all tables of this node. */
  #drop(watch: Watch): void {
    watch.target?.watchedBy?.delete(watch);
    if (watch.watcher instanceof Pid) {
      this.#kernel.peers.find(watch.watcher.node)?.watchedBy.delete(referenceKey(watch.ref));
      return;
    }
    const number = this.#number(watch.ref);
    watch.watcher.watches?.delete(number);
    if (watch.target === undefined) this.#kernel.peers.find(watch.object.node)?.watches.delete(number);
  }

  #number(ref: Reference): number {
    return this.#kernel.referenceNumber(ref) ?? -1;
  }
}

/** What `DOWN` shows: the pid, or `{Name, Node}`. */
function objectTerm(object: Watch["object"]): Term {
  return object instanceof Pid ? object : tuple(atom(object.name), atom(object.node));
}

function isDownOf(message: Term, ref: Reference): boolean {
  if (!isDownMessage(message)) return false;
  const of = message.elements[1];
  return !(of instanceof Atom) && isReference(of) && sameReference(of, ref);
}

function isReference(term: Term): term is Reference {
  return typeof term === "object" && term !== null && "ids" in term;
}

function referenceKey(ref: Reference): string {
  return `${ref.ids.join(".")}.${ref.creation}@${ref.node}`;
}
