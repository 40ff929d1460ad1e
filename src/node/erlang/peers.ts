import { soon } from "../../io/soon.ts";
import type { Peer } from "./peer.ts";

/** The Erlang nodes that are connected or wanted; what is sent to them is written once per turn of the event loop. */
export class ErlangPeers {
  /** A lane of `node` whose senders were told to wait: they may go on. */
  readonly #onDrained: (node: string, lane: number) => void;
  readonly #peers = new Map<string, Peer>();
  #unflushed: Peer[] = [];

  constructor(onDrained: (node: string, lane: number) => void) {
    this.#onDrained = onDrained;
  }

  has(node: string): boolean {
    return this.#peers.has(node);
  }

  get(node: string): Peer | undefined {
    return this.#peers.get(node);
  }

  add(peer: Peer): void {
    this.#peers.set(peer.name, peer);
  }

  names(): string[] {
    return [...this.#peers.keys()];
  }

  connected(): Peer[] {
    return [...this.#peers.values()].filter(({ connection }) => connection !== undefined);
  }

  /** Drops what was queued; senders who wait are let go. */
  forget(peer: Peer): void {
    this.#peers.delete(peer.name);
    peer.endDialling();
    for (const lane of peer.release()) this.#onDrained(peer.name, lane);
  }

  /** Hot path. */
  flushLater(peer: Peer): void {
    if (peer.unflushed) return;
    peer.unflushed = true;
    this.#unflushed.push(peer);
    if (this.#unflushed.length === 1) soon(this.#flushAll);
  }

  flush(peer: Peer): void {
    for (const lane of peer.flush()) this.#onDrained(peer.name, lane);
  }

  readonly #flushAll = (): void => {
    const unflushed = this.#unflushed;
    this.#unflushed = [];
    for (const peer of unflushed) {
      peer.unflushed = false;
      this.flush(peer);
    }
  };
}
