import type { NativeEngine } from "./native.ts";

/** Counters of an endpoint since it was opened, and two gauges. */
export interface QuicEndpointStats {
  /** Connections now. */
  readonly connections: number;
  /** Incoming handshakes now. */
  readonly handshakes: number;
  readonly datagramsReceived: number;
  readonly bytesReceived: number;
  readonly datagramsSent: number;
  readonly bytesSent: number;
  /** System calls. */
  readonly sends: number;
  readonly receives: number;
  readonly incoming: number;
  /** Incoming connections refused because of a limit, or because the endpoint is closing. */
  readonly incomingRefused: number;
  /** Incoming connections that had to prove their address first. */
  readonly incomingRetried: number;
  /** Incoming connections that failed before they were announced. */
  readonly incomingFailed: number;
  readonly foreignReceived: number;
  readonly foreignDropped: number;
  readonly virtualDropped: number;
  /** Batches with lengths that lie: a bug on this side. */
  readonly malformedBatches: number;
  readonly sendErrors: number;
  /** Times that the socket had no room. */
  readonly sendBlocked: number;
  /** Stateless answers dropped because too many were waiting. */
  readonly responsesDropped: number;
  /** Callbacks that threw. */
  readonly callbackErrors: number;
}

/** In the order of `endpoint_numbers` in the engine. */
const names = [
  "connections",
  "handshakes",
  "datagramsReceived",
  "bytesReceived",
  "datagramsSent",
  "bytesSent",
  "sends",
  "receives",
  "incoming",
  "incomingRefused",
  "incomingRetried",
  "incomingFailed",
  "foreignReceived",
  "foreignDropped",
  "virtualDropped",
  "malformedBatches",
  "sendErrors",
  "sendBlocked",
  "responsesDropped",
] as const satisfies readonly (keyof QuicEndpointStats)[];

export function readEndpointStats(native: NativeEngine, callbackErrors: number): QuicEndpointStats {
  const numbers = new Float64Array(names.length);
  native.endpointStats(numbers);
  const entries = names.map((name, index) => [name, numbers[index] ?? 0] as const);
  return { ...(Object.fromEntries(entries) as Omit<QuicEndpointStats, "callbackErrors">), callbackErrors };
}
