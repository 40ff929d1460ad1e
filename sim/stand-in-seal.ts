import { concat, equal } from "../src/base/bytes.ts";
import { nodeIdFromBytes } from "../src/base/node-id.ts";
import type { Random } from "../src/base/random.ts";
import { pointBytes, type SealCrypto, sealTagBytes } from "../src/routing/index.ts";
import { RunningHash } from "../src/sim/hash.ts";
import { expand, publicKeyOf, standInCrypto } from "../src/sim/stand-in-crypto.ts";

const hashes = standInCrypto(new Uint8Array(0));
const sha256 = (bytes: Uint8Array): Uint8Array => hashes.sha256(bytes);

/** What two points make, whichever end asks. */
function both(a: Uint8Array, b: Uint8Array): Uint8Array {
  const sum = new Uint8Array(a.length);
  for (let index = 0; index < a.length; index++) sum[index] = (a[index] as number) ^ (b[index] as number);
  return sha256(sum);
}

function tag(parts: readonly Uint8Array[]): Uint8Array {
  const hash = new RunningHash(3);
  for (const part of parts) hash.bytes(part);
  return expand(hash, sealTagBytes);
}

/**
 * Sealing for simulations: hides nothing from anybody, but what is changed, or was sealed for somebody else, is found all the
 * same. `publicKey` as the simulation gives it to a host.
 */
export function standInSeal(publicKey: Uint8Array, random: Random): SealCrypto {
  const publicPoint = publicKey.subarray(-pointBytes);
  return {
    publicPoint,
    nodeIdOf: (point) => nodeIdFromBytes(sha256(publicKeyOf(point))),
    hmacSha256: (key, bytes) => expand(new RunningHash(4).bytes(key).bytes(bytes), 32),
    ephemeral: () => {
      const point = random.bytes(pointBytes);
      return { publicPoint: point, agree: (other) => both(point, other) };
    },
    agree: (other) => both(publicPoint, other),
    encrypt: (key, nonce, associated, plain) => concat([plain, tag([key, nonce, associated, plain])]),
    decrypt: (key, nonce, associated, sealed) => {
      if (sealed.length < sealTagBytes) return undefined;
      const plain = sealed.subarray(0, -sealTagBytes);
      const isGenuine = equal(sealed.subarray(-sealTagBytes), tag([key, nonce, associated, plain]));
      return isGenuine ? plain.slice() : undefined;
    },
  };
}
