import { equal } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { hex } from "../base/text.ts";
import type { Issuer } from "./authority.ts";
import type { IdentityCrypto, KeyPair } from "./crypto.ts";
import { nodeUri, parseNodeUri } from "./realm.ts";
import { removeReflectMetadata } from "./reflect-metadata.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "./x509.ts";

removeReflectMetadata();

/** A certificate larger than this is refused unread; ours have about 600 bytes. */
const certificateBytesMax = 16_384;

/** From when to when something counts, milliseconds since 1970, to the second. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What a certificate says, none of it checked. */
export interface CertificateFacts extends Validity {
  /** SHA-256 of its public key. */
  readonly nodeId: NodeId;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** The realm that it admits this node id to; `undefined` when it does not say so. */
  readonly realm: string | undefined;
  /** Whether it may sign other certificates: an authority by its basic constraints, and its key usage does not exclude it. */
  readonly isAuthority: boolean;
  /** Whether its extended key usage allows both ends of TLS, or says nothing. */
  readonly isForTls: boolean;
}

/**
 * Reads a certificate.
 * @param der one certificate, DER, possibly hostile.
 * @throws MeshError `DECODE` when it is not a certificate.
 */
export function readCertificate(der: Uint8Array, crypto: IdentityCrypto): CertificateFacts {
  const certificate = parseCertificate(der);
  try {
    const publicKey = new Uint8Array(certificate.publicKey.rawData);
    const nodeId = nodeIdOf(publicKey, crypto);
    const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.items ?? [];
    const uris = names.map((name) => (name.type === "url" ? parseNodeUri(name.value) : undefined));
    const usages = certificate.getExtension(ExtendedKeyUsageExtension)?.usages;
    return {
      nodeId,
      publicKey,
      // A URI with another id would be somebody else's.
      realm: uris.find((uri) => uri?.nodeId === nodeId)?.realm,
      isAuthority: mayCertify(certificate),
      isForTls: usages === undefined || bothEndsOfTls.every((usage) => usages.includes(usage)),
      notBefore: certificate.notBefore.getTime(),
      notAfter: certificate.notAfter.getTime(),
    };
  } catch (cause) {
    throw new MeshError("DECODE", "not a certificate that can be used here", { cause });
  }
}

export function nodeIdOf(publicKey: Uint8Array, crypto: IdentityCrypto): NodeId {
  return nodeIdFromBytes(crypto.sha256(publicKey));
}

const bothEndsOfTls = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];

function mayCertify(certificate: X509Certificate): boolean {
  const usages = certificate.getExtension(KeyUsagesExtension)?.usages ?? KeyUsageFlags.keyCertSign;
  return (
    (certificate.getExtension(BasicConstraintsExtension)?.ca ?? false) &&
    (usages & KeyUsageFlags.keyCertSign) !== 0
  );
}

/** Issues the certificate of a node: for both ends of TLS, for signatures only, no authority over others. */
export async function issueNodeCertificate(
  node: { readonly realm: string; readonly publicKey: Uint8Array; readonly serial: Uint8Array } & Validity,
  issuer: Issuer,
  crypto: IdentityCrypto,
): Promise<Uint8Array> {
  const nodeId = nodeIdOf(node.publicKey, crypto);
  const authority = parseCertificate(issuer.certificate);
  const authorityKeyId = authority.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: hex(positiveSerial(node.serial)),
      subject: new Name([organization(node.realm), { CN: [{ printableString: nodeId }] }]),
      issuer: authority.subjectName,
      notBefore: date(node.notBefore),
      notAfter: date(node.notAfter),
      publicKey: copy(node.publicKey),
      ...(await signing(issuer.keys, authority, crypto)),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(bothEndsOfTls),
        new SubjectAlternativeNameExtension([{ type: "url", value: nodeUri(node.realm, nodeId) }]),
        new SubjectKeyIdentifierExtension(keyIdentifier(node.publicKey, crypto)),
        ...(authorityKeyId === undefined ? [] : [new AuthorityKeyIdentifierExtension(authorityKeyId)]),
      ],
    },
    crypto.webcrypto,
  );
  return new Uint8Array(certificate.rawData);
}

