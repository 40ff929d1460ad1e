import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { at } from "../../src/base/time.ts";
import { PacketReader, Ticker } from "../../src/erlang/index.ts";

function framed(lengthBytes: 2 | 4, packets: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      packets.flatMap((packet) => {
        const header = Buffer.alloc(lengthBytes);
        header.writeUIntBE(packet.length, 0, lengthBytes);
        return [header, packet];
      }),
    ),
  );
}

function drain(reader: PacketReader): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let packet = reader.next(); packet !== undefined; packet = reader.next()) packets.push(packet);
  return packets;
}

describe("packets", () => {
  test("come out as they went in, however the stream is cut", () => {
    const packet = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ minLength: 4_000, maxLength: 6_000 }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(2 as const, 4 as const),
        fc.array(packet),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1_000, max: 2_000 })), {
          minLength: 1,
        }),
        (lengthBytes, packets, cuts) => {
          const bytes = framed(lengthBytes, packets);
          const reader = new PacketReader(lengthBytes, 10_000);
          const out: Uint8Array[] = [];
          for (let at = 0, index = 0; at < bytes.length; index++) {
            const length = cuts[index % cuts.length] as number;
            reader.feed(bytes.subarray(at, at + length));
            out.push(...drain(reader));
            at += length;
          }
          expect(out).toEqual(packets);
          expect(reader.bufferedBytes).toBe(0);
        },
      ),
    );
  });

  test("bytes that come one at a time are put together: each by itself would cost hundreds", () => {
    const reader = new PacketReader(4, 100_000);
    const packet = Uint8Array.from({ length: 50_000 }, (_, index) => index);
    // What is put together is not what was fed.
    const fed = new Uint8Array(1);
    const first = framed(4, [packet]).subarray(0, 1_000);
    reader.feed(first);
    for (const byte of packet.subarray(996)) {
      expect(reader.next()).toBeUndefined();
      fed[0] = byte;
      reader.feed(fed);
    }
    expect(reader.next()).toEqual(packet);
  });

  test("lengths change from two bytes to four in the middle of a chunk", () => {
    const reader = new PacketReader(2, 10);
    reader.feed(
      new Uint8Array(
        Buffer.concat([framed(2, [Uint8Array.of(1)]), framed(4, [Uint8Array.of(2), new Uint8Array(0)])]),
      ),
    );
    expect(reader.next()).toEqual(Uint8Array.of(1));
    reader.expect(4, 100);
    expect(drain(reader)).toEqual([Uint8Array.of(2), new Uint8Array(0)]);
  });

  test("a length beyond the bound is refused before anything is taken for it", () => {
    const reader = new PacketReader(4, 1_000);
    reader.feed(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    expect(() => reader.next()).toThrow(
      expect.objectContaining({
        code: "LIMIT",
        message: expect.stringContaining("4294967295") as unknown,
      }) as Error,
    );
  });
});

describe("signs of life", () => {
  test("a tick each quarter in which nothing was written; silence ends it after one and a quarter", () => {
    const ticker = new Ticker(60_000, at(0));
    expect(ticker.deadline()).toBe(at(15_000));
    ticker.wrote(at(10_000));
    expect(ticker.expire(at(15_000))).toBeUndefined();
    expect(ticker.expire(at(25_000))).toBe("tick");
    expect(ticker.expire(at(40_000))).toBe("tick");
    expect(ticker.expire(at(55_000))).toBe("tick");
    expect(ticker.expire(at(70_000))).toBe("tick");
    expect(ticker.deadline()).toBe(at(75_000));
    expect(ticker.expire(at(75_000))).toBe("silent");
  });

  test("whatever is heard begins the time anew", () => {
    const ticker = new Ticker(60_000, at(0));
    ticker.heard(at(74_000));
    ticker.wrote(at(74_000));
    expect(ticker.expire(at(75_000))).toBeUndefined();
    expect(ticker.expire(at(89_000))).toBe("tick");
  });

  test("what is heard is answered when nothing was written for a second", () => {
    const ticker = new Ticker(60_000, at(0));
    expect(ticker.heard(at(999))).toBe(false);
    expect(ticker.heard(at(1_000))).toBe(true);
    ticker.wrote(at(1_000));
    expect(ticker.heard(at(1_500))).toBe(false);
  });

  test("while we do not read, we tick, and hold no silence against the peer", () => {
    const ticker = new Ticker(60_000, at(0));
    ticker.pause();
    for (let time = 15_000; time <= 150_000; time += 15_000) expect(ticker.expire(at(time))).toBe("tick");
    ticker.resume(at(150_000));
    for (let time = 165_000; time < 225_000; time += 15_000) expect(ticker.expire(at(time))).toBe("tick");
    expect(ticker.expire(at(225_000))).toBe("silent");
  });

  test("a process that stood still learns nothing about the peer", () => {
    const ticker = new Ticker(60_000, at(0));
    expect(ticker.expire(at(200_000))).toBe("tick");
    expect(ticker.deadline()).toBe(at(215_000));
  });
});
