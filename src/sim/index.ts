export type { CoreCrypto } from "../base/crypto.ts";
export type { Machine } from "../base/machine.ts";
export { type NodeId, nodeIdBytes, nodeIdFromBytes, parseNodeId } from "../base/node-id.ts";
export { type Random, seededRandom } from "../base/random.ts";
export { after, at, type Instant } from "../base/time.ts";
export { formatLogEntry } from "./format.ts";
export type {
  HostContext,
  HostInput,
  HostOutput,
  LinkDownReason,
  LinkFailedReason,
  SimulatedHost,
} from "./host.ts";
export type { NodeState, SimulatedNode, Traffic } from "./node.ts";
export type { LogEntry, LogEvent, PathOptions, SimulationOptions } from "./options.ts";
export { type NodeSetup, Simulation } from "./simulation.ts";
export { standInCrypto } from "./stand-in-crypto.ts";
