import { createECDH } from "node:crypto";
import { expect, test } from "vitest";
import { hex } from "../../src/base/text.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { sealCrypto } from "../../src/io/seal-crypto.ts";
import { aes128Gcm, type SealCrypto, setUpReceiver, setUpSender } from "../../src/routing/index.ts";

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const ascii = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

function cryptoOf(scalar: string): SealCrypto {
  return sealCrypto(identityCrypto.keyPairFromScalar(bytes(scalar)).privateKey);
}

/** RFC 9180 appendix A.3.3: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, mode_auth. */
const vector = {
  info: ascii("Ode on a Grecian Urn"),
  ephemeral: "6b8de0873aed0c1b2d09b8c7ed54cbf24fdf1dfc7a47fa501f918810642d7b91",
  receiver: "d929ab4be2e59f6954d6bedd93e638f02d4046cef21115b00cdda2acb2a4440e",
  sender: "1120ac99fb1fccc1e8230502d245719d1b217fe20505c7648795139d177f0de9",
  enc:
    "042224f3ea800f7ec55c03f29fc9865f6ee27004f818fcbdc6dc68932c1e52e15b79e264a98f2c53" +
    "5ef06745f3d308624414153b22c7332bc1e691cb4af4d53454",
  plain: ascii("Beauty is truth, truth beauty"),
  sealed: new Map([
    [0, "82ffc8c44760db691a07c5627e5fc2c08e7a86979ee79b494a17cc3405446ac2bdb8f265db4a099ed3289ffe19"],
    [1, "b0a705a54532c7b4f5907de51c13dffe1e08d55ee9ba59686114b05945494d96725b239468f1229e3966aa1250"],
    [2, "8dc805680e3271a801790833ed74473710157645584f06d1b53ad439078d880b23e25256663178271c80ee8b7c"],
    [4, "04c8f7aae1584b61aa5816382cb0b834a5d744f420e6dffb5ddcec633a21b8b3472820930c1ea9258b035937a2"],
    [255, "4a319462eaedee37248b4d985f64f4f863d31913fe9e30b6e13136053b69fe5d70853c84c60a84bb5495d5a678"],
    [256, "28e874512f8940fafc7d06135e7589f6b4198bc0f3a1c64702e72c9e6abaf9f05cb0d2f11b03a517898815c934"],
  ]),
};

test("RFC 9180 A.3.3: sender and receiver make the published ciphertexts", () => {
  const pair = createECDH("prime256v1");
  pair.setPrivateKey(Buffer.from(vector.ephemeral, "hex"));
  const sender: SealCrypto = {
    ...cryptoOf(vector.sender),
    ephemeral: () => ({ publicPoint: pair.getPublicKey(), agree: (point) => pair.computeSecret(point) }),
  };
  const receiver = cryptoOf(vector.receiver);
  const setup = setUpSender(sender, receiver.publicPoint, vector.info, aes128Gcm);
  expect(setup && hex(setup.enc)).toBe(vector.enc);
  const context = setUpReceiver(receiver, sender.publicPoint, bytes(vector.enc), vector.info, aes128Gcm);
  for (const [number, sealed] of vector.sealed) {
    const associated = ascii(`Count-${number}`);
    expect(setup && hex(setup.context.seal(number, associated, vector.plain))).toBe(sealed);
    expect(context?.open(number, associated, bytes(sealed))).toEqual(vector.plain);
  }
});

test("AES-256-GCM: only the receiver opens it, unchanged, under its number and its associated data", () => {
  const [alice, bob, eve] = [1, 2, 3].map((scalar) => cryptoOf(scalar.toString(16).padStart(64, "0")));
  if (alice === undefined || bob === undefined || eve === undefined) throw new Error("no keys");
  const setup = setUpSender(alice, bob.publicPoint, vector.info);
  if (setup === undefined) throw new Error("no context");
  const context = setUpReceiver(bob, alice.publicPoint, setup.enc, vector.info);
  const associated = ascii("header");
  const sealed = setup.context.seal(2 ** 40, associated, vector.plain);
  expect(context?.open(2 ** 40, associated, sealed)).toEqual(vector.plain);
  expect(context?.open(2 ** 40 + 1, associated, sealed)).toBeUndefined();
  expect(context?.open(2 ** 40, ascii("Header"), sealed)).toBeUndefined();
  for (let index = 0; index < sealed.length; index++) {
    const changed = sealed.slice();
    changed[index] = (changed[index] as number) ^ 1;
    expect(context?.open(2 ** 40, associated, changed)).toBeUndefined();
  }
  expect(context?.open(2 ** 40, associated, sealed.subarray(0, 10))).toBeUndefined();
  // Somebody else's key, somebody else as the sender, another purpose.
  for (const wrong of [
    setUpReceiver(eve, alice.publicPoint, setup.enc, vector.info),
    setUpReceiver(bob, eve.publicPoint, setup.enc, vector.info),
    setUpReceiver(bob, alice.publicPoint, setup.enc, ascii("other")),
  ]) {
    expect(wrong?.open(2 ** 40, associated, sealed)).toBeUndefined();
  }
});

test("points that are not on the curve are refused", () => {
  const bob = cryptoOf("02".padStart(64, "0"));
  const bad = bob.publicPoint.slice();
  bad[64] = (bad[64] as number) ^ 1;
  expect(setUpSender(bob, bad, vector.info)).toBeUndefined();
  expect(setUpReceiver(bob, bob.publicPoint, bad, vector.info)).toBeUndefined();
  expect(setUpReceiver(bob, bob.publicPoint, bad.subarray(0, 10), vector.info)).toBeUndefined();
});
