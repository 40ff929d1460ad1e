import type { SrvRecord } from "node:dns";
import { Resolver } from "node:dns/promises";
import { MeshError, toError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";

/** Targets taken from one answer, at the most. */
const targetsMax = 64;

/** Where the service is offered. The host is a name, whose addresses are for the dialler to find. */
export interface SrvTarget {
  readonly host: string;
  readonly port: number;
}

export interface SrvResolverOptions {
  /** `address:port` of the servers to ask. Default: the system's. */
  readonly servers?: readonly string[];
  /** For one look-up, milliseconds, > 0. Default 5,000. */
  readonly timeoutMs?: number;
  readonly random: Random;
}

/** Asks DNS for SRV records, RFC 2782. One look-up at a time. */
export class SrvResolver {
  readonly #resolver: Resolver;
  readonly #timeoutMs: number;
  readonly #random: Random;

  constructor({ servers, timeoutMs = 5_000, random }: SrvResolverOptions) {
    // A third of the time for each of two questions to the first server, and something is left for the next.
    this.#resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 3), tries: 2 });
    if (servers !== undefined) this.#resolver.setServers(servers);
    this.#timeoutMs = timeoutMs;
    this.#random = random;
  }

  /**
   * The targets of `name`, in the order in which they should be tried: by priority, among equals by chance and weight.
   * @throws MeshError `TIMEOUT`; `CLOSED`; `PEER_UNREACHABLE` when there are none or the servers say no.
   */
  async lookUp(name: string): Promise<SrvTarget[]> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#resolver.cancel();
    }, this.#timeoutMs);
    try {
      const records = (await this.#resolver.resolveSrv(name)).filter(isSound);
      if (records.length === 0) throw new Error("its records name no usable host");
      return srvOrder(records.slice(0, targetsMax), this.#random).map(({ name: host, port }) => ({
        host,
        port,
      }));
    } catch (thrown) {
      const cause = toError(thrown);
      const { code } = cause as NodeJS.ErrnoException;
      if (isLate || code === "ETIMEOUT") {
        throw new MeshError("TIMEOUT", `no DNS server answered for ${name}`, { cause });
      }
      if (code === "ECANCELLED")
        throw new MeshError("CLOSED", `the look-up of ${name} was given up`, { cause });
      throw new MeshError("PEER_UNREACHABLE", `DNS has no nodes at ${name}: ${code ?? cause.message}`, {
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives up a look-up that is under way. */
  cancel(): void {
    this.#resolver.cancel();
  }
}

/** The answer may come from anybody. A target of "." says that there is no such service (RFC 2782). */
function isSound({ name, port }: SrvRecord): boolean {
  return port > 0 && name.length <= 253 && /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(name);
}

/** RFC 2782, "Usage rules": the lowest priority first; among equals the next is drawn, each with a chance that is its weight. */
export function srvOrder<Record extends Pick<SrvRecord, "priority" | "weight">>(
  records: readonly Record[],
  random: Pick<Random, "integer">,
): Record[] {
  // Those of weight 0 first, so that they have a small chance beside others.
  const left = records.toSorted((a, b) => a.priority - b.priority || a.weight - b.weight);
  const ordered: Record[] = [];
  for (let first = left[0]; first !== undefined; first = left[0]) {
    const { priority } = first;
    const equals = left.filter((record) => record.priority === priority);
    let drawn = random.integer(equals.reduce((sum, { weight }) => sum + weight, 0) + 1);
    const index = equals.findIndex(({ weight }) => (drawn -= weight) <= 0);
    ordered.push(...left.splice(Math.max(0, index), 1));
  }
  return ordered;
}
