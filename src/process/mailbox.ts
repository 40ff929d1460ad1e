import type { Term } from "../etf/index.ts";

const firstCapacity = 8;

/**
 * The messages of one process that no receive has taken yet, oldest first: a ring. Taking the first is constant time;
 * taking another moves those before it.
 */
export class Mailbox {
  #messages: Term[] = emptySlots(firstCapacity);
  /** Sizes on the wire; messages of this node count as 0. Made for the first that has one. */
  #sizes: number[] | undefined;
  #head = 0;
  #length = 0;
  #bytes = 0;

  get length(): number {
    return this.#length;
  }

  /** What the messages that came from other nodes took on the wire, bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  push(message: Term, bytes: number): void {
    if (this.#length === this.#messages.length) this.#grow();
    const slot = (this.#head + this.#length) & (this.#messages.length - 1);
    this.#messages[slot] = message;
    if (bytes > 0) {
      this.#sizes ??= zeros(this.#messages.length);
      this.#bytes += bytes;
    }
    if (this.#sizes !== undefined) this.#sizes[slot] = bytes;
    this.#length++;
  }

  /** The message at `index` from the oldest, below `length`. */
  at(index: number): Term {
    return this.#messages[(this.#head + index) & (this.#messages.length - 1)];
  }

  /** Removes and returns the message at `index`, below `length`. */
  take(index: number): Term {
    const mask = this.#messages.length - 1;
    const taken = (this.#head + index) & mask;
    const message = this.#messages[taken];
    if (this.#sizes !== undefined) this.#bytes -= this.#sizes[taken] as number;
    for (let at = index; at > 0; at--) {
      const to = (this.#head + at) & mask;
      const from = (this.#head + at - 1) & mask;
      this.#messages[to] = this.#messages[from];
      if (this.#sizes !== undefined) this.#sizes[to] = this.#sizes[from] as number;
    }
    this.#messages[this.#head] = undefined;
    this.#head = (this.#head + 1) & mask;
    this.#length--;
    // A burst must not keep its memory for the rest of the process's life.
    if (this.#length === 0 && mask >= 1_024) this.#reset();
    return message;
  }

  #reset(): void {
    this.#messages = emptySlots(firstCapacity);
    this.#sizes = undefined;
    this.#head = 0;
    this.#bytes = 0;
  }

  #grow(): void {
    const capacity = this.#messages.length * 2;
    const messages = emptySlots(capacity);
    for (let index = 0; index < this.#length; index++) messages[index] = this.at(index);
    if (this.#sizes !== undefined) {
      const sizes = zeros(capacity);
      const mask = this.#messages.length - 1;
      for (let index = 0; index < this.#length; index++) {
        sizes[index] = this.#sizes[(this.#head + index) & mask] as number;
      }
      this.#sizes = sizes;
    }
    this.#messages = messages;
    this.#head = 0;
  }
}

function emptySlots(capacity: number): Term[] {
  return Array.from<Term>({ length: capacity });
}

function zeros(length: number): number[] {
  return Array.from({ length }, () => 0);
}
