import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  createPrivateKey,
  type ECDH,
} from "node:crypto";
import { MeshError } from "../base/errors.ts";
import { nodeIdFromBytes } from "../base/node-id.ts";
import { publicKeyOfPoint } from "../identity/crypto.ts";
import { type SealCrypto, sealTagBytes } from "../routing/seal-crypto.ts";
import { sha256 } from "./crypto.ts";

const curve = "prime256v1";

/**
 * Node's implementation of what sealing needs, with a node's own key.
 * @param privateKey P-256, PKCS #8, DER.
 * @throws MeshError `CONFIGURATION` when it is not such a key.
 */
export function sealCrypto(privateKey: Uint8Array): SealCrypto {
  const own = createECDH(curve);
  try {
    const key = createPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
    own.setPrivateKey(Buffer.from(key.export({ format: "jwk" }).d ?? "", "base64url"));
  } catch (cause) {
    throw new MeshError("CONFIGURATION", "the key of a node is a P-256 key", { cause });
  }
  return {
    publicPoint: new Uint8Array(own.getPublicKey()),
    nodeIdOf: (point) => nodeIdFromBytes(sha256(publicKeyOfPoint(point))),
    hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
    ephemeral: () => {
      const pair = createECDH(curve);
      pair.generateKeys();
      return { publicPoint: new Uint8Array(pair.getPublicKey()), agree: (point) => agree(pair, point) };
    },
    agree: (point) => agree(own, point),
    encrypt: (key, nonce, associated, plain) => {
      const cipher = createCipheriv(key.length === 32 ? "aes-256-gcm" : "aes-128-gcm", key, nonce);
      cipher.setAAD(associated);
      const sealed = new Uint8Array(plain.length + sealTagBytes);
      sealed.set(cipher.update(plain));
      cipher.final();
      sealed.set(cipher.getAuthTag(), plain.length);
      return sealed;
    },
    decrypt: (key, nonce, associated, sealed) => {
      if (sealed.length < sealTagBytes) return undefined;
      const length = sealed.length - sealTagBytes;
      const cipher = createDecipheriv(key.length === 32 ? "aes-256-gcm" : "aes-128-gcm", key, nonce, {
        authTagLength: sealTagBytes,
      });
      cipher.setAAD(associated);
      cipher.setAuthTag(sealed.subarray(length));
      const plain = new Uint8Array(cipher.update(sealed.subarray(0, length)));
      try {
        cipher.final();
      } catch {
        return undefined;
      }
      return plain;
    },
  };
}

/** Node refuses points that are not on the curve, which would otherwise give the private key away bit by bit. */
function agree(pair: ECDH, point: Uint8Array): Uint8Array | undefined {
  try {
    return new Uint8Array(pair.computeSecret(point));
  } catch {
    return undefined;
  }
}
