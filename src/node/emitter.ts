/**
 * News by name: listeners may come and go, and one that throws, or whose promise rejects, is reported and harms
 * nobody else.
 */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(news: never) => unknown>>();
  readonly #onThrow: (thrown: unknown, name: keyof Events) => void;

  constructor(onThrow: (thrown: unknown, name: keyof Events) => void) {
    this.#onThrow = onThrow;
  }

  /** @returns a function that takes the listener away again. */
  on<Name extends keyof Events>(name: Name, listener: (news: Events[Name]) => unknown): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A wrapper, so that a function given twice is two listeners.
    const entry = (news: Events[Name]): unknown => listener(news);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  emit<Name extends keyof Events>(name: Name, news: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        const result = (listener as (news: Events[Name]) => unknown)(news);
        // An async listener: its rejection must not end the program.
        if (result instanceof Promise) result.catch((thrown: unknown) => this.#onThrow(thrown, name));
      } catch (thrown) {
        this.#onThrow(thrown, name);
      }
    }
  }
}
