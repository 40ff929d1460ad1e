import { X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { subjectPublicKeyInfo } from "../../src/link/index.ts";
import { testIdentity } from "../identity/support.ts";

test("RFC 5280 §4.1: the public key of certificates, nodes' and authorities'", async () => {
  const { certificateChain, authorities, publicKey } = await testIdentity();
  const [own] = certificateChain as [Uint8Array];
  expect(Buffer.from(subjectPublicKeyInfo(own))).toEqual(Buffer.from(publicKey));
  for (const authority of authorities) {
    const expected = new X509Certificate(authority).publicKey.export({ type: "spki", format: "der" });
    expect(Buffer.from(subjectPublicKeyInfo(authority))).toEqual(expected);
  }
});

test("cut or mutated certificates give a key or DECODE", async () => {
  const [own] = (await testIdentity()).certificateChain as [Uint8Array];
  fc.assert(
    fc.property(fc.nat(own.length), fc.nat(own.length - 1), fc.nat(255), (end, position, byte) => {
      const mutated = own.slice();
      mutated[position] = byte;
      for (const bytes of [mutated, own.subarray(0, end)]) {
        try {
          subjectPublicKeyInfo(bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: "MeshError", code: "DECODE" });
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
