export { ReassemblyBudget, SendBudget } from "./budgets.ts";
export { deflatePayload, inflatePayload } from "./compression.ts";
export { type FragmentHeader, fragmentHeaderBytes, readFragmentHeader } from "./fragment.ts";
export {
  type DecodeResult,
  decodeFrame,
  encodeFrame,
  frameFlag,
  frameHeaderBytes,
  protocolVersion,
  type WireFrame,
} from "./frame.ts";
export { frameType } from "./frame-types.ts";
export { type Frame, Inbox, type InboxOptions } from "./inbox.ts";
export { interleavedMax, payloadMaxBytes } from "./limits.ts";
export { Outbox, type OutboxOptions } from "./outbox.ts";
