import { MeshError } from "../base/errors.ts";
import { cookieWeakness } from "../identity/index.ts";
import { openIdentityStore, readCookieFile } from "../io/identity-store.ts";
import type { Configuration } from "../node/configuration-schema.ts";

export interface FoundCookie {
  readonly cookie: string;
  /** Made just now, because there was none. */
  readonly generated: boolean;
  /** Why it should not be used. */
  readonly weakness: string | undefined;
}

/**
 * The cookie that a node of this configuration uses. One is generated and kept when there is none.
 * @throws MeshError `CONFIGURATION` when the realm has an authority of its own.
 */
export async function findCookie(configuration: Configuration): Promise<FoundCookie> {
  const { realm, authorityFile } = configuration;
  if (authorityFile !== undefined) {
    throw new MeshError(
      "CONFIGURATION",
      `the realm ${realm} has no cookie but an authority: ${authorityFile}`,
    );
  }
  const { cookie, generated } = await configuredCookie(configuration);
  return { cookie, generated, weakness: cookieWeakness(cookie) };
}

/**
 * The configuration with its cookie looked up, so that a node with another state folder, or none, is of the same realm;
 * with an authority of the user's own just as it is.
 */
export async function withFoundCookie(
  configuration: Configuration,
): Promise<{ readonly configuration: Configuration; readonly generated: boolean }> {
  if (configuration.authorityFile !== undefined) return { configuration, generated: false };
  const { cookie, generated } = await findCookie(configuration);
  return { configuration: { ...configuration, cookieFile: undefined, cookie }, generated };
}

async function configuredCookie({ cookie, cookieFile, stateDir, realm }: Configuration) {
  if (cookie !== undefined) return { cookie, generated: false };
  if (cookieFile !== undefined) return { cookie: await readCookieFile(cookieFile), generated: false };
  const store = await openIdentityStore(stateDir ?? undefined);
  return store.cookie(realm);
}