/** The certificate of a realm authority, signed by itself; it may sign nodes, but no further authorities. */
export async function selfSignAuthority(
  authority: { readonly realm: string; readonly keys: KeyPair } & Validity,
  crypto: IdentityCrypto,
): Promise<Uint8Array> {
  const { keys } = authority;
  const name = new Name([organization(authority.realm)]);
  const certificate = await X509CertificateGenerator.create(
    {
      // Derived from the key, so that all nodes that derive the key name its certificate alike.
      serialNumber: hex(positiveSerial(crypto.sha256(keys.publicKey).subarray(0, 16))),
      subject: name,
      issuer: name,
      notBefore: date(authority.notBefore),
      notAfter: date(authority.notAfter),
      publicKey: copy(keys.publicKey),
      signingKey: await importSigningKey(keys, { name: "ECDSA", namedCurve: "P-256" }, crypto),
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        new SubjectKeyIdentifierExtension(keyIdentifier(keys.publicKey, crypto)),
      ],
    },
    crypto.webcrypto,
  );
  return new Uint8Array(certificate.rawData);
}

/** Whether `issuer` signed the certificate and is named as the one who did. False on any defect; validity aside. */
export async function isIssuedBy(
  der: Uint8Array,
  issuer: Uint8Array,
  crypto: IdentityCrypto,
): Promise<boolean> {
  try {
    const certificate = parseCertificate(der);
    const authority = parseCertificate(issuer);
    const [named, subject] = [certificate.issuerName, authority.subjectName].map(
      (name) => new Uint8Array(name.toArrayBuffer()),
    ) as [Uint8Array, Uint8Array];
    if (!equal(named, subject)) return false;
    return await certificate.verify(
      { publicKey: authority.publicKey, signatureOnly: true },
      crypto.webcrypto,
    );
  } catch {
    return false;
  }
}

function parseCertificate(der: Uint8Array): X509Certificate {
  if (der.length > certificateBytesMax) {
    throw new MeshError("DECODE", `a certificate of ${der.length} bytes, ${certificateBytesMax} are allowed`);
  }
  // The library also takes PEM, hexadecimal and base64, and bytes left over; a certificate has one form here: a SEQUENCE
  // with its length in two bytes (none has less than 256 bytes) that fills all there is.
  if (
    der[0] !== 0x30 ||
    der[1] !== 0x82 ||
    ((der[2] as number) << 8) + (der[3] as number) !== der.length - 4
  ) {
    throw new MeshError("DECODE", "not a certificate in DER");
  }
  try {
    return new X509Certificate(copy(der));
  } catch (cause) {
    throw new MeshError("DECODE", "not a certificate", { cause });
  }
}

/** What the generator needs to sign with the authority's key; the hash is the one that fits the curve. */
async function signing(keys: KeyPair, authority: X509Certificate, crypto: IdentityCrypto) {
  const { name, namedCurve } = authority.publicKey.algorithm as { name: string; namedCurve?: string };
  if (name === "ECDSA" && (namedCurve === "P-256" || namedCurve === "P-384")) {
    const hash = namedCurve === "P-256" ? "SHA-256" : "SHA-384";
    return {
      signingKey: await importSigningKey(keys, { name, namedCurve }, crypto),
      signingAlgorithm: { name, hash },
    };
  }
  if (name.startsWith("RSA")) {
    const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    return { signingKey: await importSigningKey(keys, algorithm, crypto), signingAlgorithm: algorithm };
  }
  throw new MeshError(
    "CONFIGURATION",
    `an authority signs with P-256, P-384 or RSA, not with ${namedCurve ?? name}`,
  );
}

function importSigningKey(
  keys: KeyPair,
  algorithm: { name: string; namedCurve: string } | { name: string; hash: string },
  crypto: IdentityCrypto,
) {
  return crypto.webcrypto.subtle.importKey("pkcs8", copy(keys.privateKey), algorithm, false, ["sign"]);
}

/**
 * The realm as part of a name. The kind of string is fixed: verifiers compare names byte by byte, so that all who derive an
 * authority must write its name alike (left to itself, the library chooses by the characters).
 */
function organization(realm: string) {
  return { O: [{ utf8String: realm }] };
}

/** 20 bytes of a key's SHA-256 (RFC 7093 §2), in hexadecimal. */
function keyIdentifier(publicKey: Uint8Array, crypto: IdentityCrypto): string {
  return hex(crypto.sha256(publicKey).subarray(0, 20));
}

/** RFC 5280 §4.1.2.2: positive, and in the shortest form whatever the bytes are. */
function positiveSerial(bytes: Uint8Array): Uint8Array {
  const serial = copy(bytes);
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  return serial;
}

/** The library wants a Date; making one of a given time reads no clock. Certificates count whole seconds. */
function date(milliseconds: number) {
  // oxlint-disable-next-line no-restricted-globals
  return new Date(Math.floor(milliseconds / 1_000) * 1_000);
}

/** The bytes in an ArrayBuffer of their own, as the library and Web Cryptography want them. */
function copy(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
