// First: the library below does not load without it.
// oxlint-disable-next-line import/no-unassigned-import
import "../../../src/identity/reflect-metadata.ts";

import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { type NodeId, nodeIdFromBytes } from "../../../src/base/node-id.ts";
import type { QuicIdentity, QuicTrust } from "../../../src/io/quic/index.ts";

type CryptoKeyPair = webcrypto.CryptoKeyPair;

x509.cryptoProvider.set(
  webcrypto as unknown as Exclude<Parameters<typeof x509.cryptoProvider.set>[0], string>,
);
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

export interface TestNode {
  readonly identity: QuicIdentity;
  readonly nodeId: NodeId;
}

/** A realm's authority that issues certificates for tests. */
export class TestRealm {
  readonly trust: QuicTrust;
  readonly #keys: CryptoKeyPair;
  readonly #certificate: x509.X509Certificate;
  #serial = 1;

  private constructor(keys: CryptoKeyPair, certificate: x509.X509Certificate) {
    this.#keys = keys;
    this.#certificate = certificate;
    this.trust = { authorities: [new Uint8Array(certificate.rawData)] };
  }

  static async create(name = "test"): Promise<TestRealm> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: "01",
      name: `CN=realm ${name}`,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + 365 * dayMs),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new TestRealm(keys, certificate);
  }

  /** A node; with `keys` of an earlier one it is the same node with another certificate. */
  async issue(given: { readonly days?: number; readonly keys?: CryptoKeyPair } = {}): Promise<TestNode> {
    const keys = given.keys ?? (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]));
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: (++this.#serial).toString(16).padStart(4, "0"),
      subject: "CN=node",
      issuer: this.#certificate.subject,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + (given.days ?? 30) * dayMs),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: [new x509.BasicConstraintsExtension(false, undefined, true)],
    });
    const spki = await webcrypto.subtle.exportKey("spki", keys.publicKey);
    const digest = await webcrypto.subtle.digest("SHA-256", spki);
    const privateKey = new Uint8Array(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
    return {
      identity: { certificateChain: [new Uint8Array(certificate.rawData)], privateKey },
      nodeId: nodeIdFromBytes(new Uint8Array(digest)),
    };
  }
}
