import { concat } from "../base/bytes.ts";
import { utf8 } from "../base/text.ts";
import type { Authority } from "./authority.ts";
import { selfSignAuthority } from "./certificates.ts";
import { normalizeCookie } from "./cookie.ts";
import type { IdentityCrypto, ScryptParameters } from "./crypto.ts";
import { parseRealmName } from "./realm.ts";

/**
 * What a guess at the cookie costs. Anybody who dials a node is shown its certificate, and can then try cookies off
 * line, without asking a node again: derive the key, compare it with the one that signed. scrypt makes each try cost
 * 32 MiB and a quarter of a second (OWASP's recommendation for stored passwords: N = 2^15, r = 8, p = 3), which custom
 * hardware cannot shorten much. It does not make a weak cookie strong: see `cookieWeakness`.
 *
 * These are part of the protocol: nodes that derive with other parameters are of another realm.
 */
const cookieScrypt: ScryptParameters = { cost: 32_768, blockSize: 8, parallelization: 3 };

/** Says what the salt is for, so that a cookie used elsewhere too never leads to the same key. */
const saltDomain = "macula realm authority v1\0";

/** Order of the P-256 group, FIPS 186-5 and SP 800-186 §3.2.1.3. */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** 2020-01-01 and the end of X.509's time (RFC 5280 §4.1.2.5): fixed, as all who derive the authority must agree. */
const validity = { notBefore: 1_577_836_800_000, notAfter: 253_402_300_799_000 };

/**
 * The authority of a realm that is held together by a cookie: everybody who knows the cookie derives the same key under
 * the same name, and can so admit itself.
 * @throws MeshError `CONFIGURATION` for a realm name or cookie that cannot be one.
 */
export async function cookieAuthority(
  realm: string,
  cookie: string,
  crypto: IdentityCrypto,
): Promise<Authority> {
  const salt = concat([utf8(saltDomain), utf8(parseRealmName(realm))]);
  const secret = await crypto.scrypt(utf8(normalizeCookie(cookie)), salt, cookieScrypt, 48);
  const keys = crypto.keyPairFromScalar(scalarFrom(secret));
  const certificate = await selfSignAuthority({ realm, keys, ...validity }, crypto);
  return { realm, anchors: [certificate], issuer: { certificate, keys, chain: [] } };
}

/**
 * 48 uniform bytes as a private key: modulo the order less one, plus one (FIPS 186-5 §A.2.1). With 128 bits more than
 * the order has, no key is likelier than another by more than 2^-128.
 */
export function scalarFrom(uniform: Uint8Array): Uint8Array {
  let number = 0n;
  for (const byte of uniform) number = (number << 8n) | BigInt(byte);
  number = (number % (order - 1n)) + 1n;
  const scalar = new Uint8Array(32);
  for (let index = 31; index >= 0; index--) {
    scalar[index] = Number(number & 0xffn);
    number >>= 8n;
  }
  return scalar;
}

/** Authorities kept, at the most. A process with nodes in more realms than this derives some of them again. */
const authoritiesMax = 64;

/** Derives each authority once, also when many nodes of one process start at the same time. */
export class CookieAuthorities {
  readonly #crypto: IdentityCrypto;
  /** By realm and cookie, the one used longest ago first. */
  readonly #authorities = new Map<string, Promise<Authority>>();

  constructor(crypto: IdentityCrypto) {
    this.#crypto = crypto;
  }

  /** @throws MeshError like `cookieAuthority`. */
  get(realm: string, cookie: string): Promise<Authority> {
    // No realm name contains a zero byte.
    const key = `${realm}\0${cookie}`;
    const authority = this.#authorities.get(key) ?? cookieAuthority(realm, cookie, this.#crypto);
    this.#authorities.delete(key);
    this.#authorities.set(key, authority);
    if (this.#authorities.size > authoritiesMax) {
      this.#authorities.delete(this.#authorities.keys().next().value as string);
    }
    // A failure is not kept: it may have been a lack of memory.
    authority.catch(() => {
      if (this.#authorities.get(key) === authority) this.#authorities.delete(key);
    });
    return authority;
  }
}
