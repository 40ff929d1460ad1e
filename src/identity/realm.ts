import { MeshError } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import { parseNodeId } from "../base/node-id.ts";

/** Characters of a realm name, at the most. An organization name, as which a certificate shows it, may have 64 (X.520). */
const realmNameLengthMax = 63;

const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * `name` when it can be a realm's: 1 to 63 ASCII letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
 * The characters need no escaping in a URI, a certificate's subject, a log line or a shell, and none of them leads out of
 * a folder.
 * @throws MeshError `CONFIGURATION`
 */
export function parseRealmName(name: string): string {
  if (name.length <= realmNameLengthMax && pattern.test(name)) return name;
  throw new MeshError(
    "CONFIGURATION",
    `${JSON.stringify(name.slice(0, 100))} is not a realm name: up to ${realmNameLengthMax} letters, digits, '.', '_' ` +
      "and '-', the first of them a letter or digit",
  );
}

const scheme = "macula:";

/** What a certificate certifies, as the URI among its alternative names: this node id, in this realm. */
export function nodeUri(realm: string, nodeId: NodeId): string {
  return `${scheme}${realm}/${nodeId}`;
}

/** Realm and node id of such a URI; `undefined` when it is not one. */
export function parseNodeUri(uri: string): { readonly realm: string; readonly nodeId: NodeId } | undefined {
  if (!uri.startsWith(scheme)) return undefined;
  const [realm, id, ...rest] = uri.slice(scheme.length).split("/");
  if (realm === undefined || id === undefined || rest.length > 0) return undefined;
  try {
    return { realm: parseRealmName(realm), nodeId: parseNodeId(id) };
  } catch {
    return undefined;
  }
}
