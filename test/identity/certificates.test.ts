import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isIssuedBy,
  issueIdentity,
  type NodeIdentity,
  nodeIdOf,
  parseNodeUri,
  readCertificate,
} from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { systemRandom } from "../../src/io/random.ts";
import { expiredIdentity, futureIdentity, strangerIdentity, testAuthority, testIdentity } from "./support.ts";

const leafOf = (identity: NodeIdentity): Uint8Array => identity.certificateChain[0] as Uint8Array;
const anchorOf = (identity: NodeIdentity): Uint8Array => identity.authorities[0] as Uint8Array;
const read = (der: Uint8Array) => readCertificate(der, identityCrypto);

describe("DESIGN §3: certificates", () => {
  test("a certificate names its node and realm, and the id is that of its key", async () => {
    const identity = await testIdentity({ realm: "demo" });
    const facts = read(leafOf(identity));
    expect(facts).toMatchObject({
      nodeId: identity.nodeId,
      realm: "demo",
      isAuthority: false,
      isForTls: true,
    });
    expect(Buffer.from(facts.publicKey)).toEqual(Buffer.from(identity.publicKey));
    expect(nodeIdOf(identity.publicKey, identityCrypto)).toBe(identity.nodeId);
    expect(facts.notAfter).toBe(identity.notAfter);
  });

  test("a new certificate for the same key keeps the node id and has another serial number", async () => {
    const keys = identityCrypto.generateKeyPair();
    const [first, second] = [await testIdentity({ keys }), await testIdentity({ keys })];
    expect(second.nodeId).toBe(first.nodeId);
    expect(leafOf(second)).not.toEqual(leafOf(first));
  });

  test("is signed by its realm's authority and by no other of the same name", async () => {
    const identity = await testIdentity();
    const stranger = await strangerIdentity();
    expect(await isIssuedBy(leafOf(identity), anchorOf(identity), identityCrypto)).toBe(true);
    expect(await isIssuedBy(leafOf(identity), anchorOf(stranger), identityCrypto)).toBe(false);
    expect(await isIssuedBy(leafOf(stranger), anchorOf(identity), identityCrypto)).toBe(false);
    expect(await isIssuedBy(anchorOf(identity), anchorOf(identity), identityCrypto)).toBe(true);
    const other = await testIdentity({ realm: "other" });
    expect(await isIssuedBy(leafOf(identity), anchorOf(other), identityCrypto)).toBe(false);
  });

  test("no changed byte of what is signed goes unnoticed", async () => {
    const identity = await testIdentity();
    const leaf = leafOf(identity);
    // The header, the signed part with its own length in bytes 6 and 7; then come algorithm and signature.
    const signedEnd = 8 + new DataView(leaf.buffer, leaf.byteOffset).getUint16(6);
    await fc.assert(
      fc.asyncProperty(fc.nat(signedEnd - 1), fc.integer({ min: 1, max: 255 }), async (index, change) => {
        const changed = Uint8Array.from(leaf);
        changed[index] = (changed[index] as number) ^ change;
        expect(await isIssuedBy(changed, anchorOf(identity), identityCrypto)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test("hostile bytes are DECODE", async () => {
    const leaf = leafOf(await testIdentity());
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(leaf.length - 1).map((length) => leaf.subarray(0, length)),
      // As deep as DER goes: each sequence holds one more.
      fc
        .nat(4_000)
        .map((depth) => new Uint8Array(depth * 2).map((_, index) => (index % 2 === 0 ? 0x30 : 0x80))),
      fc.tuple(fc.nat(leaf.length - 1), fc.nat(255)).map(([at, value]) => leaf.with(at, value)),
      fc.constant(new Uint8Array(20_000).fill(0x30)),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          expect(read(bytes).nodeId).toMatch(/^[a-z2-7]{52}$/);
        } catch (error) {
          expect(error).toMatchObject({ code: "DECODE" });
        }
      }),
      { numRuns: 500 },
    );
  });

  test("text is no certificate, though the library would take it", async () => {
    const leaf = Buffer.from(leafOf(await testIdentity()));
    for (const text of [leaf.toString("hex"), leaf.toString("base64")]) {
      expect(() => read(Buffer.from(text))).toThrow(expect.objectContaining({ code: "DECODE" }));
    }
  });

  test("without the authority's key nothing is issued", async () => {
    const { realm, anchors } = await testAuthority();
    const keys = identityCrypto.generateKeyPair();
    const issued = issueIdentity(
      { realm, anchors },
      keys,
      { notBefore: 0, notAfter: 1 },
      systemRandom,
      identityCrypto,
    );
    await expect(issued).rejects.toMatchObject({ code: "CONFIGURATION" });
  });

  test("the identities for other tests are as wrong as they say", async () => {
    expect((await expiredIdentity()).notAfter).toBeLessThan(Date.now());
    expect(read(leafOf(await futureIdentity())).notBefore).toBeGreaterThan(Date.now());
    const [a, b] = [await testIdentity({ cookie: "a" }), await testIdentity({ cookie: "b" })];
    expect(await isIssuedBy(leafOf(a), anchorOf(b), identityCrypto)).toBe(false);
  });

  test("loading the library left no trace on Reflect", () => {
    expect(Object.getOwnPropertyNames(Reflect).filter((name) => /metadata/i.test(name))).toEqual([]);
  });
});

describe("URI of a node", () => {
  const id = "a".repeat(52);

  test.each([
    "",
    "macula:",
    "macula:demo",
    `macula:/${id}`,
    `macula:demo/${id}/`,
    `macula:demo/${id}x`,
    `macula:../${id}`,
    `macula:demo/${id.toUpperCase()}`,
    `MACULA:demo/${id}`,
    `https:demo/${id}`,
  ])("%j is none", (uri) => {
    expect(parseNodeUri(uri)).toBe(undefined);
  });

  test("names realm and node", () => {
    expect(parseNodeUri(`macula:demo/${id}`)).toEqual({ realm: "demo", nodeId: id });
  });
});
