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

/** The cookie that a node of this configuration uses. One is generated and kept when there is none. */
export async function findCookie(configuration: Configuration): Promise<FoundCookie> {
  const { cookie, generated } = await configuredCookie(configuration);
  return { cookie, generated, weakness: cookieWeakness(cookie) };
}

async function configuredCookie({ cookie, cookieFile, stateDir, realm }: Configuration) {
  if (cookie !== undefined) return { cookie, generated: false };
  if (cookieFile !== undefined) return { cookie: await readCookieFile(cookieFile), generated: false };
  const store = await openIdentityStore(stateDir ?? undefined);
  return store.cookie(realm);
}
