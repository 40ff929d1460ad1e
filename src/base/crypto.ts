/** The primitives the cores need, synchronous, given to them by `io/crypto` (or by a test). */
export interface CoreCrypto {
  sha256(bytes: Uint8Array): Uint8Array;
  /** ECDSA P-256 with SHA-256 by this node's own key; signature as r ‖ s, 64 bytes (IEEE P1363). */
  sign(bytes: Uint8Array): Uint8Array;
  /** Checks such a signature against a public key given as SubjectPublicKeyInfo (DER). False on any defect. */
  verify(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean;
}
