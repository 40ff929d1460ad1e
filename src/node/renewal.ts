import { toError } from "../base/errors.ts";
import { type NodeIdentity, renewAt } from "../identity/index.ts";
import { wallNow } from "../io/clock.ts";
import { systemRandom } from "../io/random.ts";
import type { Log } from "./log.ts";

/**
 * The longest wait between two looks at the wall clock: it may be set, and the machine may sleep, so one long timer would
 * not do (nor could it be longer than 2^31 ms, which is less than 25 days).
 */
const checkIntervalMs = 60 * 60_000;

/** The shortest wait between two attempts. */
const retryMinMs = 60_000;

/** The clock on the wall and its timers. */
export interface WallClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls `action` once after `waitMs` (below 2^31). @returns a function that stops it. */
  after(waitMs: number, action: () => void): () => void;
}

const systemClock: WallClock = {
  now: wallNow,
  after: (waitMs, action) => {
    const timer = setTimeout(action, waitMs).unref();
    return () => clearTimeout(timer);
  },
};

export interface RenewalOptions {
  readonly identity: NodeIdentity;
  /** The same identity with a new certificate. */
  readonly renew: () => Promise<NodeIdentity>;
  /** Puts it to use for new connections. */
  readonly use: (identity: NodeIdentity) => void;
  readonly log: Log;
  /** Default: the system's. */
  readonly clock?: WallClock;
}

/** Renews a node's certificate in time. @returns a function that stops it. */
export function keepRenewed({ identity, renew, use, log, clock = systemClock }: RenewalOptions): () => void {
  const jitter = systemRandom.float();
  let current = identity;
  let stopped = false;
  let stopTimer = (): void => {};

  const dueIn = (): number => renewAt(current.notBefore, current.notAfter, jitter) - clock.now();
  const checkIn = (waitMs: number): void => {
    stopTimer = clock.after(Math.ceil(Math.min(Math.max(0, waitMs), checkIntervalMs)), () => void check());
  };
  const check = async (): Promise<void> => {
    if (dueIn() > 0) return checkIn(dueIn());
    try {
      const renewed = await renew();
      if (stopped) return;
      use(renewed);
      current = renewed;
      log.info({ notAfter: new Date(current.notAfter).toISOString() }, "certificate.renewed");
    } catch (thrown) {
      if (stopped) return;
      log.error({ error: toError(thrown).message }, "certificate.renewal_failed");
    }
    // A third of its life remains, or little, when the authority itself ends soon: several attempts fit into either.
    checkIn(Math.max(dueIn(), retryMinMs, Math.min(checkIntervalMs, (current.notAfter - clock.now()) / 10)));
  };

  checkIn(dueIn());
  return () => {
    stopped = true;
    stopTimer();
  };
}
