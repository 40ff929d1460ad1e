/** News by name: listeners may come and go, and one that throws is reported and harms nobody else. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(news: never) => void>>();
  readonly #onThrow: (thrown: unknown) => void;

  constructor(onThrow: (thrown: unknown) => void) {
    this.#onThrow = onThrow;
  }

  /** @returns a function that takes the listener away again. */
  on<Name extends keyof Events>(name: Name, listener: (news: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    // A wrapper, so that a function given twice is two listeners.
    const entry = (news: Events[Name]): void => listener(news);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  emit<Name extends keyof Events>(name: Name, news: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (news: Events[Name]) => void)(news);
      } catch (thrown) {
        this.#onThrow(thrown);
      }
    }
  }
}
