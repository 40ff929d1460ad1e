import type { NodeId } from "../base/node-id.ts";

/** What sealing needs, synchronous, given by `io/seal-crypto` (or by a simulation, cheaply). P-256 throughout; points are uncompressed, 65 bytes. */
export interface SealCrypto {
  /** The point of this node's own key. */
  readonly publicPoint: Uint8Array;
  /** The node whose key has this point: the SHA-256 of its SubjectPublicKeyInfo. */
  nodeIdOf(point: Uint8Array): NodeId;
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** A pair to be used once. */
  ephemeral(): EphemeralKey;
  /** x-coordinate that this node's own key and `point` make; `undefined` when `point` is not on the curve. */
  agree(point: Uint8Array): Uint8Array | undefined;
  /** AES-GCM by the length of `key` (16 or 32 bytes); nonce of 12 bytes; a tag of 16 bytes follows the ciphertext. */
  encrypt(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plain: Uint8Array): Uint8Array;
  /** `undefined` when anything was changed. */
  decrypt(
    key: Uint8Array,
    nonce: Uint8Array,
    associated: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

export interface EphemeralKey {
  readonly publicPoint: Uint8Array;
  agree(point: Uint8Array): Uint8Array | undefined;
}

/** Bytes of an uncompressed P-256 point. */
export const pointBytes = 65;
/** Bytes that sealing adds. */
export const sealTagBytes = 16;
