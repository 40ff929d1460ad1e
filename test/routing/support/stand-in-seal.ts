import { nodeIdBytes, nodeIdFromBytes } from "../../../src/base/node-id.ts";
import type { Random } from "../../../src/base/random.ts";
import type { SealCrypto } from "../../../src/routing/index.ts";
import { standInCrypto } from "../../../src/sim/index.ts";

const hashes = standInCrypto(new Uint8Array(0));
const sha256 = (bytes: Uint8Array): Uint8Array => hashes.sha256(bytes);

function both(a: Uint8Array, b: Uint8Array): Uint8Array {
  const sum = new Uint8Array(a.length);
  for (let index = 0; index < a.length; index++) sum[index] = (a[index] as number) ^ (b[index] as number);
  return sha256(sum);
}

function tagged(parts: readonly Uint8Array[]): Uint8Array {
  return sha256(Uint8Array.from(parts.flatMap((part) => [part.length, ...part]))).subarray(0, 16);
}

/** A point that begins with the node id it stands for. Hides nothing from anybody, for simulations of many channels; what is changed is found all the same. */
export function standInSeal(random: Random, id = nodeIdFromBytes(random.bytes(32))): SealCrypto {
  const publicPoint = random.bytes(65);
  publicPoint.set(nodeIdBytes(id));
  return {
    publicPoint,
    nodeIdOf: (point) => nodeIdFromBytes(point.subarray(0, 32)),
    hmacSha256: (key, bytes) => sha256(Uint8Array.of(...key, ...bytes)),
    ephemeral: () => {
      const point = random.bytes(65);
      return { publicPoint: point, agree: (other) => both(point, other) };
    },
    agree: (other) => both(publicPoint, other),
    encrypt: (key, nonce, associated, plain) =>
      Uint8Array.of(...plain, ...tagged([key, nonce, associated, plain])),
    decrypt: (key, nonce, associated, sealed) => {
      const plain = sealed.slice(0, -16);
      const tag = tagged([key, nonce, associated, plain]);
      return sealed.length >= 16 && tag.every((byte, index) => byte === sealed[plain.length + index])
        ? plain
        : undefined;
    },
  };
}
