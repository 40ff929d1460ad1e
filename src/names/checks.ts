import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import type { NamesOptions } from "./options.ts";

/** News is gathered this long: members seldom come alone. */
const gatherMs = 1_000;
/** One that is due again while it is being checked waits this long. */
const againMs = 1_000;

/**
 * When each name of this node is to be looked up: regularly, soon after news, a bounded number at a time. The moments
 * are random, or the names of a node, and all nodes after a partition, would be checked at once.
 */
export class Checks<Name> {
  readonly #options: Required<NamesOptions>;
  readonly #random: Random;
  readonly #timers = new Timers<"news">();
  readonly #schedule = new Schedule<Name>();
  readonly #held = new Set<Name>();
  /** Due, but others are being checked; the longest first. */
  readonly #waiting = new Set<Name>();
  readonly #running = new Set<Name>();
  #waitingSince: Instant | undefined;
  #lastNews: Instant | undefined;

  constructor(options: Required<NamesOptions>, random: Random) {
    this.#options = options;
    this.#random = random;
  }

  /** `name` is to be looked up once, at that moment; it is not held yet. */
  set(name: Name, due: Instant): void {
    this.#schedule.set(name, due);
  }

  /** `name` is held and was just checked, or could not be: once more within a few seconds. */
  soon(name: Name, now: Instant): void {
    this.#again(name, after(now, this.#soonMs()));
  }

  /** `name` was just checked and is held. */
  later(name: Name, now: Instant): void {
    const { checkIntervalMs } = this.#options;
    this.#again(name, after(now, checkIntervalMs * (0.75 + 0.5 * this.#random.float())));
  }

  delete(name: Name): void {
    this.#held.delete(name);
    this.#schedule.clear(name);
    this.#waiting.delete(name);
    this.#running.delete(name);
  }

  onMemberUp(now: Instant): void {
    if (this.#timers.has("news") || this.#held.size === 0) return;
    const least = this.#lastNews === undefined ? now : after(this.#lastNews, this.#options.newsIntervalMs);
    this.#timers.set("news", Math.max(after(now, gatherMs), least) as Instant);
  }

  /** The next to be looked up now. */
  next(now: Instant): Name | undefined {
    if (this.#timers.expire(now).length > 0) this.#onNews(now);
    for (let due = this.#schedule.expire(now); due !== undefined; due = this.#schedule.expire(now)) {
      if (!this.#held.has(due)) return due;
      if (this.#running.has(due)) {
        this.#schedule.set(due, after(now, againMs));
      } else {
        this.#waiting.add(due);
        this.#waitingSince = now;
      }
    }
    if (this.#running.size >= this.#options.checksMax) return undefined;
    for (const name of this.#waiting) {
      this.#waiting.delete(name);
      this.#running.add(name);
      return name;
    }
    return undefined;
  }

  deadline(): Instant | undefined {
    const canRun = this.#waiting.size > 0 && this.#running.size < this.#options.checksMax;
    const next = earliest(this.#timers.deadline(), this.#schedule.deadline());
    return canRun ? earliest(this.#waitingSince, next) : next;
  }

  #again(name: Name, due: Instant): void {
    this.#held.add(name);
    this.#running.delete(name);
    // News that came meanwhile is not answered by a check that was under way.
    this.#schedule.set(name, earliest(this.#schedule.get(name), due));
  }

  #onNews(now: Instant): void {
    this.#lastNews = now;
    for (const name of this.#held) {
      this.#schedule.set(name, earliest(this.#schedule.get(name), after(now, this.#soonMs())));
    }
  }

  #soonMs(): number {
    return this.#options.checkSoonMs * this.#random.float();
  }
}
