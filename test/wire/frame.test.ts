import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { MeshError } from "../../src/base/errors.ts";
import { decodeFrame, encodeFrame, frameFlag, payloadMaxBytes } from "../../src/wire/index.ts";

const header = (version: number, type: number, flags: number, length: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint8(0, version);
  view.setUint8(1, type);
  view.setUint16(2, flags);
  view.setUint32(4, length);
  return new Uint8Array(view.buffer);
};

describe("§2: decoder results", () => {
  test("a frame and the rest", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 255 }),
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 30 }),
        // Bits 2 to 15 mean nothing and disturb nothing.
        fc.integer({ min: 0, max: 0x3fff }),
        (type, payload, rest, unknown) => {
          const bytes = concat([encodeFrame(type, payload, unknown << 2), rest]);
          expect(decodeFrame(bytes)).toEqual({
            result: "frame",
            frame: { type, flags: unknown << 2, payload },
            rest,
          });
        },
      ),
    );
  });

  test("insufficient_data for every true prefix, with what is missing at least", () => {
    const bytes = encodeFrame(3, new Uint8Array(20));
    for (let length = 0; length < bytes.length; length++) {
      const decoded = decodeFrame(bytes.subarray(0, length));
      expect(decoded).toEqual({
        result: "insufficient_data",
        missing: length < 8 ? 8 - length : 28 - length,
      });
    }
  });

  test("unsupported_version by the first byte alone", () => {
    for (let version = 0; version < 256; version++) {
      const decoded = decodeFrame(Uint8Array.of(version));
      if (version === 1) expect(decoded.result).toBe("insufficient_data");
      else expect(decoded).toEqual({ result: "unsupported_version", version });
    }
  });

  test.each([
    ["a payload of 16 MiB + 1", header(1, 3, 0, payloadMaxBytes + 1)],
    ["the largest length there is", header(1, 3, 0, 0xffff_ffff)],
    ["a fragment without its header", header(1, 3, 2, 11)],
    ["a fragment without a piece", header(1, 3, 2, 12)],
    ["a compressed payload too short for a zlib stream", header(1, 3, 1, 11)],
    [
      "a fragment beyond its message",
      concat([header(1, 3, 2, 14), header(0, 0, 7, 10), Uint8Array.of(0, 0, 0, 9)]),
    ],
    [
      "a fragment of a message above 16 MiB",
      concat([header(1, 3, 2, 14), header(0, 0, 7, payloadMaxBytes + 1), new Uint8Array(4)]),
    ],
  ])("invalid_packet: %s", (_, bytes) => {
    expect(decodeFrame(bytes).result).toBe("invalid_packet");
  });

  test("16 MiB exactly are allowed", () => {
    expect(decodeFrame(header(1, 3, 0, payloadMaxBytes))).toEqual({
      result: "insufficient_data",
      missing: payloadMaxBytes,
    });
  });

  test("no input makes it throw", () => {
    const bytes = fc.uint8Array({ maxLength: 60 });
    const likely = fc
      .tuple(fc.constantFrom(0, 1), bytes)
      .map(([first, rest]) => concat([Uint8Array.of(first), rest]));
    fc.assert(
      fc.property(fc.oneof(bytes, likely), (input) => void decodeFrame(input)),
      { numRuns: 2_000 },
    );
  });
});

describe("§2: encoding", () => {
  test("payload_too_large above 16 MiB", () => {
    expect(encodeFrame(3, new Uint8Array(payloadMaxBytes)).length).toBe(payloadMaxBytes + 8);
    const tooLarge = (): unknown => encodeFrame(3, new Uint8Array(payloadMaxBytes + 1));
    expect(tooLarge).toThrow(MeshError);
    expect(tooLarge).toThrow(/payload_too_large: 16777217 bytes/);
  });

  test.each([
    [-1, 0],
    [256, 0],
    [1.5, 0],
    [3, -1],
    [3, 0x1_0000],
  ])("type %s and flags %s are refused", (type, flags) => {
    expect(() => encodeFrame(type, new Uint8Array(0), flags)).toThrow(
      expect.objectContaining({ code: "ENCODE" }),
    );
  });

  test("the flags are where the specification puts them", () => {
    expect([...encodeFrame(0x2a, Uint8Array.of(9), frameFlag.compressed | frameFlag.fragmented)]).toEqual([
      1, 0x2a, 0, 3, 0, 0, 0, 1, 9,
    ]);
  });
});
