export { decodeSignal, encodeSignal, signalFrame } from "./codec.ts";
export {
  errorOf,
  isDownMessage,
  isExitMessage,
  isOrderly,
  ProcessExit,
  RemoteError,
  reasonOf,
} from "./exit.ts";
export { type ExportedModule, type PlainFunction, type SelfFunction, withSelf } from "./exports.ts";
export type { ProcessCounters, ProcessOutput } from "./kernel.ts";
export { any, is, matches, oneOf, type Pattern, where } from "./match.ts";
export type { ProcessLimits, ProcessOptions, ProcessSurroundings } from "./options.ts";
export { type ProcessInput, ProcessRuntime } from "./runtime.ts";
export type { Signal, SignalSink } from "./signals.ts";
export type {
  DemonitorOptions,
  Destination,
  ProcessBody,
  ProcessInfo,
  ReceiveOptions,
  Self,
  SpawnOnOptions,
  SpawnOptions,
  TimeoutOptions,
} from "./types.ts";
