import type { Point } from "../base/id-space.ts";
import { after, type Instant } from "../base/time.ts";
import type { Claim } from "./claim.ts";

/** Whose the names asked for lately are. That nobody has a name is not kept: whoever asks again waits for it. */
export class Answers {
  readonly #keepMs: number;
  readonly #most: number;
  readonly #entries = new Map<Point, { readonly claim: Claim; readonly until: Instant }>();

  constructor(keepMs: number, most: number) {
    this.#keepMs = keepMs;
    this.#most = most;
  }

  get(key: Point, now: Instant): Claim | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.until > now) return entry?.claim;
    this.#entries.delete(key);
    return undefined;
  }

  put(key: Point, claim: Claim, now: Instant): void {
    // Deleted first, so that the order is that of age.
    this.#entries.delete(key);
    this.#entries.set(key, { claim, until: after(now, this.#keepMs) });
    if (this.#entries.size <= this.#most) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  delete(key: Point): void {
    this.#entries.delete(key);
  }
}
