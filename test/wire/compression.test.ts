import { deflateSync, inflateSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { at } from "../../src/base/time.ts";
import {
  decodeFrame,
  deflatePayload,
  encodeFrame,
  frameFlag,
  Inbox,
  inflatePayload,
  Outbox,
  payloadMaxBytes,
  ReassemblyBudget,
} from "../../src/wire/index.ts";
import { bytesOf, drain } from "./support.ts";

/** A COMPRESSED payload that states `size`. */
function stating(size: number, stream: Uint8Array): Uint8Array {
  const stated = new Uint8Array(4);
  new DataView(stated.buffer).setUint32(0, size);
  return concat([stated, stream]);
}

const decodeError = expect.objectContaining({
  code: "DECODE",
  message: expect.stringMatching(/^invalid_packet/),
});

describe("§4: inflating", () => {
  test("what zlib made of anything, by any strategy", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 2_000 }),
          fc.nat(200_000).map((length) => new Uint8Array(length)),
        ),
        fc.integer({ min: 0, max: 9 }),
        (bytes, level) => {
          const payload = stating(bytes.length, deflateSync(bytes, { level }));
          expect(Buffer.compare(inflatePayload(payload, payloadMaxBytes), bytes)).toBe(0);
        },
      ),
    );
  });

  test("long streams, in steps", () => {
    for (const level of [0, 1, 9]) {
      const bytes = bytesOf(1_500_000);
      bytes.fill(1, 200_000, 900_000);
      const inflated = inflatePayload(stating(bytes.length, deflateSync(bytes, { level })), payloadMaxBytes);
      expect(Buffer.compare(inflated, bytes)).toBe(0);
    }
  });

  test("16 MiB of zeros, and not one more", () => {
    const zeros = (length: number): Uint8Array =>
      stating(length, deflateSync(new Uint8Array(length), { level: 9 }));
    expect(inflatePayload(zeros(payloadMaxBytes), payloadMaxBytes).length).toBe(payloadMaxBytes);
    expect(() => inflatePayload(zeros(payloadMaxBytes + 1), payloadMaxBytes)).toThrow(
      expect.objectContaining({ code: "LIMIT" }),
    );
  });

  const zeros = deflateSync(new Uint8Array(50_000));
  const long = deflateSync(bytesOf(60_000));
  test.each([
    ["more than stated", stating(49_999, zeros)],
    ["less than stated", stating(50_001, zeros)],
    ["more than stated, in steps", stating(59_999, long)],
    ["less than stated, in steps", stating(60_001, long)],
    ["nothing stated, much inside", stating(0, zeros)],
    ["more than zlib's ratio allows", stating(zeros.length * 1_033, zeros)],
    ["cut short", stating(50_000, zeros.subarray(0, -5))],
    ["cut short, in steps", stating(60_000, long.subarray(0, -5))],
    ["something behind it", stating(50_000, concat([zeros, Uint8Array.of(1, 2, 3)]))],
    ["a stored block longer than stated", stating(10, deflateSync(bytesOf(100), { level: 0 }))],
    ["a wrong checksum", stating(50_000, concat([zeros.subarray(0, -1), Uint8Array.of(99)]))],
    ["no zlib stream", stating(10, bytesOf(30))],
    ["a dictionary", stating(5, deflateSync("hello", { dictionary: Buffer.from("hello") }))],
    ["no stream at all", stating(10, new Uint8Array(0))],
    ["no size", new Uint8Array(3)],
  ])("is refused: %s", (_, payload) => {
    expect(() => inflatePayload(payload, payloadMaxBytes)).toThrow(decodeError);
  });

  test("a bomb costs what it states and no more", () => {
    // 16 MiB of input that would inflate to 16 GiB: done in moments only if it is stopped early.
    const [start, middle] = [
      deflateSync(new Uint8Array(1_000_000), { level: 9 }),
      new Uint8Array(payloadMaxBytes - 10_000),
    ];
    expect(() =>
      inflatePayload(stating(1_000, concat([start.subarray(0, -8), middle])), payloadMaxBytes),
    ).toThrow(decodeError);
  });

  test("random and damaged streams give bytes of the stated size or DECODE", () => {
    const whole = deflateSync(Buffer.from("abcabcabcabcabcabcaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbb"));
    const damaged = fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at_, byte]) => {
      const copy = new Uint8Array(whole);
      copy[at_] = byte;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 80 })), fc.nat(300), (stream, size) => {
        try {
          expect(inflatePayload(stating(size, stream), payloadMaxBytes).length).toBe(size);
        } catch (error) {
          expect(error).toEqual(decodeError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("§4: deflating", () => {
  test("gives a size and a zlib stream that zlib reads", () => {
    const bytes = new Uint8Array(10_000).fill(5);
    const deflated = deflatePayload(bytes) as Uint8Array;
    expect(new DataView(deflated.buffer, deflated.byteOffset).getUint32(0)).toBe(10_000);
    expect(Buffer.compare(inflateSync(deflated.subarray(4)), bytes)).toBe(0);
  });

  test("only when it helps", () => {
    expect(deflatePayload(bytesOf(10_000))).toBeUndefined();
    expect(deflatePayload(new Uint8Array(0))).toBeUndefined();
  });

  test("only above the threshold, which is infinite unless given", () => {
    const flagsOf = (outbox: Outbox, length: number): number => {
      outbox.push(1, 3, new Uint8Array(length));
      const decoded = decodeFrame(outbox.take(100_000) as Uint8Array);
      return decoded.result === "frame" ? decoded.frame.flags : -1;
    };
    expect(flagsOf(new Outbox(), 16_000)).toBe(0);
    const outbox = new Outbox({ compressAboveBytes: 1_000 });
    expect(flagsOf(outbox, 1_000)).toBe(0);
    expect(flagsOf(outbox, 1_001)).toBe(frameFlag.compressed);
    // Below the size of a fragment once compressed: one frame.
    expect(flagsOf(outbox, 100_000)).toBe(frameFlag.compressed);
  });
});

test("§4: a message is compressed first and split then", () => {
  const bytes = bytesOf(100_000);
  bytes.fill(0, 0, 60_000);
  const outbox = new Outbox({ compressAboveBytes: 100 });
  outbox.frame(1, 3, (writer) => writer.raw(bytes));
  expect(outbox.queuedBytes).toBeLessThan(50_000);
  const inbox = new Inbox({ budget: new ReassemblyBudget() });
  for (let taken = outbox.take(1); taken !== undefined; taken = outbox.take(1)) {
    const decoded = decodeFrame(taken);
    expect(decoded.result === "frame" && decoded.frame.flags).toBe(
      frameFlag.compressed | frameFlag.fragmented,
    );
    inbox.feed(taken);
  }
  const [frame] = drain(inbox);
  expect(Buffer.compare(frame?.payload as Uint8Array, bytes)).toBe(0);
});

test("§4: before authentication the inflated size has the smaller limit too", () => {
  const inbox = new Inbox({ budget: new ReassemblyBudget(), payloadMaxBytes: 4_096 });
  inbox.feed(encodeFrame(1, deflatePayload(new Uint8Array(4_097)) as Uint8Array, frameFlag.compressed));
  expect(() => inbox.next(at(0))).toThrow(expect.objectContaining({ code: "LIMIT" }));
});
