import * as fc from "fast-check";
import { expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import {
  decodeAnswer,
  decodeLocalRequest,
  decodeTunnelRequest,
  encodeAccepted,
  encodeLocalRequest,
  encodeRefusal,
  encodeRegistered,
  encodeTunnelRequest,
  type LocalRequest,
  PacketReader,
  Refusal,
} from "../../src/carrier/index.ts";

const name = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255);
const request = fc.oneof(
  fc.record({ type: fc.constant("register" as const), name }),
  fc.record({ type: fc.constant("connect" as const), target: name, from: name, timeoutMs: fc.nat() }),
  fc.record({
    type: fc.constant("accept" as const),
    token: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString("hex")),
  }),
);

/** The one packet in `bytes`. */
function unpacked(bytes: Uint8Array): Uint8Array {
  const reader = new PacketReader();
  reader.push(bytes);
  const payload = reader.next();
  expect(reader.rest).toHaveLength(0);
  return payload ?? new Uint8Array(0);
}

test("what is encoded is decoded again", () => {
  fc.assert(
    fc.property(request, (given: LocalRequest) => {
      expect(decodeLocalRequest(unpacked(encodeLocalRequest(given)))).toEqual(given);
    }),
  );
  fc.assert(
    fc.property(fc.record({ target: name, from: name }), (given) => {
      expect(decodeTunnelRequest(unpacked(encodeTunnelRequest(given)))).toEqual(given);
    }),
  );
});

test("the bytes are those of docs/erlang.md", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  expect(hex(encodeLocalRequest({ type: "register", name: "a@b" }))).toBe("0006010103614062");
  expect(hex(encodeLocalRequest({ type: "connect", target: "a@b", from: "c@d", timeoutMs: 6_500 }))).toBe(
    "000e0102000019640361406203634064",
  );
  expect(hex(encodeLocalRequest({ type: "accept", token: "0102030405060708" }))).toBe(
    "000a01030102030405060708",
  );
  expect(hex(encodeTunnelRequest({ target: "a@b", from: "c@d" }))).toBe("0009010361406203634064");
  expect(hex(encodeAccepted())).toBe("000100");
  expect(hex(encodeRegistered(true))).toBe("00020001");
  expect(hex(encodeRefusal(new Refusal("notHere", "no")))).toBe("0003036e6f");
});

test("random bytes are a request or a MeshError, never anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      for (const decode of [decodeLocalRequest, decodeTunnelRequest, decodeAnswer]) {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MeshError);
        }
      }
    }),
  );
});

test("a refusal arrives as what it was, however long, without control characters", () => {
  const caught = (bytes: Uint8Array): unknown => {
    try {
      decodeAnswer(unpacked(bytes));
      return undefined;
    } catch (error) {
      return error;
    }
  };
  expect(caught(encodeAccepted())).toBeUndefined();
  expect(caught(encodeRefusal(new Refusal("busy", "too\u001b[31mmany")))).toMatchObject({
    kind: "busy",
    code: "LIMIT",
    message: "too\uFFFD[31mmany",
  });
  const long = caught(encodeRefusal(new Refusal("notHere", "ä".repeat(5_000)))) as Refusal;
  expect(long.message).toMatch(/^ä{400,}$/);
});

test("packets come out whole, however the bytes are cut; one that is too long is refused at once", () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 5 }), fc.integer({ min: 1, max: 7 }), (requests, step) => {
      const bytes = Buffer.concat(requests.map((each) => encodeLocalRequest(each)));
      const reader = new PacketReader();
      const got: LocalRequest[] = [];
      for (let at = 0; at < bytes.length; at += step) {
        reader.push(bytes.subarray(at, at + step));
        for (let next = reader.next(); next !== undefined; next = reader.next())
          got.push(decodeLocalRequest(next));
      }
      expect(got).toEqual(requests);
    }),
  );
  const reader = new PacketReader();
  reader.push(Uint8Array.of(4, 1));
  expect(() => reader.next()).toThrow("a packet of 1025 bytes");
});
