import { type KeyObject, webcrypto } from "node:crypto";
import { certificatesToPem } from "../../src/identity/index.ts";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
} from "../../src/identity/x509.ts";

/** Certificate and key of an authority as a user might have one, PEM. */
export async function authorityPem(pair: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }) {
  const curve = pair.privateKey.asymmetricKeyDetails?.namedCurve;
  const namedCurve = curve === "secp384r1" ? "P-384" : "P-256";
  const algorithm =
    curve === undefined
      ? { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }
      : { name: "ECDSA", namedCurve, hash: "SHA-256" };
  const pkcs8 = pair.privateKey.export({ format: "der", type: "pkcs8" });
  const certificate = await X509CertificateGenerator.create(
    {
      subject: "C=DE, O=Example, CN=Root",
      issuer: "C=DE, O=Example, CN=Root",
      notBefore: new Date(Date.now() - 1_000),
      notAfter: new Date(Date.now() + 86_400_000),
      publicKey: new Uint8Array(pair.publicKey.export({ format: "der", type: "spki" })),
      signingKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    },
    webcrypto as Parameters<typeof X509CertificateGenerator.create>[1],
  );
  return {
    certificates: certificatesToPem([new Uint8Array(certificate.rawData)]),
    privateKey: pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}
