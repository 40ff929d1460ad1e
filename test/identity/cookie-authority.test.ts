import { scryptSync } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex } from "../../src/base/text.ts";
import {
  CookieAuthorities,
  certificatesToPem,
  cookieAuthority,
  type IdentityCrypto,
  nodeIdOf,
  readCertificate,
  scalarFrom,
} from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";

/** Order of P-256 less one. */
const groupMax = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550n;

/** The real thing, but for scrypt, which counts its calls and costs next to nothing. */
function cheapCrypto() {
  const calls = { count: 0, failing: false };
  const crypto: IdentityCrypto = {
    ...identityCrypto,
    scrypt: (password, salt, _, length) => {
      calls.count += 1;
      if (calls.failing) return Promise.reject(new Error("no memory"));
      return identityCrypto.scrypt(password, salt, { cost: 2, blockSize: 1, parallelization: 1 }, length);
    },
  };
  return { crypto, calls };
}

describe("DESIGN §3: the authority of a cookie", () => {
  test("is what docs/identity.md says, computed here by other means", async () => {
    const authority = await cookieAuthority("demo", "correct cookie", identityCrypto);
    const salt = "macula realm authority v1\0demo";
    const secret = scryptSync("correct cookie", salt, 48, { N: 2 ** 15, r: 8, p: 3, maxmem: 2 ** 26 });
    const scalar = (BigInt(`0x${secret.toString("hex")}`) % groupMax) + 1n;
    const expected = identityCrypto.keyPairFromScalar(
      Buffer.from(scalar.toString(16).padStart(64, "0"), "hex"),
    );
    expect(authority.issuer?.keys).toEqual(expected);
  });

  test("never changes: nodes of different versions must agree on it", async () => {
    const { anchors } = await cookieAuthority("demo", "correct cookie", identityCrypto);
    const facts = readCertificate(anchors[0] as Uint8Array, identityCrypto);
    expect(nodeIdOf(facts.publicKey, identityCrypto)).toMatchInlineSnapshot(
      `"honpsr36c2ponnhwrgxvfbrj5kgj427se56yn3sqgog3uznvgnna"`,
    );
    // SEQUENCE { SET { SEQUENCE { organizationName, UTF8String "demo" } } }, as issuer and as subject.
    expect(hex(anchors[0] as Uint8Array).split("300f310d300b060355040a0c0464656d6f")).toHaveLength(3);
    expect(facts).toMatchObject({ isAuthority: true, notBefore: Date.UTC(2020, 0, 1) });
    expect(facts.notAfter).toBe(Date.UTC(9999, 11, 31, 23, 59, 59));
  });

  test("differs with the cookie and with the realm, and not from time to time", async () => {
    const { crypto } = cheapCrypto();
    const keyOf = async (realm: string, cookie: string) =>
      hex((await cookieAuthority(realm, cookie, crypto)).issuer?.keys.publicKey ?? new Uint8Array());
    const keys = [
      await keyOf("a", "b"),
      await keyOf("a", "c"),
      await keyOf("c", "b"),
      await keyOf("ab", "b"),
    ];
    expect(new Set(keys).size).toBe(4);
    expect(await keyOf("a", "b")).toBe(keys[0]);
  });

  test("two derivations agree on subject, key and serial number", async () => {
    const { crypto } = cheapCrypto();
    const [first, second] = await Promise.all([1, 2].map(() => cookieAuthority("demo", "x", crypto)));
    const signedPart = (certificate?: Uint8Array) => hex((certificate ?? new Uint8Array()).subarray(4, 280));
    expect(signedPart(first?.anchors[0])).toBe(signedPart(second?.anchors[0]));
    expect(certificatesToPem(first?.anchors ?? [])).toContain("BEGIN CERTIFICATE");
  });
});

describe("FIPS 186-5 §A.2.1: a number below the order", () => {
  const bytes = (number: bigint): Uint8Array => Buffer.from(number.toString(16).padStart(96, "0"), "hex");
  const number = (scalar: Uint8Array): bigint => BigInt(`0x${hex(scalar)}`);

  test.each([
    [0n, 1n],
    [1n, 2n],
    [groupMax - 1n, groupMax],
    [groupMax, 1n],
    [groupMax * 5n + 41n, 42n],
    [2n ** 384n - 1n, ((2n ** 384n - 1n) % groupMax) + 1n],
  ])("%d gives %d", (uniform, expected) => {
    expect(number(scalarFrom(bytes(uniform)))).toBe(expected);
  });

  test("every input gives a key", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), (uniform) => {
        const scalar = scalarFrom(uniform);
        expect(scalar).toHaveLength(32);
        expect(number(scalar)).toBeGreaterThan(0n);
        expect(number(scalar)).toBeLessThanOrEqual(groupMax);
      }),
    );
  });
});

describe("derived authorities of a process", () => {
  test("are derived once, also when many nodes start at once", async () => {
    const { crypto, calls } = cheapCrypto();
    const authorities = new CookieAuthorities(crypto);
    const many = await Promise.all(Array.from({ length: 100 }, () => authorities.get("demo", "x")));
    expect(new Set(many).size).toBe(1);
    expect(calls.count).toBe(1);
  });

  test("are bounded in number, the one unused for longest going first", async () => {
    const { crypto, calls } = cheapCrypto();
    const authorities = new CookieAuthorities(crypto);
    for (let index = 0; index < 64; index++) await authorities.get("demo", `cookie ${index}`);
    await authorities.get("demo", "cookie 0");
    await authorities.get("demo", "one more");
    expect(calls.count).toBe(65);
    await authorities.get("demo", "cookie 0");
    expect(calls.count).toBe(65);
    await authorities.get("demo", "cookie 1");
    expect(calls.count).toBe(66);
  });

  test("a failure is not remembered", async () => {
    const { crypto, calls } = cheapCrypto();
    const authorities = new CookieAuthorities(crypto);
    calls.failing = true;
    await expect(authorities.get("demo", "x")).rejects.toThrow("no memory");
    calls.failing = false;
    expect((await authorities.get("demo", "x")).realm).toBe("demo");
  });
});
