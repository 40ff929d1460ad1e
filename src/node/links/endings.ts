import { MeshError, toError } from "../../base/errors.ts";
import type { CloseCodeName, Ending } from "../../link/index.ts";

const closeNames: Readonly<Partial<Record<string, CloseCodeName>>> = {
  TIMEOUT: "timeout",
  REFUSED: "overloaded",
  WRONG_REALM: "not_in_realm",
  CERTIFICATE_EXPIRED: "not_in_realm",
  REVOKED: "not_in_realm",
  WRONG_NODE: "wrong_node",
};

/** How the engine's reason for the end of a connection counts here. */
export function closingOf(error: Error | undefined): Ending {
  if (!(error instanceof MeshError)) return { code: "goodbye", reason: error?.message ?? "closed" };
  return { code: closeNames[error.code] ?? "protocol", reason: error.message };
}

export function unexpected(error: unknown): Ending {
  return { code: "protocol", reason: toError(error).message };
}
