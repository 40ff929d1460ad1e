import { after, earliest, type Instant } from "../base/time.ts";

/** A peer that says something is answered with a tick when nothing was written for so long, milliseconds. */
const answerAfterMs = 1_000;

/**
 * Signs of life on a connection (kernel's `net_ticktime`): an empty packet when nothing was written for a quarter of the
 * time, and a peer that nothing was heard of for one and a quarter is gone.
 *
 * All nodes of a cluster must agree about that time, and this one cannot know what they agreed on. So it ticks also
 * when it hears something: a peer with a shorter time ticks more often, and gets more ticks back.
 */
export class Ticker {
  readonly #intervalMs: number;
  readonly #patienceMs: number;
  #wrote: Instant;
  #heard: Instant;
  #paused = false;

  constructor(tickTimeMs: number, now: Instant) {
    this.#intervalMs = tickTimeMs / 4;
    this.#patienceMs = tickTimeMs * 1.25;
    this.#wrote = now;
    this.#heard = now;
  }

  wrote(now: Instant): void {
    this.#wrote = now;
  }

  /** @returns whether to tick in return. */
  heard(now: Instant): boolean {
    this.#heard = now;
    return now - this.#wrote >= answerAfterMs;
  }

  /** We do not read at the moment, and so hear nothing: that says nothing about the peer. */
  pause(): void {
    this.#paused = true;
  }

  resume(now: Instant): void {
    this.#paused = false;
    this.#heard = now;
  }

  deadline(): Instant {
    const silent = this.#paused ? undefined : after(this.#heard, this.#patienceMs);
    return earliest(after(this.#wrote, this.#intervalMs), silent) as Instant;
  }

  /** What is due at `now`. A tick counts as written; one that comes more than an interval late tells that this process stood still. */
  expire(now: Instant): "tick" | "silent" | undefined {
    const due = this.deadline();
    if (now < due) return undefined;
    if (now - due > this.#intervalMs) this.#heard = now;
    if (!this.#paused && now >= after(this.#heard, this.#patienceMs)) return "silent";
    if (now < after(this.#wrote, this.#intervalMs)) return undefined;
    this.#wrote = now;
    return "tick";
  }
}
