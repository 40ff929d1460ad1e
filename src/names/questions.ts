import { after, type Instant } from "../base/time.ts";

interface Question<Purpose> {
  readonly purpose: Purpose;
  readonly due: Instant;
}

/** Questions to the directory without an answer yet. All wait equally long, so that they are due in the order in which they were asked. */
export class Questions<Purpose> {
  readonly #timeoutMs: number;
  readonly #open = new Map<number, Question<Purpose>>();
  #last = 0;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Notes a question; returns its token. */
  add(purpose: Purpose, now: Instant): number {
    this.#last++;
    this.#open.set(this.#last, { purpose, due: after(now, this.#timeoutMs) });
    return this.#last;
  }

  /** What it was about, once; `undefined` when nobody waits for it any more. */
  take(token: number | undefined): Purpose | undefined {
    if (token === undefined) return undefined;
    const question = this.#open.get(token);
    this.#open.delete(token);
    return question?.purpose;
  }

  deadline(): Instant | undefined {
    for (const { due } of this.#open.values()) return due;
    return undefined;
  }

  /** Removes and returns the first that is due at or before `now`. */
  expire(now: Instant): Purpose | undefined {
    for (const [token, { purpose, due }] of this.#open) {
      if (due > now) return undefined;
      this.#open.delete(token);
      return purpose;
    }
    return undefined;
  }
}
