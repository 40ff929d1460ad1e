import type { MeshError } from "../../base/errors.ts";

interface Waiter<Value> {
  readonly resolve: (value: Value) => void;
  readonly reject: (error: Error) => void;
}

/** Those who wait for something about a node, by its name. */
export class Waiters<Value> {
  readonly #waiting = new Map<string, Set<Waiter<Value>>>();

  /** Resolves or rejects with the others of `name`; rejects with the reason of `signal` when that is aborted first. */
  wait(name: string, signal?: AbortSignal): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const waiters = this.#waiting.get(name) ?? new Set();
      this.#waiting.set(name, waiters);
      const onAbort = (): void => settle(() => reject(signal?.reason as Error));
      const settle = (how: () => void): void => {
        signal?.removeEventListener("abort", onAbort);
        waiters.delete(waiter);
        if (waiters.size === 0 && this.#waiting.get(name) === waiters) this.#waiting.delete(name);
        how();
      };
      const waiter: Waiter<Value> = {
        resolve: (value) => settle(() => resolve(value)),
        reject: (error) => settle(() => reject(error)),
      };
      waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  has(name: string): boolean {
    return this.#waiting.has(name);
  }

  resolve(name: string, value: Value): void {
    for (const waiter of [...(this.#waiting.get(name) ?? [])]) waiter.resolve(value);
  }

  reject(name: string, error: MeshError): void {
    for (const waiter of [...(this.#waiting.get(name) ?? [])]) waiter.reject(error);
  }

  rejectAll(error: MeshError): void {
    for (const name of [...this.#waiting.keys()]) this.reject(name, error);
  }
}
