import { MeshError } from "../base/errors.ts";
import { payloadMaxBytes } from "./limits.ts";

/**
 * What one peer may make us hold of messages that are not complete yet, shared by the Inboxes of its link.
 * Counted is the memory really taken, not what the peer says will come.
 */
export class ReassemblyBudget {
  readonly limitBytes: number;
  #usedBytes = 0;

  /**
   * @param limitBytes Default 64 MiB, at least 32 MiB: twice what senders begin (`SendBudget`), since a sender counts a
   *   message as finished when its last piece has left, and we when it has been read.
   */
  constructor(limitBytes = 0x400_0000) {
    if (!(limitBytes >= 2 * payloadMaxBytes)) throw new RangeError("limitBytes must be at least 32 MiB");
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** @throws MeshError `LIMIT` when the peer would exceed its budget. */
  take(bytes: number): void {
    if (this.#usedBytes + bytes > this.limitBytes) {
      throw new MeshError(
        "LIMIT",
        `incomplete messages of one peer would take ${this.#usedBytes + bytes} bytes, at most ${this.limitBytes} are allowed`,
      );
    }
    this.#usedBytes += bytes;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}

/**
 * The other end's patience: how many bytes of long messages the Outboxes of one link may have begun and not finished
 * together, so that the receiver's `ReassemblyBudget` is never exceeded by an honest sender. Wire protocol §3.
 * Whoever finds it used up waits in line.
 */
export class SendBudget {
  readonly limitBytes: number;
  #usedBytes = 0;
  readonly #waiting = new Set<() => void>();

  /** @param limitBytes Default 32 MiB, the protocol's; at least 16 MiB, or the longest message could never be sent. */
  constructor(limitBytes = 0x200_0000) {
    if (!(limitBytes >= payloadMaxBytes)) throw new RangeError("limitBytes must be at least 16 MiB");
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** True when `bytes` are now taken; otherwise `wake` is called when it is worth trying again. */
  take(bytes: number, wake: () => void): boolean {
    const [first] = this.#waiting;
    const turn = first === undefined || first === wake;
    if (!turn || this.#usedBytes + bytes > this.limitBytes) {
      this.#waiting.add(wake);
      return false;
    }
    this.#usedBytes += bytes;
    if (this.#waiting.delete(wake)) this.#wakeFirst();
    return true;
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes;
    this.#wakeFirst();
  }

  /** Takes `wake` out of the line. */
  leave(wake: () => void): void {
    if (this.#waiting.delete(wake)) this.#wakeFirst();
  }

  #wakeFirst(): void {
    const [first] = this.#waiting;
    first?.();
  }
}
