import type { NodeId } from "../base/node-id.ts";
import type { Instant } from "../base/time.ts";

const creditMax = 20;
/** At 20 % loss an honest node is wrong a few times an hour; this allows for twelve times a minute. */
const refillMs = 5_000;
const accusersMax = 1_024;

/**
 * How much each accuser is still believed. An accusation costs one, which is given back when its subject is found to be
 * dead; who has none left is not listened to until time has given some back. It keeps a liar from having the mesh busy
 * with refutations.
 */
export class Credit {
  readonly #spent = new Map<NodeId, { count: number; at: Instant }>();

  isBelieved(accuser: NodeId, now: Instant): boolean {
    // One whole accusation must be left: else the first moment of the refill would buy the next.
    return this.#spentBy(accuser, now) <= creditMax - 1;
  }

  /** An accusation by this member is believed: it is wrong until it is found to be right. */
  charge(accuser: NodeId, now: Instant): void {
    this.#set(accuser, Math.min(creditMax, this.#spentBy(accuser, now) + 1), now);
  }

  /** It was right. */
  giveBack(accuser: NodeId, now: Instant): void {
    this.#set(accuser, Math.max(0, this.#spentBy(accuser, now) - 1), now);
  }

  #set(accuser: NodeId, count: number, now: Instant): void {
    this.#spent.delete(accuser);
    if (count === 0) return;
    const [oldest] = this.#spent.size >= accusersMax ? this.#spent.keys() : [];
    if (oldest !== undefined) this.#spent.delete(oldest);
    this.#spent.set(accuser, { count, at: now });
  }

  #spentBy(accuser: NodeId, now: Instant): number {
    const spent = this.#spent.get(accuser);
    return spent === undefined ? 0 : Math.max(0, spent.count - (now - spent.at) / refillMs);
  }
}
