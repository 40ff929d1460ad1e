import { equal } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import type { Authority, Issuer } from "./authority.ts";
import { isIssuedBy, readCertificate } from "./certificates.ts";
import type { IdentityCrypto } from "./crypto.ts";
import { identityFrom, type NodeIdentity } from "./node-identity.ts";
import { certificatesFromPem } from "./pem.ts";
import { parseRealmName } from "./realm.ts";

/** Links of a chain, at the most: more than this is a mistake or an attack. */
const chainLengthMax = 8;

/** A user's own certificate authority, as it comes out of files. */
export interface OwnAuthority {
  /** One or more certificates, PEM; each of them is trusted. */
  readonly certificates: string;
  /** The key of one of them, PEM. Without it nodes need certificates made elsewhere (`ownIdentity`). */
  readonly privateKey?: string;
}

/**
 * The authority of a realm that the user runs: P-256, P-384 or RSA.
 *
 * Whatever else the authority certifies is not in the realm by that: a node's certificate names the realm.
 * @throws MeshError `CONFIGURATION` when a certificate cannot sign others, or the key belongs to none of them.
 */
export async function ownAuthority(
  realm: string,
  own: OwnAuthority,
  crypto: IdentityCrypto,
): Promise<Authority> {
  const anchors = certificatesFromPem(own.certificates);
  for (const [index, certificate] of anchors.entries()) {
    if (readOwn(certificate, crypto).isAuthority) continue;
    throw new MeshError(
      "CONFIGURATION",
      `certificate ${index + 1} of the authority may not sign others (CA:TRUE and, if there is a key usage, keyCertSign)`,
    );
  }
  const authority = { realm: parseRealmName(realm), anchors };
  if (own.privateKey === undefined) return authority;
  return { ...authority, issuer: await issuerOf(own.privateKey, anchors, crypto) };
}

async function issuerOf(
  privateKey: string,
  anchors: readonly Uint8Array[],
  crypto: IdentityCrypto,
): Promise<Issuer> {
  const keys = crypto.readPrivateKey(privateKey);
  const certificate = anchors.find((anchor) =>
    equal(readCertificate(anchor, crypto).publicKey, keys.publicKey),
  );
  if (certificate === undefined) {
    throw new MeshError("CONFIGURATION", "the authority's key belongs to none of its certificates");
  }
  return { certificate, keys, chain: await chainFrom(certificate, anchors, crypto) };
}

/** The certificate and those above it, as far as they are there, without a root; nothing for a root itself. */
async function chainFrom(
  certificate: Uint8Array,
  others: readonly Uint8Array[],
  crypto: IdentityCrypto,
): Promise<Uint8Array[]> {
  const chain: Uint8Array[] = [];
  let current: Uint8Array | undefined = certificate;
  while (current !== undefined && chain.length < chainLengthMax) {
    const link: Uint8Array = current;
    if (await isIssuedBy(link, link, crypto)) break;
    chain.push(link);
    current = undefined;
    for (const other of others) {
      if (current === undefined && !chain.includes(other) && (await isIssuedBy(link, other, crypto)))
        current = other;
    }
  }
  return chain;
}

/**
 * An identity whose certificate and key were made elsewhere.
 * @param own PEM; the node's certificate first, then those above it.
 * @param now milliseconds since 1970.
 * @throws MeshError `CONFIGURATION` when the parts do not fit each other, `CERTIFICATE_EXPIRED` when the node's
 * certificate is not in force. Found here they have a clear name; at the peer they would be a refused connection.
 */
export async function ownIdentity(
  authority: Authority,
  own: { readonly certificates: string; readonly privateKey: string },
  now: number,
  crypto: IdentityCrypto,
): Promise<NodeIdentity> {
  const chain = certificatesFromPem(own.certificates);
  const facts = readOwn(chain[0], crypto);
  if (!facts.isForTls) {
    throw new MeshError(
      "CONFIGURATION",
      "the node's certificate is not for both ends of TLS (extended key usage serverAuth and clientAuth)",
    );
  }
  await checkChain(authority, chain, crypto);
  const identity = identityFrom(authority, crypto.readPrivateKey(own.privateKey), chain, crypto);
  if (now < facts.notBefore || now > facts.notAfter) {
    const when = now > facts.notAfter ? "is no longer" : "is not yet";
    throw new MeshError("CERTIFICATE_EXPIRED", `the node's certificate ${when} in force`);
  }
  return identity;
}

async function checkChain(
  authority: Authority,
  chain: readonly Uint8Array[],
  crypto: IdentityCrypto,
): Promise<void> {
  if (chain.length > chainLengthMax) {
    throw new MeshError(
      "CONFIGURATION",
      `${chain.length} certificates in a chain, ${chainLengthMax} are allowed`,
    );
  }
  for (const [index, certificate] of chain.entries()) {
    const above = chain[index + 1];
    for (const anchor of authority.anchors) {
      if (equal(certificate, anchor) || (await isIssuedBy(certificate, anchor, crypto))) return;
    }
    if (above !== undefined && (await isIssuedBy(certificate, above, crypto))) continue;
    throw new MeshError(
      "CONFIGURATION",
      `certificate ${index + 1} of the node is issued by neither the next one nor the realm's authority`,
    );
  }
}

/** What a certificate from a user's file says; being none is a wrong setting here. */
function readOwn(certificate: Uint8Array, crypto: IdentityCrypto) {
  try {
    return readCertificate(certificate, crypto);
  } catch (cause) {
    throw new MeshError("CONFIGURATION", "one of the certificates cannot be read", { cause });
  }
}
