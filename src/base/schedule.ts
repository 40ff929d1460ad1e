import type { Instant } from "./time.ts";

interface Entry<Key> {
  readonly key: Key;
  readonly due: Instant;
  readonly sequence: number;
}

/**
 * Deadlines of many things, at most one each: `Timers` for thousands of names. A binary heap; an entry that was moved
 * or cleared stays in it until it comes to the top, and the heap is rebuilt when most of it is such.
 * Equal deadlines expire in the order in which they were set.
 */
export class Schedule<Key> {
  readonly #current = new Map<Key, Entry<Key>>();
  #heap: Entry<Key>[] = [];
  #sequence = 0;

  get size(): number {
    return this.#current.size;
  }

  /** When `key` is due. */
  get(key: Key): Instant | undefined {
    return this.#current.get(key)?.due;
  }

  /** Starts or moves `key`; `undefined` clears it. */
  set(key: Key, due: Instant | undefined): void {
    if (due === undefined) {
      this.#current.delete(key);
      return;
    }
    if (this.#current.get(key)?.due === due) return;
    const entry = { key, due, sequence: this.#sequence++ };
    this.#current.set(key, entry);
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#current.size) this.#rebuild();
    else this.#up(entry);
  }

  clear(key: Key): void {
    this.#current.delete(key);
  }

  /** The next instant at which something is due. */
  deadline(): Instant | undefined {
    this.#skipStale();
    return this.#heap[0]?.due;
  }

  /** Removes and returns the next key due at or before `now`. */
  expire(now: Instant): Key | undefined {
    this.#skipStale();
    const top = this.#heap[0];
    if (top === undefined || top.due > now) return undefined;
    this.#current.delete(top.key);
    this.#pop();
    return top.key;
  }

  #skipStale(): void {
    for (
      let top = this.#heap[0];
      top !== undefined && this.#current.get(top.key) !== top;
      top = this.#heap[0]
    ) {
      this.#pop();
    }
  }

  #rebuild(): void {
    this.#heap = [...this.#current.values()].sort(before);
  }

  #up(entry: Entry<Key>): void {
    let index = this.#heap.length;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#heap[parentIndex] as Entry<Key>;
      if (before(parent, entry) <= 0) break;
      this.#heap[index] = parent;
      index = parentIndex;
    }
    this.#heap[index] = entry;
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    const { length } = this.#heap;
    let index = 0;
    for (let child = 1; child < length; child = 2 * index + 1) {
      const right = child + 1;
      if (right < length && before(this.#heap[right] as Entry<Key>, this.#heap[child] as Entry<Key>) < 0)
        child = right;
      const smaller = this.#heap[child] as Entry<Key>;
      if (before(last, smaller) <= 0) break;
      this.#heap[index] = smaller;
      index = child;
    }
    this.#heap[index] = last;
  }
}

function before<Key>(a: Entry<Key>, b: Entry<Key>): number {
  return a.due - b.due || a.sequence - b.sequence;
}
