import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  scrypt as nodeScrypt,
  sign,
  verify,
  webcrypto,
} from "node:crypto";
import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import { type IdentityCrypto, isP256, type KeyPair } from "../identity/crypto.ts";

/** Public keys kept parsed, for `verify`: parsing one costs as much as the verification itself. */
const publicKeysMax = 1_024;

/**
 * The cores' crypto with a node's own key.
 * @param privateKey P-256, PKCS #8, DER.
 * @throws MeshError `CONFIGURATION` when it is not such a key.
 */
export function coreCrypto(privateKey: Uint8Array): CoreCrypto {
  const own = importPrivateKey({ key: Buffer.from(privateKey), format: "der", type: "pkcs8" });
  if (own.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new MeshError("CONFIGURATION", "the key of a node is a P-256 key");
  }
  return {
    sha256,
    sign: (bytes) => plain(sign("sha256", bytes, { key: own, dsaEncoding: "ieee-p1363" })),
    verify: verifySignature,
  };
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return plain(hash("sha256", bytes, "buffer"));
}

/** Node's implementation of what `identity` needs. */
export const identityCrypto: IdentityCrypto = {
  webcrypto,
  sha256,
  scrypt: (password, salt, { cost, blockSize, parallelization }, length) =>
    new Promise((resolve, reject) => {
      const options = {
        N: cost,
        r: blockSize,
        p: parallelization,
        // Node refuses what needs more than 32 MiB unless told.
        maxmem: 128 * blockSize * (cost + parallelization) + 1_048_576,
      };
      nodeScrypt(password, salt, length, options, (error, key) => {
        if (error === null) resolve(plain(key));
        else reject(error);
      });
    }),
  generateKeyPair: () => exportPair(generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey),
  keyPairFromScalar: (scalar) => {
    const curve = createECDH("prime256v1");
    curve.setPrivateKey(scalar);
    const point = curve.getPublicKey();
    const coordinate = (start: number): string => point.subarray(start, start + 32).toString("base64url");
    const key = {
      kty: "EC",
      crv: "P-256",
      d: Buffer.from(scalar).toString("base64url"),
      x: coordinate(1),
      y: coordinate(33),
    };
    return exportPair(createPrivateKey({ key, format: "jwk" }));
  },
  readPrivateKey: (pem) => exportPair(importPrivateKey({ key: pem, format: "pem" })),
};

function importPrivateKey(input: Parameters<typeof createPrivateKey>[0]): KeyObject {
  try {
    return createPrivateKey(input);
  } catch (cause) {
    throw new MeshError(
      "CONFIGURATION",
      "not a private key in PEM (PKCS #8, SEC 1 or PKCS #1), or encrypted",
      {
        cause,
      },
    );
  }
}

function exportPair(privateKey: KeyObject): KeyPair {
  return {
    privateKey: plain(privateKey.export({ format: "der", type: "pkcs8" })),
    publicKey: plain(createPublicKey(privateKey).export({ format: "der", type: "spki" })),
  };
}

/** The same bytes without Buffer's own methods: its `slice` is a view, where everybody else expects a copy. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Keys by their SubjectPublicKeyInfo, the one used longest ago first. */
const publicKeys = new Map<string, KeyObject>();

/** Never throws: all three arguments may come from a hostile peer. */
function verifySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  try {
    const key = importPublicKey(publicKey);
    return key !== undefined && verify("sha256", bytes, { key, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

/** `undefined` for anything but P-256 in the one encoding we use: OpenSSL's parser never sees another. */
function importPublicKey(publicKey: Uint8Array): KeyObject | undefined {
  if (!isP256(publicKey)) return undefined;
  const der = Buffer.from(publicKey);
  const name = der.toString("latin1");
  const known = publicKeys.get(name);
  // A point that is not on the curve throws here, and is not kept.
  const key = known ?? createPublicKey({ key: der, format: "der", type: "spki" });
  publicKeys.delete(name);
  publicKeys.set(name, key);
  if (publicKeys.size > publicKeysMax) publicKeys.delete(publicKeys.keys().next().value as string);
  return key;
}
