import type { Random } from "../base/random.ts";
import { RunningHash } from "./hash.ts";
import type { SimulatedNode } from "./node.ts";
import { type PathOptions, resolvePathOptions } from "./options.ts";

/** Who can reach whom, how fast and how surely. */
export class Network {
  readonly #seed: number;
  readonly #random: Random;
  #everywhere: Required<PathOptions>;
  /** Paths with options of their own, by sender and receiver. */
  readonly #paths = new Map<SimulatedNode, Map<SimulatedNode, Required<PathOptions>>>();
  readonly #cuts = new Map<SimulatedNode, Set<SimulatedNode>>();

  constructor(seed: number, random: Random, everywhere: PathOptions) {
    this.#seed = seed;
    this.#random = random;
    this.#everywhere = resolvePathOptions(everywhere);
  }

  /** Changes what holds for all paths that have no options of their own. */
  set(options: PathOptions): void {
    this.#everywhere = resolvePathOptions(options, this.#everywhere);
  }

  setPath(from: SimulatedNode, to: SimulatedNode, options: PathOptions): void {
    const paths = this.#paths.get(from) ?? new Map<SimulatedNode, Required<PathOptions>>();
    this.#paths.set(from, paths.set(to, resolvePathOptions(options, this.#path(from, to))));
  }

  cut(from: SimulatedNode, to: SimulatedNode): void {
    const cuts = this.#cuts.get(from) ?? new Set();
    this.#cuts.set(from, cuts.add(to));
  }

  mendAll(): void {
    this.#cuts.clear();
  }

  /** Whether anything gets from one to the other at all. */
  passes(from: SimulatedNode, to: SimulatedNode): boolean {
    return from.side === to.side && this.#cuts.get(from)?.has(to) !== true;
  }

  /** When a datagram sent now arrives, in milliseconds from now: none when it is lost, two when it is doubled. */
  datagramDelays(from: SimulatedNode, to: SimulatedNode): number[] {
    const path = this.#path(from, to);
    if (!this.passes(from, to) || this.#happens(path.lossRate)) return [];
    const delays = [this.#delay(path, from, to)];
    if (this.#happens(path.duplicateRate)) delays.push(this.#delay(path, from, to));
    return delays;
  }

  /** The same over a link, which repeats what is lost. */
  linkDelay(from: SimulatedNode, to: SimulatedNode): number {
    const path = this.#path(from, to);
    let delay = this.#delay(path, from, to);
    // Found missing after a round trip; a path that loses everything is as good as cut, and gives up some time.
    for (let lost = 0; lost < 20 && this.#happens(path.lossRate); lost++) {
      delay += 2 * this.#delay(path, from, to) + 1;
    }
    return delay;
  }

  #path(from: SimulatedNode, to: SimulatedNode): Required<PathOptions> {
    return this.#paths.get(from)?.get(to) ?? this.#everywhere;
  }

  #delay(path: Required<PathOptions>, from: SimulatedNode, to: SimulatedNode): number {
    const [least, greatest] = path.delayMs;
    let delay = least;
    if (greatest > least) delay += (greatest - least) * this.#pairFloat(from, to);
    if (path.jitterMs > 0) delay -= path.jitterMs * Math.log(1 - this.#random.float());
    if (this.#happens(path.reorderRate)) delay += path.reorderMs * this.#random.float();
    return delay;
  }

  /** A number of [0, 1) that belongs to a pair of nodes, the same both ways: distances do not change. */
  #pairFloat(from: SimulatedNode, to: SimulatedNode): number {
    const [near, far] = from.id < to.id ? [from.id, to.id] : [to.id, from.id];
    const hash = new RunningHash(this.#seed);
    // The first digits of an id are as random as all of them.
    for (let index = 0; index < 6; index++) hash.u32(near.charCodeAt(index)).u32(far.charCodeAt(index));
    return hash.words()[0] / 0x1_0000_0000;
  }

  #happens(rate: number): boolean {
    return rate > 0 && this.#random.float() < rate;
  }
}
