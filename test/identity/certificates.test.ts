import { describe, expect, test } from "vitest";
import { readCertificate } from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { testIdentity } from "./support.ts";

describe("DESIGN §3: certificates", () => {
  test("a certificate names its node and realm", async () => {
    const identity = await testIdentity({ realm: "demo" });
    const facts = readCertificate(identity.certificateChain[0] as Uint8Array, identityCrypto);
    expect(facts).toMatchObject({ nodeId: identity.nodeId, realm: "demo", isAuthority: false });
    expect(facts.publicKey).toEqual(new Uint8Array(identity.publicKey));
  });
});
