import type { Authority } from "../../src/identity/authority.ts";
import { selfSignAuthority } from "../../src/identity/certificates.ts";
import { CookieAuthorities } from "../../src/identity/cookie-authority.ts";
import type { KeyPair } from "../../src/identity/crypto.ts";
import { freshValidity, issueIdentity, type NodeIdentity } from "../../src/identity/node-identity.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { systemRandom } from "../../src/io/random.ts";

const day = 86_400_000;
const always = { notBefore: 1_577_836_800_000, notAfter: 253_402_300_799_000 };
const cookieAuthorities = new CookieAuthorities(identityCrypto);

export interface TestIdentityOptions {
  /** Default "test". */
  readonly realm?: string;
  /** Uses the cookie's authority (a quarter of a second the first time) instead of `testAuthority(realm)`. */
  readonly cookie?: string;
  /** Issues from this authority instead; its realm counts. */
  readonly authority?: Authority;
  /** Default: a new pair. */
  readonly keys?: KeyPair;
  /** Milliseconds since 1970. Default: ten minutes ago, and 30 days from now. */
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** A node's identity. Two of the same realm (and cookie) trust each other. */
export async function testIdentity(options: TestIdentityOptions = {}): Promise<NodeIdentity> {
  const realm = options.realm ?? "test";
  const {
    authority = options.cookie === undefined
      ? await testAuthority(realm)
      : await cookieAuthorities.get(realm, options.cookie),
  } = options;
  const fresh = freshValidity(Date.now(), always);
  const validity = {
    notBefore: options.notBefore ?? fresh.notBefore,
    notAfter: options.notAfter ?? fresh.notAfter,
  };
  const keys = options.keys ?? identityCrypto.generateKeyPair();
  return issueIdentity(authority, keys, validity, systemRandom, identityCrypto);
}

const authorities = new Map<string, Promise<Authority>>();

/** The same authority for the same realm and label in this process, another for another label; no scrypt. */
export function testAuthority(realm = "test", label = ""): Promise<Authority> {
  const key = `${realm}/${label}`;
  const authority = authorities.get(key) ?? newAuthority(realm);
  authorities.set(key, authority);
  return authority;
}

async function newAuthority(realm: string): Promise<Authority> {
  const keys = identityCrypto.generateKeyPair();
  const certificate = await selfSignAuthority({ realm, keys, ...always }, identityCrypto);
  return { realm, anchors: [certificate], issuer: { certificate, keys, chain: [] } };
}

/** Right in all but time: it ended an hour ago. */
export function expiredIdentity(options: TestIdentityOptions = {}): Promise<NodeIdentity> {
  return testIdentity({ ...options, notBefore: Date.now() - 2 * day, notAfter: Date.now() - day / 24 });
}

/** Right in all but time: it begins in a day. */
export function futureIdentity(options: TestIdentityOptions = {}): Promise<NodeIdentity> {
  return testIdentity({ ...options, notBefore: Date.now() + day, notAfter: Date.now() + 2 * day });
}

/** Of a realm with the same name, but of an authority that nobody else trusts: what a node with another cookie is. */
export async function strangerIdentity(options: TestIdentityOptions = {}): Promise<NodeIdentity> {
  const authority = await newAuthority(options.realm ?? "test");
  return testIdentity({ ...options, authority });
}
