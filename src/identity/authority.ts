import type { KeyPair } from "./crypto.ts";

/** Who decides what belongs to a realm: what its nodes trust, and, where it is at hand, the key that signs. */
export interface Authority {
  readonly realm: string;
  /** What a peer's certificate chain must end in; DER, at least one. Of each, only subject and key count. */
  readonly anchors: readonly Uint8Array[];
  /** Signs certificates. Without it the node lives on the certificate it was given. */
  readonly issuer?: Issuer;
}

export interface Issuer {
  /** The certificate of the key, one of the authority's anchors; DER. */
  readonly certificate: Uint8Array;
  readonly keys: KeyPair;
  /** What nodes present behind the certificates it signs: itself and those above it, unless it is a root. DER. */
  readonly chain: readonly Uint8Array[];
}
