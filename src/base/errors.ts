/**
 * What went wrong, for programs to branch on.
 *
 * - `DECODE` the bytes are not what their format says; `offset` tells where.
 * - `ENCODE` the value has no representation in the format.
 * - `LIMIT` a bound of this node would be exceeded (`payload_too_large`, full queue, too many of something).
 * - `CONFIGURATION` a setting is missing or wrong.
 * - `CLOSED` the object was closed, here or by the peer, before the operation could finish.
 * - `RESET` the peer aborted the stream.
 * - `TIMEOUT` no answer in time.
 * - `REFUSED` nobody listens at the address, or the peer declines connections at the moment.
 * - `PEER_UNREACHABLE` there is no way to the node.
 * - `WRONG_REALM` the certificates of the two sides were not issued by the same realm authority.
 * - `WRONG_NODE` somebody else answers at the address: the certificate is that of another node id.
 * - `WRONG_ALPN` the peer does not speak the protocol.
 * - `CERTIFICATE_EXPIRED` a certificate is outside its validity.
 * - `REVOKED` the certificate was revoked.
 * - `VERSION_MISMATCH`, `NO_COMMON_CAPABILITIES`, `INVALID_CHALLENGE`, `NAME_TAKEN` the link handshake failed (wire protocol, HANDSHAKE).
 *   `NAME_TAKEN` also: another process has the global name.
 * - `PROTOCOL` the peer broke the protocol.
 * - `NOT_EXPORTED` the node does not export this module or function.
 * - `REMOTE` the called function threw; `cause` is what it threw.
 * - `NO_PROCESS` no such process.
 * - `UNSUPPORTED` not possible on this platform or in this state.
 */
export type MeshErrorCode =
  | "DECODE"
  | "ENCODE"
  | "LIMIT"
  | "CONFIGURATION"
  | "CLOSED"
  | "RESET"
  | "TIMEOUT"
  | "REFUSED"
  | "PEER_UNREACHABLE"
  | "WRONG_REALM"
  | "WRONG_NODE"
  | "WRONG_ALPN"
  | "CERTIFICATE_EXPIRED"
  | "REVOKED"
  | "VERSION_MISMATCH"
  | "NO_COMMON_CAPABILITIES"
  | "INVALID_CHALLENGE"
  | "NAME_TAKEN"
  | "PROTOCOL"
  | "NOT_EXPORTED"
  | "REMOTE"
  | "NO_PROCESS"
  | "UNSUPPORTED";

export interface MeshErrorOptions extends ErrorOptions {
  /** For `DECODE`: where in the input, bytes from its start. */
  readonly offset?: number;
}

/** Everything we reject with. Branch on `code`; `message` is for people and may change. */
export class MeshError extends Error {
  override readonly name = "MeshError";
  readonly code: MeshErrorCode;
  readonly offset: number | undefined;

  constructor(code: MeshErrorCode, message: string, options: MeshErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.offset = options.offset;
  }
}

/** Ends the operation on a bug of ours; kept in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`bug in macula: ${message}`);
}

/** What a `catch` got, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
