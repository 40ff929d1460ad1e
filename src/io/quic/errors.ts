import { MeshError, type MeshErrorCode, toError } from "../../base/errors.ts";
import type { NativeClose } from "./native.ts";

/** `CloseKind` in `native/src/events.rs`, as what it means to a caller. */
const closeKinds: readonly [MeshErrorCode, string][] = [
  ["CLOSED", "the connection was closed here"],
  ["CLOSED", "the peer closed the connection"],
  ["TIMEOUT", "the peer does not answer"],
  ["RESET", "the peer has lost the connection (it was probably restarted)"],
  ["REFUSED", "the peer refuses the connection"],
  ["WRONG_REALM", "the certificates are not of the same realm"],
  ["CERTIFICATE_EXPIRED", "a certificate is outside its validity"],
  ["WRONG_NODE", "another node answers at the address"],
  ["WRONG_ALPN", "there is no common protocol"],
  ["REVOKED", "a certificate was revoked"],
  ["PROTOCOL", "the TLS handshake failed"],
  ["PROTOCOL", "the QUIC protocol was broken"],
  ["PROTOCOL", "there is no common version of QUIC"],
];

export function closeError(close: NativeClose): MeshError {
  const [code, meaning] = closeKinds[close.kind] ?? ["PROTOCOL", "the connection failed"];
  const where = `${close.remote.host}:${close.remote.port}`;
  const said = close.reason === "" ? "" : `: ${close.reason}`;
  const who = close.byPeer ? "the peer said so" : "found here";
  return new MeshError(code, `${meaning} (${where}, code ${close.code}, ${who})${said}`);
}

const nativeCodes: Record<string, MeshErrorCode> = {
  STALE: "CLOSED",
  LIMIT: "LIMIT",
  INVALID: "CONFIGURATION",
  UNSUPPORTED: "UNSUPPORTED",
  EADDRINUSE: "CONFIGURATION",
  EADDRNOTAVAIL: "CONFIGURATION",
  EACCES: "CONFIGURATION",
  SOCKET: "UNSUPPORTED",
};

/** What the binding threw, as a MeshError; the original is the cause. */
export function nativeError(thrown: unknown): MeshError {
  const error = toError(thrown);
  const code = nativeCodes[(error as { code?: string }).code ?? ""] ?? "PROTOCOL";
  return new MeshError(code, error.message, { cause: thrown });
}
