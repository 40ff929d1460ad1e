import { webcrypto, X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeId } from "../../src/base/node-id.ts";
import { nodeIdOf, nodeUri } from "../../src/identity/index.ts";
import { Name, SubjectAlternativeNameExtension, X509CertificateGenerator } from "../../src/identity/x509.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { isAdmitted } from "../../src/io/peer-certificate.ts";
import { testIdentity } from "./support.ts";

type Names = ConstructorParameters<typeof SubjectAlternativeNameExtension>[0];

/** A certificate that an authority of the user's own might sign, with whatever names its owner asked for. */
async function certificateWith(names: (id: NodeId) => Names, commonName = "x") {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const publicKey = new Uint8Array(await webcrypto.subtle.exportKey("spki", keys.publicKey));
  const nodeId = nodeIdOf(publicKey, identityCrypto);
  const certificate = await X509CertificateGenerator.create(
    {
      subject: new Name([{ CN: [commonName] }]),
      issuer: new Name([{ CN: ["x"] }]),
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension(names(nodeId))],
    },
    webcrypto as Parameters<typeof X509CertificateGenerator.create>[1],
  );
  return { der: new Uint8Array(certificate.rawData), nodeId };
}

describe("DESIGN §3: who belongs to the realm", () => {
  test("a node of it, under its own id", async () => {
    const [identity, other] = [await testIdentity({ realm: "demo" }), await testIdentity({ realm: "demo" })];
    const [leaf] = identity.certificateChain as [Uint8Array];
    expect(isAdmitted(leaf, "demo", identity.nodeId)).toBe(true);
    expect(isAdmitted(new X509Certificate(leaf), "demo", identity.nodeId)).toBe(true);
    expect(isAdmitted(leaf, "dem", identity.nodeId)).toBe(false);
    expect(isAdmitted(leaf, "demo2", identity.nodeId)).toBe(false);
    expect(isAdmitted(leaf, "demo", other.nodeId)).toBe(false);
  });

  test("the URI counts among other names", async () => {
    const { der, nodeId } = await certificateWith((id) => [
      { type: "dns", value: "a.example" },
      { type: "url", value: nodeUri("demo", id) },
      { type: "ip", value: "127.0.0.1" },
    ]);
    expect(isAdmitted(der, "demo", nodeId)).toBe(true);
  });

  test.each<[string, (id: NodeId) => Names]>([
    ["no URI", () => [{ type: "dns", value: "www.example" }]],
    ["the URI inside a DNS name", (id) => [{ type: "dns", value: `a, URI:${nodeUri("demo", id)}` }]],
    ["the URI inside a mail address", (id) => [{ type: "email", value: `a, URI:${nodeUri("demo", id)}, b` }]],
    ["the URI inside another", (id) => [{ type: "url", value: `x:y, URI:${nodeUri("demo", id)}` }]],
    ["more behind the URI", (id) => [{ type: "url", value: `${nodeUri("demo", id)}?` }]],
    ["the URI as a DNS name", (id) => [{ type: "dns", value: `URI:${nodeUri("demo", id)}` }]],
  ])("%s admits nobody", async (_, names) => {
    const { der, nodeId } = await certificateWith(names);
    expect(isAdmitted(der, "demo", nodeId)).toBe(false);
  });

  test("hostile bytes are not admitted, and do not throw", async () => {
    const { nodeId, certificateChain } = await testIdentity();
    const [leaf] = certificateChain as [Uint8Array];
    const broken = fc.nat(leaf.length - 1).map((length) => leaf.subarray(0, length));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), broken), (bytes) => {
        expect(isAdmitted(bytes, "test", nodeId)).toBe(false);
      }),
    );
  });
});
