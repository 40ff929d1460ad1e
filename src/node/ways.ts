import { MeshError } from "../base/errors.ts";
import { canonicalNodeName } from "../base/node-name.ts";
import { isPortless } from "../erlang/index.ts";
import type { Signal, SignalSink } from "../process/signals.ts";
import type { ErlangNodes } from "./erlang/erlang-nodes.ts";
import type { ErlangRoute } from "./erlang/types.ts";
import type { Links, WaitingSignal } from "./links/index.ts";

/**
 * Which way each node is reached, by a link of Macula or by the Erlang distribution:
 *
 * - whoever is connected or being dialled, by that way;
 * - with epmd, a name without a port by the distribution: that is a stock node;
 * - a node attached to this Macula node by the carrier;
 * - everybody else by a link; when a Macula node of another name is there, the node may be one attached to that, and
 *   the carrier is asked for it. What was sent meanwhile moves along.
 *
 * A node has one way at a time. One that comes by the distribution while a link is wanted gets what waits for the link; a
 * link, whose name is proven, ends a distribution connection of that name.
 */
export class Ways implements SignalSink {
  readonly #links: Links;
  readonly #erlang: ErlangNodes;
  readonly #name: string;

  /** @param name this node's. */
  constructor(links: Links, erlang: ErlangNodes, name: string) {
    this.#links = links;
    this.#erlang = erlang;
    this.#name = name;
  }

  /** The one name, here, of the node that a program calls so. @throws MeshError `CONFIGURATION` when it is none. */
  canonical(name: string): string {
    const { distribution, stock } = this.#erlang;
    if (distribution.has(name)) return name;
    if (stock === undefined || !isPortless(name)) return canonicalNodeName(name);
    return name === stock.names.own ? this.#name : name;
  }

  /** Hot path. See `SignalSink`. */
  send(node: string, lane: number, key: number, signal: Signal): boolean {
    const { distribution } = this.#erlang;
    if (!distribution.has(node)) {
      const route = this.#links.knows(node) ? undefined : this.#routeOf(node);
      if (route === undefined) return this.#links.send(node, lane, key, signal);
      distribution.want(node, route);
    }
    return distribution.send(node, lane, key, signal);
  }

  /** Resolves when `node` is connected, dialling it if it is not. @throws MeshError (rejection) why it is not. */
  async connect(node: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { distribution } = this.#erlang;
    const name = this.canonical(node);
    if (name === this.#name) return;
    const route = this.#links.knows(name) ? undefined : this.#routeOf(name);
    if (route !== undefined) distribution.want(name, route);
    if (distribution.has(name)) await distribution.connect(name, options.signal);
    // When that finds another Macula node, `elsewhere` goes on.
    else await this.#links.connect(name, options);
  }

  /** Ends the connection in order. False when there is none. */
  disconnect(node: string): boolean {
    const { distribution } = this.#erlang;
    let name: string;
    try {
      name = this.canonical(node);
    } catch {
      // What is no name is nobody's.
      return false;
    }
    return distribution.has(name) ? distribution.disconnect(name) : this.#links.disconnect(name);
  }

  connected(): string[] {
    return [...this.#links.connected(), ...this.#erlang.distribution.connected()];
  }

  /** Whether `node` is connected by the distribution. */
  isErlang(node: string): boolean {
    return this.#erlang.distribution.isConnected(node);
  }

  pause(node: string, stream: number): void {
    if (this.#erlang.distribution.has(node)) this.#erlang.distribution.pause(node);
    else this.#links.pause(node, stream);
  }

  resume(node: string, stream: number): void {
    if (this.#erlang.distribution.has(node)) this.#erlang.distribution.resume(node);
    else this.#links.resume(node, stream);
  }

  /**
   * No link with `name` could be made. Takes over what waits for one when there is another way.
   * @returns what settles as that does.
   */
  elsewhere(
    name: string,
    error: MeshError,
    waiting: () => readonly WaitingSignal[],
  ): Promise<void> | undefined {
    const { carrier, distribution } = this.#erlang;
    if (carrier === undefined || error.code !== "WRONG_NODE") return undefined;
    distribution.want(name, carrier.route);
    const connected = distribution.connect(name);
    try {
      for (const { lane, signal } of waiting()) distribution.send(name, lane, 0, signal);
    } catch {
      // It cannot all go on, so nothing does: the senders are told that the node is not reached.
      distribution.disconnect(name);
    }
    return connected.catch((thrown: unknown) => {
      const failure = thrown as MeshError;
      if (failure.code !== "PEER_UNREACHABLE") throw failure;
      throw new MeshError("WRONG_NODE", `${error.message}, and ${failure.message}`, { cause: failure });
    });
  }

  #routeOf(node: string): ErlangRoute | undefined {
    const { stock, carrier } = this.#erlang;
    if (node === this.#name) return undefined;
    if (stock !== undefined && isPortless(node)) return stock;
    const isAttached = carrier?.carrier.nodes().some((name) => carrier.route.names.fromPeer(name) === node);
    return isAttached === true ? carrier?.route : undefined;
  }
}
