import { toError } from "../base/errors.ts";
import { type NodeIdentity, renewAt } from "../identity/index.ts";
import { wallNow } from "../io/clock.ts";
import { systemRandom } from "../io/random.ts";
import type { Log } from "./log.ts";

/** How often the wall clock is looked at: it may jump, and the machine may sleep, so one long timer would not do. */
const checkIntervalMs = 60 * 60_000;

export interface RenewalOptions {
  readonly identity: NodeIdentity;
  /** The same identity with a new certificate. */
  readonly renew: () => Promise<NodeIdentity>;
  /** Puts it to use for new connections. */
  readonly use: (identity: NodeIdentity) => void;
  readonly log: Log;
}

/** Renews a node's certificate in time. @returns a function that stops it. */
export function keepRenewed({ identity, renew, use, log }: RenewalOptions): () => void {
  const jitter = systemRandom.float();
  let current = identity;
  const check = async (): Promise<void> => {
    if (wallNow() < renewAt(current.notBefore, current.notAfter, jitter)) return;
    try {
      current = await renew();
      use(current);
      log.info({ notAfter: new Date(current.notAfter).toISOString() }, "certificate.renewed");
    } catch (thrown) {
      // A third of its life remains: the next check tries again.
      log.error({ error: toError(thrown).message }, "certificate.renewal_failed");
    }
  };
  const timer = setInterval(() => void check(), checkIntervalMs).unref();
  return () => clearInterval(timer);
}
