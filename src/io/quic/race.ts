import { MeshError, type MeshErrorCode, toError } from "../../base/errors.ts";

/** Head start of each address over the next, milliseconds (RFC 8305 §8: Connection Attempt Delay). */
const headStartMs = 250;

export interface Race<T> {
  /** At least one, the preferred first. */
  readonly addresses: readonly string[];
  /** Rejects soon when `signal` is aborted. */
  readonly attempt: (address: string, signal: AbortSignal) => Promise<T>;
  /** A second winner. */
  readonly discard: (late: T) => void;
}

/**
 * Tries addresses as RFC 8305 §5 says: one after the other, each with a head start, the next at once when one fails. The
 * first that succeeds wins and the others are aborted.
 * @throws MeshError when all fail, naming each address and its failure.
 */
export function race<T>({ addresses, attempt, discard }: Race<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const failures: Failure[] = [];
    const losers = new AbortController();
    let started = 0;
    let won = false;
    let timer: NodeJS.Timeout | undefined;

    const start = (): void => {
      clearTimeout(timer);
      const address = addresses[started++];
      if (address === undefined) return;
      if (started < addresses.length) timer = setTimeout(start, headStartMs);
      attempt(address, losers.signal).then(onSuccess, (error: unknown) => onFailure(address, toError(error)));
    };
    const onSuccess = (value: T): void => {
      if (won) return discard(value);
      won = true;
      clearTimeout(timer);
      losers.abort();
      resolve(value);
    };
    const onFailure = (address: string, error: Error): void => {
      failures.push({ address, error });
      if (won) return;
      if (started < addresses.length) start();
      else if (failures.length === addresses.length) reject(failed(failures));
    };
    start();
  });
}

interface Failure {
  readonly address: string;
  readonly error: Error;
}

/** What only says that nobody was there: any other answer tells more. */
const silent: ReadonlySet<string> = new Set<MeshErrorCode>(["REFUSED", "TIMEOUT", "PEER_UNREACHABLE"]);

function failed(failures: readonly Failure[]): Error {
  const [first] = failures as [Failure];
  if (failures.length === 1) return first.error;
  const codes = failures.map(({ error }) => codeOf(error));
  const telling = codes.find((code) => !silent.has(code));
  const same = codes.every((code) => code === codes[0]) ? codes[0] : undefined;
  const each = failures.map(({ address, error }) => `${address}: ${error.message}`).join("; ");
  return new MeshError(telling ?? same ?? "PEER_UNREACHABLE", `no address answers: ${each}`, {
    cause: new AggregateError(failures.map(({ error }) => error)),
  });
}

function codeOf(error: Error): MeshErrorCode {
  return error instanceof MeshError ? error.code : "PEER_UNREACHABLE";
}
