import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hex, utf8 } from "../../src/base/text.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import { systemRandom } from "../../src/io/random.ts";

const keys = identityCrypto.generateKeyPair();
const crypto = coreCrypto(keys.privateKey);
const message = utf8("a message");
const signature = crypto.sign(message);

describe("the cores' crypto", () => {
  test("FIPS 180-4: SHA-256 of “abc”", () => {
    const digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    expect(hex(crypto.sha256(utf8("abc")))).toBe(digest);
  });

  test("gives plain bytes, of which a slice is a copy", async () => {
    const cheap = { cost: 2, blockSize: 1, parallelization: 1 };
    const key = await identityCrypto.scrypt(message, message, cheap, 48);
    for (const bytes of [crypto.sha256(message), signature, keys.publicKey, keys.privateKey, key]) {
      expect(bytes.constructor).toBe(Uint8Array);
    }
  });

  test("signs so that others can verify, 64 bytes", () => {
    expect(signature).toHaveLength(64);
    expect(crypto.verify(keys.publicKey, message, signature)).toBe(true);
    const key = createPublicKey({ key: Buffer.from(keys.publicKey), format: "der", type: "spki" });
    expect(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)).toBe(true);
  });

  test("knows another message, key, or any changed bit", () => {
    expect(crypto.verify(keys.publicKey, utf8("another"), signature)).toBe(false);
    expect(crypto.verify(identityCrypto.generateKeyPair().publicKey, message, signature)).toBe(false);
    fc.assert(
      fc.property(fc.nat(511), (bit) => {
        const changed = Uint8Array.from(signature);
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        expect(crypto.verify(keys.publicKey, message, changed)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test("RFC 6979 §A.2.5: accepts the published signature of “sample”", () => {
    const point =
      "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6" +
      "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    const published =
      "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
    const publicKey = Buffer.from(`3059301306072a8648ce3d020106082a8648ce3d03010703420004${point}`, "hex");
    expect(crypto.verify(publicKey, utf8("sample"), Buffer.from(published, "hex"))).toBe(true);
    expect(crypto.verify(publicKey, utf8("samplf"), Buffer.from(published, "hex"))).toBe(false);
  });

  test("hostile keys and signatures are false, never a throw", () => {
    const offCurve = Uint8Array.from(keys.publicKey).fill(1, -64);
    const otherCurve = generateKeyPairSync("ec", { namedCurve: "secp384r1" }).publicKey;
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1_024 }).publicKey;
    const bad = [
      new Uint8Array(),
      new Uint8Array(91),
      offCurve,
      Uint8Array.from([...keys.publicKey, 0]),
      otherCurve.export({ format: "der", type: "spki" }),
      rsa.export({ format: "der", type: "spki" }),
    ];
    for (const key of bad) expect(crypto.verify(key, message, signature)).toBe(false);
    for (const length of [0, 1, 63, 65, 10_000]) {
      expect(crypto.verify(keys.publicKey, message, new Uint8Array(length))).toBe(false);
    }
    expect(crypto.verify(keys.publicKey, message, new Uint8Array(64))).toBe(false);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 100 }), (key, signed) => {
        expect(crypto.verify(key, message, signed)).toBe(false);
      }),
    );
  });

  test("a changed buffer is another key, whatever was verified with it before", () => {
    const buffer = Uint8Array.from(keys.publicKey);
    expect(crypto.verify(buffer, message, signature)).toBe(true);
    buffer.set(identityCrypto.generateKeyPair().publicKey);
    expect(crypto.verify(buffer, message, signature)).toBe(false);
  });

  test("more keys than are kept still verify", () => {
    const others = Array.from({ length: 1_100 }, () => identityCrypto.generateKeyPair().publicKey);
    for (const key of others) expect(crypto.verify(key, message, signature)).toBe(false);
    expect(crypto.verify(keys.publicKey, message, signature)).toBe(true);
  });

  test("only a P-256 key is a node's", () => {
    const other = generateKeyPairSync("ec", { namedCurve: "secp384r1" }).privateKey;
    for (const key of [
      other.export({ format: "der", type: "pkcs8" }),
      new Uint8Array(),
      new Uint8Array(138),
    ]) {
      expect(() => coreCrypto(key)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
    }
  });
});

describe("keys", () => {
  test("the pair of the scalar 1 is the generator's (SEC 2 §2.4.2)", () => {
    const scalar = new Uint8Array(32);
    scalar[31] = 1;
    expect(hex(identityCrypto.keyPairFromScalar(scalar).publicKey)).toContain(
      "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    );
  });

  test("RFC 7914 §12: scrypt", async () => {
    const parameters = { cost: 1_024, blockSize: 8, parallelization: 16 };
    const key = await identityCrypto.scrypt(utf8("password"), utf8("NaCl"), parameters, 64);
    expect(hex(key)).toMatch(/^fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162/);
  });

  test("a passphrase on a key is said to be the trouble", () => {
    const { privateKey } = generateKeyPairSync("ec", {
      namedCurve: "prime256v1",
      privateKeyEncoding: { format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "x" },
      publicKeyEncoding: { format: "pem", type: "spki" },
    });
    expect(() => identityCrypto.readPrivateKey(privateKey)).toThrow(/encrypted/);
  });
});

describe("system randomness", () => {
  test("words, fractions, integers and bytes are in range and do not repeat", () => {
    const words = new Set(Array.from({ length: 5_000 }, () => systemRandom.u32()));
    expect(words.size).toBeGreaterThan(4_990);
    for (const word of words) expect(Number.isInteger(word) && word >= 0 && word < 2 ** 32).toBe(true);
    const dice = Array.from({ length: 5_000 }, () => systemRandom.integer(6));
    expect(new Set(dice)).toEqual(new Set([0, 1, 2, 3, 4, 5]));
    for (let index = 0; index < 100; index++) expect(systemRandom.float()).toBeLessThan(1);
    expect(systemRandom.bytes(32)).toHaveLength(32);
    expect(systemRandom.bytes(32)).not.toEqual(systemRandom.bytes(32));
    // Longer than what the system gives at once in the browser's API.
    expect(systemRandom.bytes(100_000)).toHaveLength(100_000);
  });
});
