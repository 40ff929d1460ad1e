export { MeshError, type MeshErrorCode } from "./base/errors.ts";
export type { NodeId } from "./base/node-id.ts";
export {
  Atom,
  atom,
  BitString,
  charlist,
  ExportFun,
  Float,
  float,
  format,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
  tuple,
} from "./etf/index.ts";
export type { Log } from "./node/log.ts";
export {
  MaculaNode,
  type MaculaNodeEvents,
  type MaculaNodeOptions,
  type MaculaNodeStats,
} from "./node/macula-node.ts";
