import type { Instant } from "../base/time.ts";
import type { SignalSink } from "./signals.ts";

/** What the runtime needs from its surroundings. */
export interface ProcessSurroundings {
  /** This node's name, as its pids carry it. */
  readonly node: string;
  /** Tells this life of the node from earlier ones under its name, 1 … 2^32 − 1. */
  readonly creation: number;
  readonly sink: SignalSink;
  readonly clock: () => Instant;
  /** Called when there is something to poll, or an earlier deadline, without `handle` having been called. */
  readonly wake: () => void;
  /** Runs its argument in the next turn of the event loop (`setImmediate`). Default: as a promise job. */
  readonly later?: (run: () => void) => void;
  /** Gives a node name that a program wrote its one form; throws MeshError for what is none. Default: as it is. */
  readonly canonicalNode?: (name: string) => string;
  /** Gets the text that processes print whose group leader is this node's `user`. Default: discarded. */
  readonly print?: (text: string) => void;
}

/** Bounds. All that other nodes can fill is counted per node, and refused with a counter beyond the bound. */
export interface ProcessLimits {
  /** Messages in a mailbox from which on senders are asked to wait. > 0. Default 10,000. */
  readonly mailboxHighWater?: number;
  /** The same in bytes on the wire. > 0. Default 16 MiB. */
  readonly mailboxHighWaterBytes?: number;
  /** Messages in a mailbox beyond which the process exits with `{system_limit, mailbox}`. Default 1,000,000. */
  readonly mailboxMax?: number;
  /** The same in bytes on the wire. Default 256 MiB. */
  readonly mailboxMaxBytes?: number;
  /** Live processes; `spawn` throws MeshError `LIMIT` beyond. Default 1,000,000. */
  readonly processesMax?: number;
  /** Streams per link that signals are spread over, 2 … 65,536. Lane 0 is for answers. Default 128. */
  readonly lanes?: number;
  /** Wake-ups of processes in one turn of the event loop. > 0. Default 2,000. */
  readonly wakeUpsPerTurn?: number;
  /** Links with processes of one node. Beyond, its LINK is answered with the exit reason `system_limit`. Default 100,000. */
  readonly linksPerNodeMax?: number;
  /** Monitors held by processes of one node. Beyond: DOWN with `system_limit`. Default 100,000. */
  readonly monitorsPerNodeMax?: number;
  /** Calls of one node at work here. Beyond: MeshError `LIMIT` there. Default 1,000. */
  readonly callsPerNodeMax?: number;
  /** Live processes spawned here by one node. Beyond: MeshError `LIMIT` there. Default 100,000. */
  readonly spawnsPerNodeMax?: number;
}

export type ProcessOptions = ProcessSurroundings & ProcessLimits;
export type ResolvedProcessOptions = Required<ProcessOptions>;

/** @throws RangeError when a bound is out of its range. */
export function resolveProcessOptions(given: ProcessOptions): ResolvedProcessOptions {
  const options = {
    mailboxHighWater: 10_000,
    mailboxHighWaterBytes: 16 * 1_048_576,
    mailboxMax: 1_000_000,
    mailboxMaxBytes: 256 * 1_048_576,
    processesMax: 1_000_000,
    lanes: 128,
    wakeUpsPerTurn: 2_000,
    linksPerNodeMax: 100_000,
    monitorsPerNodeMax: 100_000,
    callsPerNodeMax: 1_000,
    spawnsPerNodeMax: 100_000,
    later: (run: () => void): void => void Promise.resolve().then(run),
    canonicalNode: (name: string): string => name,
    print: (): void => undefined,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) {
    if (typeof value === "number" && !(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`${name} must be a whole number above 0, not ${value}`);
    }
  }
  if (options.lanes < 2 || options.lanes > 65_536) throw new RangeError("lanes must be 2 … 65,536");
  if (options.mailboxMax < options.mailboxHighWater) {
    throw new RangeError("mailboxMax must not be below mailboxHighWater");
  }
  return options;
}
