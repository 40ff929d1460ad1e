import type { Instant } from "./time.ts";

interface Entry {
  readonly due: Instant;
  readonly sequence: number;
}

/**
 * The timers of one machine, by name: setting one twice moves it and none leaks. Timers due at the same instant
 * expire in the order in which they were set, so that a run can be repeated.
 *
 * Meant for the handful of names a machine has; `expire` and `deadline` look at each of them.
 */
export class Timers<Name> {
  readonly #entries = new Map<Name, Entry>();
  #sequence = 0;

  /** Starts or moves `name`. */
  set(name: Name, due: Instant): void {
    this.#entries.set(name, { due, sequence: this.#sequence++ });
  }

  /** Stops `name`; nothing happens when it is not running. */
  clear(name: Name): void {
    this.#entries.delete(name);
  }

  /** Stops them all. */
  clearAll(): void {
    this.#entries.clear();
  }

  has(name: Name): boolean {
    return this.#entries.has(name);
  }

  /** The next instant at which something expires. */
  deadline(): Instant | undefined {
    let next: Instant | undefined;
    for (const { due } of this.#entries.values()) if (next === undefined || due < next) next = due;
    return next;
  }

  /** Removes and returns the names due at or before `now`, in the order in which they are due. */
  expire(now: Instant): Name[] {
    const due = [...this.#entries].filter(([, entry]) => entry.due <= now);
    due.sort(([, a], [, b]) => a.due - b.due || a.sequence - b.sequence);
    for (const [name] of due) this.#entries.delete(name);
    return due.map(([name]) => name);
  }
}
