export { Admission } from "./admission.ts";
export { backoffMs } from "./backoff.ts";
export { subjectPublicKeyInfo } from "./certificate-key.ts";
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
  type AuthenticatedPeer,
  Handshake,
  type HandshakeInput,
  type HandshakeOutput,
  type HandshakeSetup,
} from "./handshake.ts";
export { Heartbeat, type HeartbeatInput, type HeartbeatOptions, type HeartbeatOutput } from "./heartbeat.ts";
export { Lanes, type LanesOptions } from "./lanes.ts";
export { Link, type LinkInput, type LinkOutput } from "./link.ts";
export {
  type Answer,
  decodeHandshake,
  encodeHandshake,
  type HandshakeMessage,
  type Hello,
  handshakeBytesMax,
  type Introduction,
  type Proof,
  type Role,
  signedBytes,
  type Transcript,
} from "./messages.ts";
export { type LinkOptions, type PoolOptions, resolveLinkOptions, resolvePoolOptions } from "./options.ts";
export { Pool } from "./pool.ts";
export type { ConnectionNumber, PoolInput, PoolOutput, PoolPeer } from "./pool-messages.ts";
export { Schedule } from "./schedule.ts";
export { Tickets } from "./tickets.ts";
