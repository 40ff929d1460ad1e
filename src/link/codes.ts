import { MeshError, type MeshErrorCode } from "../base/errors.ts";

/**
 * Why a link ends, as the application code of the QUIC close (`docs/links.md` has the table). The close also carries
 * a sentence for people, of at most 200 characters.
 */
export const closeCode = {
  /** Orderly end. */
  goodbye: 0x00,
  /** A frame in the wrong place, or of a type that links do not carry. */
  protocol: 0x01,
  /** Bytes that are not what their format says. */
  decode: 0x02,
  /** The peer went over a limit. */
  limit: 0x03,
  version_mismatch: 0x04,
  no_common_capabilities: 0x05,
  invalid_challenge: 0x06,
  not_in_realm: 0x07,
  name_taken: 0x08,
  /** Another node answers than the one that was dialled. */
  wrong_node: 0x09,
  /** The handshake took longer than `handshakeTimeoutMs`. */
  timeout: 0x0a,
  /** Another connection between the same two nodes stays. */
  duplicate: 0x0b,
  /** Too many links or handshakes at the moment. */
  overloaded: 0x0c,
  /** No sign of life for too long. */
  silent: 0x0d,
  /** The node lives on under a newer creation or connection; this one is the old life. */
  replaced: 0x0e,
  /** Neither end needs the link, and both have read all that came by it: nothing is lost, the session goes on. */
  retired: 0x0f,
} as const;

export type CloseCodeName = keyof typeof closeCode;

/** Longest reason we send: QUIC puts it into one packet. */
const closeReasonLengthMax = 200;

const errorCodes: Readonly<Record<CloseCodeName, MeshErrorCode>> = {
  goodbye: "CLOSED",
  protocol: "PROTOCOL",
  decode: "DECODE",
  limit: "LIMIT",
  version_mismatch: "VERSION_MISMATCH",
  no_common_capabilities: "NO_COMMON_CAPABILITIES",
  invalid_challenge: "INVALID_CHALLENGE",
  not_in_realm: "WRONG_REALM",
  name_taken: "NAME_TAKEN",
  wrong_node: "WRONG_NODE",
  timeout: "TIMEOUT",
  duplicate: "CLOSED",
  overloaded: "REFUSED",
  silent: "TIMEOUT",
  replaced: "CLOSED",
  retired: "CLOSED",
};

const names = new Map<number, CloseCodeName>(
  Object.entries(closeCode).map(([name, code]) => [code, name as CloseCodeName]),
);

/** The name of a code that a peer closed with; `undefined` for one that this version does not know. */
export function closeCodeName(code: number): CloseCodeName | undefined {
  return names.get(code);
}

/** Why a link or a handshake ended: what goes on the wire, and what whoever waits is rejected with. */
export interface Ending {
  readonly code: CloseCodeName;
  /** For people; shortened on the wire. */
  readonly reason: string;
  /** Who was found instead of the node that was dialled: it has proven its name. */
  readonly found?: string;
}

/** `ending` as the error for those who wait. */
export function endingError(ending: Ending, options: ErrorOptions = {}): MeshError {
  return new MeshError(errorCodes[ending.code], ending.reason, options);
}

/** The reason as it goes on the wire. */
export function wireReason(reason: string): string {
  return reason.length <= closeReasonLengthMax ? reason : `${reason.slice(0, closeReasonLengthMax - 1)}…`;
}

/** What a peer's bad input ends its link with: the typed errors of reader, ETF and wire as close codes. */
export function endingOf(error: unknown): Ending {
  if (!(error instanceof MeshError)) throw error;
  const reason = error.message;
  switch (error.code) {
    case "LIMIT":
      return { code: "limit", reason };
    case "VERSION_MISMATCH":
      return { code: "version_mismatch", reason };
    case "PROTOCOL":
      return { code: "protocol", reason };
    case "TIMEOUT":
      return { code: "timeout", reason };
    default:
      return { code: "decode", reason };
  }
}
