import {
  createECDH,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  scrypt as nodeScrypt,
  webcrypto,
} from "node:crypto";
import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import type { IdentityCrypto, KeyPair } from "../identity/crypto.ts";
import { loadNative, type NativeKey } from "./quic/native.ts";

const signatureLength = 64;

/**
 * The cores' crypto with a node's own key. Signatures are the engine's: OpenSSL takes half a millisecond to import a
 * public key, and each peer's is used once.
 * @param privateKey P-256, PKCS #8, DER.
 * @throws MeshError `CONFIGURATION` when it is not such a key, `UNSUPPORTED` without the engine.
 */
export function coreCrypto(privateKey: Uint8Array): CoreCrypto {
  const native = loadNative();
  let own: NativeKey;
  try {
    own = new native.NativeKey(privateKey);
  } catch (cause) {
    throw new MeshError("CONFIGURATION", "the key of a node is a P-256 key", { cause });
  }
  return {
    sha256,
    sign: (bytes) => {
      const signature = new Uint8Array(signatureLength);
      own.sign(bytes, signature);
      return signature;
    },
    verify: (publicKey, bytes, signature) => native.verifySignature(publicKey, bytes, signature),
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
