import { cookieWeakness, type NodeIdentity } from "../identity/index.ts";
import {
  type NodeIdentityOptions,
  nodeIdentity,
  openIdentityStore,
  readCookieFile,
  renewNodeIdentity,
} from "../io/identity-store.ts";
import { readOwnAuthority, readOwnIdentity, rereadOwnIdentity } from "../io/own-files.ts";
import type { Configuration } from "./configuration-schema.ts";
import type { Log } from "./log.ts";

/** A node's identity, and the way to a new certificate for it. */
export interface RenewableIdentity {
  readonly identity: NodeIdentity;
  /** The same identity with a new certificate. */
  readonly renew: () => Promise<NodeIdentity>;
}

/** What of the configuration says who a node is. */
export type IdentitySettings = Pick<
  Configuration,
  | "realm"
  | "cookie"
  | "cookieFile"
  | "authorityFile"
  | "authorityKeyFile"
  | "certificateFile"
  | "keyFile"
  | "stateDir"
>;

/**
 * The identity of the node called `name`: certified by the realm's cookie, by the key of the user's own authority, or
 * beforehand.
 * @throws MeshError `CONFIGURATION`, `CERTIFICATE_EXPIRED`, naming what is wrong with which file.
 */
export async function openIdentity(
  settings: IdentitySettings,
  name: string,
  log: Log,
): Promise<RenewableIdentity> {
  const { authorityFile, authorityKeyFile, certificateFile, keyFile, realm, stateDir } = settings;
  if (authorityFile === undefined) return certifiedHere(await cookieOptions(settings, name, log));
  const authority = await readOwnAuthority(realm, { authorityFile, authorityKeyFile });
  if (certificateFile === undefined || keyFile === undefined) {
    const store = await openIdentityStore(stateDir ?? undefined);
    return certifiedHere({ realm, name, store, authority });
  }
  const files = { certificateFile, keyFile };
  const identity = await readOwnIdentity(authority, files);
  let current = identity;
  const renew = async (): Promise<NodeIdentity> => {
    current = await rereadOwnIdentity(authority, files, current);
    return current;
  };
  return { identity, renew };
}

async function certifiedHere(options: NodeIdentityOptions): Promise<RenewableIdentity> {
  return { identity: await nodeIdentity(options), renew: () => renewNodeIdentity(options) };
}

async function cookieOptions(
  { realm, cookie, cookieFile, stateDir }: IdentitySettings,
  name: string,
  log: Log,
): Promise<NodeIdentityOptions> {
  const store = await openIdentityStore(stateDir ?? undefined);
  const secret =
    cookie ??
    (cookieFile === undefined ? (await store.cookie(realm)).cookie : await readCookieFile(cookieFile));
  const weakness = cookieWeakness(secret);
  if (weakness !== undefined) log.warn({ weakness }, "cookie.weak");
  return { realm, name, store, cookie: secret };
}
