import { MeshError } from "../base/errors.ts";
import { PemConverter } from "./x509.ts";

/** Certificates as text, RFC 7468 §5. */
export function certificatesToPem(certificates: readonly Uint8Array[]): string {
  const blocks = certificates.map((der) => PemConverter.encode(new Uint8Array(der), "CERTIFICATE"));
  return `${blocks.join("\n")}\n`;
}

/** A key as text, PKCS #8, RFC 7468 §10. */
export function privateKeyToPem(der: Uint8Array): string {
  return `${PemConverter.encode(new Uint8Array(der), "PRIVATE KEY")}\n`;
}

/**
 * The certificates in a text, DER, in their order; what else is in it (keys, remarks) is passed over.
 * @throws MeshError `CONFIGURATION` when there are none.
 */
export function certificatesFromPem(pem: string): readonly [Uint8Array, ...Uint8Array[]] {
  const [first, ...rest] = decode(pem);
  if (first === undefined)
    throw new MeshError("CONFIGURATION", "there is no certificate (BEGIN CERTIFICATE) in it");
  return [first, ...rest];
}

function decode(pem: string): Uint8Array[] {
  try {
    const blocks = PemConverter.decodeWithHeaders(pem.replaceAll("\r\n", "\n"));
    return blocks.filter(({ type }) => type === "CERTIFICATE").map(({ rawData }) => new Uint8Array(rawData));
  } catch (cause) {
    throw new MeshError("CONFIGURATION", "not text in PEM", { cause });
  }
}
