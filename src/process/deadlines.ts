import type { Instant } from "../base/time.ts";

/** Something that happens at a time unless it is put off or called off. The fields belong to `Deadlines`. */
export interface Deadline {
  /** When it is due; `undefined` while it is not set. */
  due: Instant | undefined;
  /** Where it stands in the heap, and by which instant and number it was put there; −1: not there. */
  slot: number;
  key: number;
  order: number;
  onDue(now: Instant): void;
}

/**
 * Deadlines of any number of processes, in a binary heap. A process that receives with a time-out sets its deadline
 * again and again, nearly always to a later instant: that only notes the new instant (constant time), and the place
 * in the heap is corrected when the old one comes to the top.
 */
export class Deadlines {
  readonly #heap: Deadline[] = [];
  #order = 0;

  /** Sets or moves. */
  set(deadline: Deadline, due: Instant): void {
    deadline.due = due;
    if (deadline.slot >= 0) {
      if (due >= deadline.key) return;
      this.#place(deadline, due);
      this.#up(deadline);
      return;
    }
    this.#insert(deadline, due);
  }

  /** Calls off, leaving the place in the heap to be used again. */
  clear(deadline: Deadline): void {
    deadline.due = undefined;
  }

  /** Calls off for good. */
  remove(deadline: Deadline): void {
    deadline.due = undefined;
    const { slot } = deadline;
    if (slot < 0) return;
    deadline.slot = -1;
    const last = this.#heap.pop() as Deadline;
    if (last === deadline) return;
    this.#heap[slot] = last;
    last.slot = slot;
    this.#up(last);
    this.#down(last);
  }

  /** The earliest instant set. */
  next(): Instant | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (top.due === undefined) this.remove(top);
      else if (top.due > top.key) {
        this.#place(top, top.due);
        this.#down(top);
      } else return top.due;
    }
    return undefined;
  }

  /** Removes and returns one that is due, the earliest first, equal ones in the order in which they were set. */
  expire(now: Instant): Deadline | undefined {
    const next = this.next();
    if (next === undefined || next > now) return undefined;
    const top = this.#heap[0] as Deadline;
    this.remove(top);
    return top;
  }

  #insert(deadline: Deadline, due: Instant): void {
    this.#place(deadline, due);
    deadline.slot = this.#heap.push(deadline) - 1;
    this.#up(deadline);
  }

  #place(deadline: Deadline, due: Instant): void {
    deadline.key = due;
    deadline.order = this.#order++;
  }

  #up(deadline: Deadline): void {
    let { slot } = deadline;
    while (slot > 0) {
      const above = (slot - 1) >> 1;
      const parent = this.#heap[above] as Deadline;
      if (!before(deadline, parent)) break;
      this.#heap[slot] = parent;
      parent.slot = slot;
      slot = above;
    }
    this.#heap[slot] = deadline;
    deadline.slot = slot;
  }

  #down(deadline: Deadline): void {
    const size = this.#heap.length;
    let { slot } = deadline;
    for (let below = 2 * slot + 1; below < size; below = 2 * slot + 1) {
      const right = this.#heap[below + 1];
      let child = this.#heap[below] as Deadline;
      if (right !== undefined && before(right, child)) child = right;
      if (!before(child, deadline)) break;
      const childSlot = child.slot;
      this.#heap[slot] = child;
      child.slot = slot;
      slot = childSlot;
    }
    this.#heap[slot] = deadline;
    deadline.slot = slot;
  }
}

function before(a: Deadline, b: Deadline): boolean {
  return a.key < b.key || (a.key === b.key && a.order < b.order);
}
