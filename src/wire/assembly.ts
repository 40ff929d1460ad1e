import { after, type Instant } from "../base/time.ts";
import type { ReassemblyBudget } from "./budgets.ts";

/** What is allocated for the first piece of something longer: it spares all but the longest messages a move. */
const firstBytes = 0x20_0000;
const growth = 4;

/** Makes a buffer of so many bytes. What is in it does not matter: it is handed on only when all of it was written. */
export type Allocate = (bytes: number) => Uint8Array;

/**
 * A payload that arrives in pieces. Each is written once, into a buffer that is at most `growth` times what has
 * arrived (or `firstBytes`), and is paid for from the peer's budget.
 *
 * Threat: announcing 16 MiB a thousand times. Each costs the peer 2 MiB of its budget, so the 33rd is refused.
 */
export class Assembly {
  readonly total: number;
  readonly #budget: ReassemblyBudget;
  readonly #allocate: Allocate;
  #buffer: Uint8Array = new Uint8Array(0);
  #length = 0;
  #deadline: Instant;

  constructor(total: number, budget: ReassemblyBudget, allocate: Allocate, deadline: Instant) {
    this.total = total;
    this.#budget = budget;
    this.#allocate = allocate;
    this.#deadline = deadline;
  }

  /** Bytes that have arrived. */
  get length(): number {
    return this.#length;
  }

  /** When it will have waited too long for its next byte. */
  get deadline(): Instant {
    return this.#deadline;
  }

  /** Bytes came, or could not come because we did not read: the wait begins anew. */
  postpone(now: Instant, waitMs: number): void {
    this.#deadline = after(now, waitMs);
  }

  /**
   * The caller has seen that `piece` does not go beyond `total`.
   * @throws MeshError `LIMIT` when the peer's budget is used up.
   */
  append(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(piece, this.#length);
    this.#length = length;
  }

  /**
   * Where the next bytes belong, 1 to `lengthMax`: for whoever can put them there without a copy, and then says
   * `filled`. The caller has seen that `lengthMax` does not go beyond `total`.
   * @throws MeshError `LIMIT` as for `append`.
   */
  room(lengthMax: number): Uint8Array {
    if (this.#length === this.#buffer.length) this.#grow(this.#length + 1);
    return this.#buffer.subarray(this.#length, this.#length + lengthMax);
  }

  /** So many bytes were put into `room`. */
  filled(length: number): void {
    this.#length += length;
  }

  /** The whole payload, once `length` is `total`; its memory no longer counts as incomplete. */
  finish(): Uint8Array {
    this.release();
    return this.#buffer;
  }

  /** Gives the memory back to the budget. */
  release(): void {
    this.#budget.give(this.#buffer.length);
  }

  #grow(length: number): void {
    const capacity = Math.min(this.total, Math.max(length, firstBytes, this.#buffer.length * growth));
    this.#budget.take(capacity - this.#buffer.length);
    const grown = this.#allocate(capacity);
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
