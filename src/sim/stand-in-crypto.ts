import { concat, equal } from "../base/bytes.ts";
import type { CoreCrypto } from "../base/crypto.ts";
import type { Random } from "../base/random.ts";
import { RunningHash } from "./hash.ts";

/** What a P-256 SubjectPublicKeyInfo has before its point: the same in all. */
const prefix = new Uint8Array(26);
const pointBytes = 65;

/** As long as a P-256 SubjectPublicKeyInfo, so that simulated records are as long as real ones. */
export function standInPublicKey(random: Random): Uint8Array<ArrayBuffer> {
  return publicKeyOf(random.bytes(pointBytes));
}

/** The public key with this point. */
export function publicKeyOf(point: Uint8Array): Uint8Array<ArrayBuffer> {
  return concat([prefix, point]);
}

/**
 * What the cores need of cryptography, thousands of times cheaper and secret to nobody: `verify` tells by whom a
 * signature was made, but whoever knows a public key can make one. For simulations in which nobody forges; tests of
 * forgery use the real thing.
 */
export function standInCrypto(publicKey: Uint8Array): CoreCrypto {
  return {
    sha256: (bytes) => expand(new RunningHash(1).bytes(bytes), 32),
    sign: (bytes) => signature(publicKey, bytes),
    verify: (key, bytes, given) => equal(given, signature(key, bytes)),
  };
}

function signature(publicKey: Uint8Array, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return expand(new RunningHash(2).bytes(publicKey).bytes(bytes), 64);
}

/** `length` bytes, a multiple of 8, that depend on all that was hashed. */
export function expand(hash: RunningHash, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  for (let offset = 0; offset < length; offset += 8) {
    const [high, low] = hash.u32(offset).words();
    view.setUint32(offset, high);
    view.setUint32(offset + 4, low);
  }
  return bytes;
}
