import type { X509CertificateGenerator } from "@peculiar/x509";
import { concat } from "../base/bytes.ts";

/** A P-256 key pair. */
export interface KeyPair {
  /** PKCS #8, DER. A secret. */
  readonly privateKey: Uint8Array;
  /** SubjectPublicKeyInfo, DER, uncompressed point. */
  readonly publicKey: Uint8Array;
}

/** What precedes the coordinates in the SubjectPublicKeyInfo of an uncompressed P-256 point (RFC 5480 §2). */
const p256Prefix = Uint8Array.of(
  ...[0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
  ...[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04],
);

/** Whether this is a P-256 key in the one encoding we use; not whether the point is on the curve. */
export function isP256(publicKey: Uint8Array): boolean {
  return (
    publicKey.length === p256Prefix.length + 64 &&
    p256Prefix.every((byte, index) => byte === publicKey[index])
  );
}

/** The SubjectPublicKeyInfo of an uncompressed P-256 point of 65 bytes; whether it is on the curve is not looked at. */
export function publicKeyOfPoint(point: Uint8Array): Uint8Array<ArrayBuffer> {
  // The first byte of the point, 4, ends the prefix.
  return concat([p256Prefix, point.subarray(1)]);
}

/** Cost of scrypt, RFC 7914 §2. Memory is 128 · `blockSize` · `cost` bytes. */
export interface ScryptParameters {
  /** N, a power of two. */
  readonly cost: number;
  /** r. */
  readonly blockSize: number;
  /** p. */
  readonly parallelization: number;
}

/** The Web Cryptography API, as `@peculiar/x509` takes it. */
type WebCrypto = NonNullable<Parameters<typeof X509CertificateGenerator.create>[1]>;

/** The primitives behind keys and certificates, given by `io/crypto`. */
export interface IdentityCrypto {
  readonly webcrypto: WebCrypto;
  sha256(bytes: Uint8Array): Uint8Array;
  /** RFC 7914. Runs off the main thread. */
  scrypt(
    password: Uint8Array,
    salt: Uint8Array,
    parameters: ScryptParameters,
    length: number,
  ): Promise<Uint8Array>;
  generateKeyPair(): KeyPair;
  /** The pair whose private key is this number: 32 bytes, big-endian, from 1 to the group's order less 1. */
  keyPairFromScalar(scalar: Uint8Array): KeyPair;
  /**
   * A private key as people keep them: PEM, as PKCS #8, SEC 1 or PKCS #1, of any algorithm.
   * @throws MeshError `CONFIGURATION` when it is none, or is encrypted.
   */
  readPrivateKey(pem: string): KeyPair;
}
