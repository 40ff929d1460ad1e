import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { cookieWeakness, generateCookie, normalizeCookie } from "../../src/identity/index.ts";
import { systemRandom } from "../../src/io/random.ts";

describe("cookie", () => {
  test("a generated one has 160 bits and another every time", () => {
    const cookies = new Set(Array.from({ length: 100 }, () => generateCookie(systemRandom)));
    expect(cookies.size).toBe(100);
    for (const cookie of cookies) expect(cookie).toMatch(/^[a-z2-7]{32}$/);
  });

  test("typed in another Unicode form it is the same cookie", () => {
    expect(normalizeCookie("cafe\u0301")).toBe(normalizeCookie("caf\u00e9"));
  });

  test.each(["", "x".repeat(1_025), "two\nlines", "tab\there"])("%j is none", (cookie) => {
    expect(() => normalizeCookie(cookie)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
  });
});

describe("weak cookies", () => {
  test.each([
    "secret",
    "x",
    "macula-demo-cookie",
    "P4ssw0rd!",
    "my-erlang-cluster-cookie",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abcabcabcabcabcabcabcabcabcabc",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "1234567890123456789",
    "20261123",
    "correct horse battery staple",
    "hunter2hunter2hunter2",
    "SuperSecretPassword123",
    "7f3a9c21",
    "kzqvwxjh",
  ])("%s gets a warning that does not show it", (cookie) => {
    const weakness = cookieWeakness(cookie);
    expect(weakness).toMatch(/^the cookie is weak, worth about \d+ bits \(/);
    if (cookie.length > 4) expect(weakness).not.toContain(cookie);
  });

  test.each([
    "TCCPZQKSHJHUDBMCVNRW", // as Erlang generates them
    "3f9a1c07e2b85d64", // openssl rand -hex 8
    "e7f0b9c4-52d1-4a8e-9c36-0f1b7d2a8e53",
    "hR7x/Q2mKp9+Zt4Wc1Ls",
    "unfold magnet crispy walnut hatbox",
    "über-Öl-Käse-7Mäuse-zwölf-Türme!",
  ])("%s gets none", (cookie) => {
    expect(cookieWeakness(cookie)).toBe(undefined);
  });

  test("a generated one gets none", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => cookieWeakness(generateCookie(seededRandom(seed))) === undefined),
      { numRuns: 2_000 },
    );
  });

  test("any text gets an answer or CONFIGURATION", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        try {
          cookieWeakness(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "CONFIGURATION" });
        }
      }),
    );
  });
});
