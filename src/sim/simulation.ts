import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { EventQueue } from "./event-queue.ts";
import { RunningHash } from "./hash.ts";
import type { HostContext, HostInput, HostOutput, SimulatedHost } from "./host.ts";
import { Links } from "./links.ts";
import { Network } from "./network.ts";
import { SimulatedNode } from "./node.ts";
import {
  type LogEntry,
  type LogEvent,
  type PathOptions,
  resolveSimulationOptions,
  type SimulationOptions,
} from "./options.ts";
import { standInCrypto, standInPublicKey } from "./stand-in-crypto.ts";

/** What an unfragmented QUIC datagram has room for. */
const datagramBytesMax = 1_200;

export interface NodeSetup<Host extends SimulatedHost> {
  /** For the log. Default `n1`, `n2`, … */
  readonly name?: string;
  /** Where it can be dialled. Default one of 10.0.0.0/8, port 4433. */
  readonly address?: string;
  /** Makes the host of each of its lives. */
  readonly create: (context: HostContext) => Host;
}

/**
 * A network of hosts in virtual time. Nothing in it depends on the real clock, on real randomness or on the order of
 * promises: the same seed and the same calls give the same history, whose `digest` tells.
 */
export class Simulation {
  readonly seed: number;
  /** For whatever the test leaves to chance: seeded too. */
  readonly random: Random;
  readonly #nodes: SimulatedNode[] = [];
  readonly #byId = new Map<NodeId, SimulatedNode>();
  readonly #byAddress = new Map<string, SimulatedNode>();
  readonly #events = new EventQueue();
  readonly #hash: RunningHash;
  readonly #options: ReturnType<typeof resolveSimulationOptions>;
  readonly #network: Network;
  readonly #links: Links;
  readonly #log: ((entry: LogEntry) => void) | undefined;
  #nowMs = 0;
  #eventsRun = 0;

  constructor(options: SimulationOptions) {
    this.#options = resolveSimulationOptions(options);
    this.seed = options.seed;
    this.random = this.#stream("test");
    this.#hash = new RunningHash(options.seed);
    const { log, ...rest } = options;
    this.#log = log;
    this.#network = new Network(options.seed, this.#stream("network"), pathOptions(rest));
    this.#links = new Links(this.#linkSurroundings(), this.#network, this.#options);
  }

  /** Virtual time since the start, milliseconds. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get nodes(): readonly SimulatedNode[] {
    return this.#nodes;
  }

  /** How many events have happened: ticks, arrivals, dials. */
  get eventsRun(): number {
    return this.#eventsRun;
  }

  /** 16 hexadecimal digits that depend on everything that has happened so far. */
  digest(): string {
    return this.#hash.digest();
  }

  nodeOf(id: NodeId): SimulatedNode | undefined {
    return this.#byId.get(id);
  }

