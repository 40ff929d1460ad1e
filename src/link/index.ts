export { backoffMs } from "./backoff.ts";
export {
  type CloseCodeName,
  closeCode,
  closeCodeName,
  type Ending,
  endingError,
  endingOf,
  wireReason,
} from "./codes.ts";
export {
  Handshake,
  type HandshakeOutput,
  type HandshakeSetup,
} from "./handshake.ts";
export { Heartbeat, type HeartbeatOutput } from "./heartbeat.ts";
export { Lanes } from "./lanes.ts";
export { Link, type LinkOutput } from "./link.ts";
export {
  type Answer,
  decodeHandshake,
  encodeHandshake,
  type HandshakeMessage,
  type Hello,
  handshakeBytesMax,
  type Introduction,
  signedBytes,
} from "./messages.ts";
export {
  type LinkOptions,
  type PoolOptions,
  peerLanesMax,
  resolveLinkOptions,
  resolvePoolOptions,
} from "./options.ts";
export { Pool } from "./pool.ts";
export type { ConnectionNumber, PoolOutput, PoolPeer } from "./pool-messages.ts";
export { decodeRetire, encodeRetire } from "./retire-message.ts";
export { Tickets } from "./tickets.ts";
