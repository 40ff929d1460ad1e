import { MeshError } from "../base/errors.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { backoffMs } from "./backoff.ts";
import type { PoolOptions } from "./options.ts";
import type { ConnectionNumber } from "./pool-messages.ts";
import type { Node } from "./pool-nodes.ts";

/**
 * Which nodes are wanted and which of them are being dialled, within `wantedMax` and `dialsMax`; those beyond the latter
 * wait in a queue, of which `wantedMax` is the bound. And how long to wait after a dial or a link that failed.
 */
export class PoolDials {
  readonly #options: Required<PoolOptions>;
  readonly #random: Random;
  readonly #queue = new Queue<Node>();
  #wanted = 0;
  #underWay = 0;

  constructor(options: Required<PoolOptions>, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** Nodes that somebody waits for. */
  get wanted(): number {
    return this.#wanted;
  }

  /** Nodes that are being dialled. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Somebody waits for `node` from now on. @returns why not, if it is one too many. */
  want(node: Node): MeshError | undefined {
    const { wantedMax } = this.#options;
    if (!node.wanted && this.#wanted >= wantedMax) {
      return new MeshError("LIMIT", `${wantedMax} nodes are being waited for already`);
    }
    if (!node.wanted) this.#wanted++;
    node.wanted = true;
    return undefined;
  }

  unwant(node: Node): void {
    if (node.wanted) this.#wanted--;
    node.wanted = false;
  }

  /** Whether `node` may be dialled now; if not, it waits in the queue. */
  mayBegin(node: Node): boolean {
    if (this.#underWay < this.#options.dialsMax) return true;
    node.queued = true;
    this.#queue.push(node);
    return false;
  }

  begin(node: Node, connection: ConnectionNumber): void {
    node.dial = { connection, contacted: false };
    this.#underWay++;
  }

  /** The dial of `node` came to an end, good or bad. */
  end(node: Node): void {
    node.dial = undefined;
    this.#underWay--;
  }

  /** The next node of the queue, if it may be dialled now. */
  next(): Node | undefined {
    if (this.#underWay >= this.#options.dialsMax) return undefined;
    const node = this.#queue.shift();
    if (node !== undefined) node.queued = false;
    return node;
  }

  /** Nobody of the queue is dialled any more. */
  clearQueue(): void {
    for (let node = this.#queue.shift(); node !== undefined; node = this.#queue.shift()) node.queued = false;
  }

  /** The next dial waits, the longer the more failures there were in a row. */
  backOff(node: Node, failures: number, now: Instant): void {
    const { backoffBaseMs, backoffMaxMs } = this.#options;
    node.failures = failures;
    node.notBefore = after(now, backoffMs(failures, backoffBaseMs, backoffMaxMs, this.#random.float()));
  }
}