  /** Adds a node and starts it. */
  add<Host extends SimulatedHost>(setup: NodeSetup<Host>): SimulatedNode<Host> {
    const number = this.#nodes.length + 1;
    const name = setup.name ?? `n${number}`;
    const address = setup.address ?? `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}:4433`;
    if (this.#byAddress.has(address)) throw new RangeError(`${address} is taken`);
    const random = this.#stream(`node ${number}`);
    const publicKey = standInPublicKey(random);
    const crypto = standInCrypto(publicKey);
    const id = nodeIdFromBytes(crypto.sha256(publicKey));
    const { clockOffsetMs, clockDriftRate } = this.#options;
    const clock = {
      // Clocks are not negative, so that a host's zero is in its past.
      offsetMs: clockOffsetMs * 2 * random.float(),
      rate: 1 + clockDriftRate * (2 * random.float() - 1),
    };
    const node = new SimulatedNode<Host>(
      { name, id, publicKey, address, random, crypto },
      setup.create,
      clock,
      {
        nowMs: () => this.#nowMs,
        backlogMax: this.#options.backlogMax,
        carryOut: (by, output) => this.#carryOut(by, output),
        wakeAt: (whom, atMs) => this.#events.add(atMs, () => whom.wake()),
      },
    );
    this.#nodes.push(node);
    this.#byId.set(id, node);
    this.#byAddress.set(address, node);
    this.#record("started", node, undefined, () => `${address} ${id}`);
    node.start();
    return node;
  }

  /** Lets time pass. What is due at the last instant still happens. */
  run(how: { readonly forMs: number }): void {
    const endMs = this.#nowMs + how.forMs;
    while ((this.#events.nextMs ?? Infinity) <= endMs) this.#step();
    this.#nowMs = endMs;
  }

  /**
   * Lets time pass until `isTrue`, asked every `everyMs` (default 100), or until `withinMs` have passed.
   * @returns the milliseconds it took; `undefined` when it did not become true.
   */
  runUntil(
    isTrue: () => boolean,
    how: { readonly withinMs: number; readonly everyMs?: number },
  ): number | undefined {
    const startMs = this.#nowMs;
    while (!isTrue()) {
      const leftMs = startMs + how.withinMs - this.#nowMs;
      if (leftMs <= 0) return undefined;
      this.run({ forMs: Math.min(how.everyMs ?? 100, leftMs) });
    }
    return this.#nowMs - startMs;
  }

  /** Has something done when `delayMs` have passed: a step of a scenario. */
  later(delayMs: number, run: () => void): void {
    this.#events.add(this.#nowMs + delayMs, run);
  }

  /** Gone without a word, as by `kill -9` or a power cut: its peers find out by silence. */
  crash(node: SimulatedNode): void {
    if (node.state === "down") return;
    node.stop();
    this.#record("crashed", node);
    this.#links.review(node);
  }

  /** Ended in order: its links are closed. What the host has to say before, it says in `act`. */
  stop(node: SimulatedNode): void {
    if (node.state === "down") return;
    this.#links.closeAll(node);
    node.stop();
    this.#record("stopped", node);
  }

  /** Starts a node that is down with a new host, at the same address or at another. */
  restart(node: SimulatedNode, address = node.address): void {
    this.#links.resetAll(node);
    if (address !== node.address) this.move(node, address);
    this.#record("started", node, undefined, () => `life ${node.lives + 1} at ${address}`);
    node.start();
  }

  /** Stands still, as under SIGSTOP or a long garbage collection: no timer fires, what arrives waits. */
  pause(node: SimulatedNode, forMs?: number): void {
    if (node.state !== "running") return;
    node.pause();
    this.#record("paused", node, undefined, () => (forMs === undefined ? "" : `for ${forMs} ms`));
    this.#links.review(node);
    const { lives } = node;
    if (forMs !== undefined) this.later(forMs, () => node.lives === lives && this.resume(node));
  }

  resume(node: SimulatedNode): void {
    if (node.state !== "paused") return;
    this.#record("resumed", node);
    node.resume();
    this.#links.review(node);
  }

  /** Gives a node another address. Its links stay (QUIC migrates them); dials to the old address fail. */
  move(node: SimulatedNode, address: string): void {
    if (this.#byAddress.has(address)) throw new RangeError(`${address} is taken`);
    this.#byAddress.delete(node.address);
    node.currentAddress = address;
    this.#byAddress.set(address, node);
    this.#record("moved", node, undefined, () => address);
  }

  /** Parts the network: nodes of different groups do not reach each other; those in no group are one more group. */
  partition(groups: readonly (readonly SimulatedNode[])[]): void {
    for (const node of this.#nodes) node.side = 0;
    for (const [index, group] of groups.entries()) for (const node of group) node.side = index + 1;
    this.#recordNetwork(() => `partition into ${groups.map((group) => group.length).join(" and ")} nodes`);
    this.#links.review();
  }

  /** Cuts one direction: nothing of `from` reaches `to`. */
  cut(from: SimulatedNode, to: SimulatedNode): void {
    this.#network.cut(from, to);
    this.#recordNetwork(() => `cut ${from.name} → ${to.name}`);
    this.#links.review(from);
  }

  /** Ends all partitions and cuts. */
  heal(): void {
    for (const node of this.#nodes) node.side = 0;
    this.#network.mendAll();
    this.#recordNetwork(() => "healed");
    this.#links.review();
  }

  /** Changes delay, loss and the like everywhere, but for paths with settings of their own. */
  setNetwork(options: PathOptions): void {
    this.#network.set(options);
    this.#recordNetwork(() => JSON.stringify(options));
  }

  /** Changes them for one direction between two nodes. */
  setPath(from: SimulatedNode, to: SimulatedNode, options: PathOptions): void {
    this.#network.setPath(from, to, options);
    this.#recordNetwork(() => `${from.name} → ${to.name} ${JSON.stringify(options)}`);
  }

  /** The nodes that `node` has a link to at the moment. */
  linksOf(node: SimulatedNode): SimulatedNode[] {
    return this.#links.peersOf(node);
  }

  #step(): void {
    this.#nowMs = Math.max(this.#nowMs, this.#events.nextMs ?? 0);
    this.#eventsRun++;
    this.#events.shift()?.();
  }

  #carryOut(node: SimulatedNode, output: HostOutput): void {
    switch (output.type) {
      case "datagram":
        this.#sendDatagram(node, output.to, output.bytes);
        break;
      case "message": {
        node.traffic.messages++;
        node.traffic.messageBytes += output.bytes.length;
        const to = this.#byId.get(output.to);
        const isSent = this.#links.send(node, output.to, output.bytes);
        this.#record(isSent ? "sent" : "lost", node, to, () => description(node, "message", output.bytes));
        break;
      }
      case "wantLink":
        this.#links.want(node, output.peer, output.address);
        break;
      case "dropLink":
        this.#links.drop(node, output.peer);
        break;
      case "endLink":
        this.#links.end(node, output.peer);
        break;
      case "news":
        this.#hash.text(output.text);
        this.#record("news", node, undefined, () => output.text);
        break;
      default:
        output satisfies never;
    }
  }

  #sendDatagram(from: SimulatedNode, id: NodeId, bytes: Uint8Array): void {
    if (bytes.length > datagramBytesMax)
      throw new RangeError(`a datagram has ${bytes.length} bytes, at most ${datagramBytesMax} are possible`);
    from.traffic.datagrams++;
    from.traffic.datagramBytes += bytes.length;
    const to = this.#byId.get(id);
    const delays = to === undefined ? [] : this.#network.datagramDelays(from, to);
    const event = delays.length > 0 ? "sent" : "lost";
    this.#record(event, from, to, () => description(from, "datagram", bytes));
    if (to === undefined || delays.length === 0) from.traffic.datagramsLost++;
    else for (const delayMs of delays) this.later(delayMs, () => this.#arrive(to, from, "datagram", bytes));
  }

  #arrive(to: SimulatedNode, from: SimulatedNode, type: "datagram" | "message", bytes: Uint8Array): void {
    this.#hash.bytes(bytes);
    this.#record("received", to, from, () => description(to, type, bytes));
    if (!to.deliver({ type, from: from.id, bytes })) from.traffic.datagramsLost++;
  }

  #tell(event: LogEvent, node: SimulatedNode, input: HostInput, peer?: SimulatedNode, detail = ""): void {
    if (node.state === "down") return;
    this.#record(event, node, peer, () => detail);
    node.deliver(input);
  }

  #linkSurroundings(): ConstructorParameters<typeof Links>[0] {
    return {
      nowMs: () => this.#nowMs,
      later: (delayMs, run) => this.later(delayMs, run),
      nodeAt: (address) => this.#byAddress.get(address),
      nodeOf: (id) => this.#byId.get(id),
      linkUp: (node, peer) =>
        this.#tell("linkUp", node, { type: "linkUp", peer: peer.id, address: peer.address }, peer),
      linkDown: (node, peer, reason) =>
        this.#tell("linkDown", node, { type: "linkDown", peer: peer.id, reason }, peer, reason),
      linkFailed: (node, peer, address, reason) => {
        const input = { type: "linkFailed", peer, address, reason } as const;
        this.#tell("linkFailed", node, input, undefined, `${address} ${reason}`);
      },
      message: (node, from, bytes) => this.#arrive(node, from, "message", bytes),
    };
  }

  #record(event: LogEvent, node: SimulatedNode, peer?: SimulatedNode, detail?: () => string): void {
    this.#hash.time(this.#nowMs).text(event).text(node.name);
    if (peer !== undefined) this.#hash.text(peer.name);
    this.#log?.({
      atMs: this.#nowMs,
      event,
      node: node.name,
      ...(peer === undefined ? {} : { peer: peer.name }),
      ...(detail === undefined ? {} : { detail: detail() }),
    });
  }

  #recordNetwork(detail: () => string): void {
    const text = detail();
    this.#hash.time(this.#nowMs).text(text);
    this.#log?.({ atMs: this.#nowMs, event: "network", node: "*", detail: text });
  }

  /** Randomness for one purpose, so that what one draws changes nothing for another. */
  #stream(purpose: string): Random {
    return seededRandom(new RunningHash(this.#options.seed).text(purpose).words()[0]);
  }
}

function description(node: SimulatedNode, kind: string, bytes: Uint8Array): string {
  return `${kind} of ${bytes.length} bytes${node.host.describe === undefined ? "" : `: ${node.host.describe(bytes)}`}`;
}

/** Of the options those that concern paths, without the keys that were not given. */
function pathOptions(given: SimulationOptions): PathOptions {
  const { delayMs, jitterMs, lossRate, duplicateRate, reorderRate, reorderMs } = given;
  return Object.fromEntries(
    Object.entries({ delayMs, jitterMs, lossRate, duplicateRate, reorderRate, reorderMs }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}
