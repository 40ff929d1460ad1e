import { equal } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import type { Authority } from "./authority.ts";
import { isIssuedBy, issueNodeCertificate, readCertificate, type Validity } from "./certificates.ts";
import { type IdentityCrypto, isP256, type KeyPair } from "./crypto.ts";
import { certificateLifeMs, clockSkewMs } from "./renewal.ts";

/** All that a node needs to show who it is and to tell who belongs to its realm. */
export interface NodeIdentity {
  /** SHA-256 of `publicKey`; the same before and after a renewal. */
  readonly nodeId: NodeId;
  readonly realm: string;
  /** DER, the node's own first, each signed by the next; without the trust anchor. */
  readonly certificateChain: readonly Uint8Array[];
  /** P-256, PKCS #8, DER. A secret. */
  readonly privateKey: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** Milliseconds since 1970, both. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Trust anchors of the realm, DER. */
  readonly authorities: readonly Uint8Array[];
}

/** 30 days from `now`, beginning a little earlier; within the authority's own validity. Milliseconds since 1970. */
export function freshValidity(now: number, authority: Validity): Validity {
  return {
    notBefore: Math.max(now - clockSkewMs, authority.notBefore),
    notAfter: Math.min(now + certificateLifeMs, authority.notAfter),
  };
}

/**
 * Certifies a key as a node of the authority's realm.
 * @param validity milliseconds since 1970, whole seconds.
 * @param random the system's: serial numbers should not repeat.
 * @throws MeshError `CONFIGURATION` when the authority has no key, or one of an algorithm we do not sign with.
 */
export async function issueIdentity(
  authority: Authority,
  keys: KeyPair,
  validity: Validity,
  random: Random,
  crypto: IdentityCrypto,
): Promise<NodeIdentity> {
  const { realm, issuer } = authority;
  if (issuer === undefined) {
    throw new MeshError(
      "CONFIGURATION",
      `there is no key here to issue certificates for realm ${realm} with`,
    );
  }
  const node = { realm, publicKey: keys.publicKey, serial: random.bytes(16), ...validity };
  const certificate = await issueNodeCertificate(node, issuer, crypto);
  return identityFrom(authority, keys, [certificate, ...issuer.chain], crypto);
}

/**
 * An identity made of a key and a certificate that exist already.
 * @param chain DER, the node's certificate first.
 * @throws MeshError `CONFIGURATION` when they do not belong together, or the certificate does not name the node in the
 * realm. Whether it is in force and leads to a trust anchor is the engine's to check, for our own as for a peer's.
 */
export function identityFrom(
  authority: Authority,
  keys: KeyPair,
  chain: readonly Uint8Array[],
  crypto: IdentityCrypto,
): NodeIdentity {
  const [own] = chain;
  if (own === undefined) throw new MeshError("CONFIGURATION", "there is no certificate for the node");
  const facts = readCertificate(own, crypto);
  if (!isP256(keys.publicKey)) throw new MeshError("CONFIGURATION", "the key of a node is a P-256 key");
  if (!equal(facts.publicKey, keys.publicKey)) {
    throw new MeshError("CONFIGURATION", "the node's certificate is that of another key");
  }
  if (facts.realm !== authority.realm) {
    throw new MeshError(
      "CONFIGURATION",
      `the node's certificate has no name URI:macula:${authority.realm}/${facts.nodeId}, which would admit it to the realm`,
    );
  }
  return {
    nodeId: facts.nodeId,
    realm: authority.realm,
    certificateChain: chain,
    privateKey: keys.privateKey,
    publicKey: keys.publicKey,
    notBefore: facts.notBefore,
    notAfter: facts.notAfter,
    authorities: authority.anchors,
  };
}

/** Whether the authority issued the identity's certificate, judging by name and signature. */
export function isIdentityOf(
  authority: Authority,
  identity: NodeIdentity,
  crypto: IdentityCrypto,
): Promise<boolean> {
  const [own] = identity.certificateChain;
  if (own === undefined || authority.issuer === undefined) return Promise.resolve(false);
  return isIssuedBy(own, authority.issuer.certificate, crypto);
}
