export type { ChildSpec } from "./child.ts";
export { decodeSignal, encodeSignal, signalFrame } from "./codec.ts";
export {
  isDownMessage,
  isExitMessage,
  isOrderly,
  ProcessExit,
  RemoteError,
  reasonOf,
} from "./exit.ts";
export { type ExportedModule, SelfFunction, withSelf } from "./exports.ts";
export {
  type Caller,
  type From,
  GenServer,
  type GenServerClass,
  noReply,
  type Reply,
  type StartOptions,
} from "./gen-server.ts";
export type { ProcessCounters, ProcessOutput } from "./kernel.ts";
export { any, is, matches, oneOf, type Pattern, where } from "./match.ts";
export type { ProcessLimits, ProcessOptions } from "./options.ts";
export { type ProcessInput, ProcessRuntime } from "./runtime.ts";
export type { Signal } from "./signals.ts";
export { type ChildState, Supervisor } from "./supervisor.ts";
export type { SupervisorOptions } from "./supervisor-server.ts";
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
