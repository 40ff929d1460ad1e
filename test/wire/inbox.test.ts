import { describe, expect, test } from "vitest";
import { concat, equal } from "../../src/base/bytes.ts";
import { at } from "../../src/base/time.ts";
import {
  deflatePayload,
  encodeFrame,
  type Frame,
  frameFlag,
  Inbox,
  type InboxOptions,
  Outbox,
  payloadMaxBytes,
  ReassemblyBudget,
} from "../../src/wire/index.ts";
import { bytesOf, drain, takeAll } from "./support.ts";

const MiB = 0x10_0000;

function fragment(
  message: number,
  total: number,
  offset: number,
  piece: Uint8Array,
  type = 3,
  flags = 0,
): Uint8Array {
  const header = new DataView(new ArrayBuffer(12));
  header.setUint32(0, message);
  header.setUint32(4, total);
  header.setUint32(8, offset);
  return encodeFrame(type, concat([new Uint8Array(header.buffer), piece]), flags | frameFlag.fragmented);
}

function inboxWith(options: Partial<InboxOptions> = {}): Inbox {
  return new Inbox({ budget: new ReassemblyBudget(), ...options });
}

const code = (expected: string, message = ""): unknown =>
  expect.objectContaining({ code: expected, message: expect.stringContaining(message) });

describe("§2: bad frames end the stream", () => {
  test.each([
    ["another version", Uint8Array.of(2), "VERSION_MISMATCH", "unsupported_version: 2"],
    ["16 MiB + 1", Uint8Array.of(1, 3, 0, 0, 1, 0, 0, 1), "DECODE", "invalid_packet"],
    ["a fragment without a piece", Uint8Array.of(1, 3, 0, 2, 0, 0, 0, 12), "DECODE", "invalid_packet"],
    ["a compressed nothing", Uint8Array.of(1, 3, 0, 1, 0, 0, 0, 0), "DECODE", "invalid_packet"],
    ["a fragment of nothing", fragment(1, 0, 0, Uint8Array.of(1)), "DECODE", "invalid_packet"],
    [
      "a message above 16 MiB",
      fragment(1, payloadMaxBytes + 1, 0, Uint8Array.of(1)),
      "DECODE",
      "invalid_packet",
    ],
    ["a piece beyond its message", fragment(1, 3, 0, bytesOf(4)), "DECODE", "invalid_packet"],
    ["a message that was not begun", fragment(1, 9, 3, bytesOf(4)), "DECODE", "not begun"],
    ["a gap", concat([fragment(1, 9, 0, bytesOf(2)), fragment(1, 9, 3, bytesOf(2))]), "DECODE", "continue"],
    [
      "a piece twice",
      concat([fragment(1, 9, 0, bytesOf(2)), fragment(1, 9, 0, bytesOf(2))]),
      "DECODE",
      "continue",
    ],
    [
      "another total",
      concat([fragment(1, 9, 0, bytesOf(2)), fragment(1, 8, 2, bytesOf(2))]),
      "DECODE",
      "continue",
    ],
    [
      "another type",
      concat([fragment(1, 9, 0, bytesOf(2)), fragment(1, 9, 2, bytesOf(2), 4)]),
      "DECODE",
      "continue",
    ],
    [
      "compressed midway",
      concat([fragment(1, 9, 0, bytesOf(2)), fragment(1, 9, 2, bytesOf(2), 3, 1)]),
      "DECODE",
      "continue",
    ],
  ])("%s", (_, bytes, expected, message) => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget });
    inbox.feed(encodeFrame(3, Uint8Array.of(5)));
    inbox.feed(bytes);
    // What came before it is delivered.
    expect(inbox.next(at(0))).toMatchObject({ type: 3, payload: Uint8Array.of(5) });
    expect(() => inbox.next(at(0))).toThrow(code(expected, message));
    // And nothing after it, whatever comes.
    inbox.feed(encodeFrame(3, Uint8Array.of(5)));
    expect(() => inbox.next(at(0))).toThrow(code(expected, message));
    expect(inbox.deadline()).toBeUndefined();
    expect(budget.usedBytes).toBe(0);
  });

  test("a shorter limit before the peer is known", () => {
    const limit = { payloadMaxBytes: 4_096 };
    const inbox = inboxWith(limit);
    inbox.feed(encodeFrame(1, new Uint8Array(4_096)));
    expect(drain(inbox)).toHaveLength(1);
    inbox.feed(encodeFrame(1, new Uint8Array(4_097)));
    expect(() => inbox.next(at(0))).toThrow(code("LIMIT", "payload_too_large: 4097"));
    const other = inboxWith(limit);
    other.feed(fragment(1, 4_097, 0, bytesOf(10)));
    expect(() => other.next(at(0))).toThrow(code("LIMIT", "payload_too_large: 4097"));
  });
});

test("§2: types are not judged, unknown flags are ignored", () => {
  const inbox = inboxWith();
  for (let type = 0; type < 256; type++) inbox.feed(encodeFrame(type, Uint8Array.of(type), 0xfffc));
  expect(drain(inbox)).toEqual(
    Array.from({ length: 256 }, (_, type) => ({ type, payload: Uint8Array.of(type), owned: true })),
  );
});

test("§2: a payload of 16 MiB passes, whole and in fragments", () => {
  const payload = bytesOf(payloadMaxBytes);
  for (const fragmentBytes of [payloadMaxBytes, 16_384]) {
    const outbox = new Outbox({ fragmentBytes });
    outbox.push(1, 3, payload);
    const inbox = inboxWith();
    for (const bytes of takeAll(outbox)) inbox.feed(bytes);
    const frame = inbox.next(at(0));
    expect(Buffer.compare(frame?.payload as Uint8Array, payload)).toBe(0);
  }
});

test("a frame that lies whole in what was fed is a view of it", () => {
  const inbox = inboxWith();
  const fed = encodeFrame(3, bytesOf(50));
  inbox.feed(fed);
  expect(inbox.next(at(0))?.payload.buffer).toBe(fed.buffer);
});

test("§1: a stream that ends within a message breaks the protocol", () => {
  const frame = encodeFrame(3, bytesOf(50));
  for (const bytes of [frame.subarray(0, 5), frame.subarray(0, 20), fragment(1, 60, 0, bytesOf(50))]) {
    const inbox = inboxWith();
    inbox.feed(frame);
    inbox.feed(bytes);
    expect(drain(inbox)).toHaveLength(1);
    expect(() => inbox.end()).toThrow(code("DECODE", "ended within a message"));
  }
  const inbox = inboxWith();
  inbox.end();
  inbox.feed(frame);
  expect(drain(inbox)).toHaveLength(1);
  inbox.end();
});

test("what was fed and not read is counted", () => {
  const inbox = inboxWith();
  const frame = encodeFrame(3, bytesOf(50));
  for (let count = 0; count < 3; count++) inbox.feed(concat([frame, frame]));
  expect(inbox.bufferedBytes).toBe(6 * 58);
  inbox.next(at(0));
  expect(inbox.bufferedBytes).toBe(5 * 58);
  drain(inbox);
  expect(inbox.bufferedBytes).toBe(0);
});

describe("§3: memory for incomplete messages", () => {
  test("announcing much allocates little", () => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget });
    for (let message = 0; message < 8; message++) {
      inbox.feed(fragment(message, payloadMaxBytes, 0, Uint8Array.of(1)));
      expect(inbox.next(at(0))).toBeUndefined();
      expect(budget.usedBytes).toBe((message + 1) * 2 * MiB);
    }
    expect(inbox.incompleteCount).toBe(8);
  });

  test("what is held is at most four times what came", () => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget });
    const piece = bytesOf(20_000);
    for (let offset = 0; offset < 15 * MiB; offset += piece.length) {
      inbox.feed(fragment(1, payloadMaxBytes, offset, piece));
      inbox.next(at(0));
      expect(budget.usedBytes).toBeLessThanOrEqual(Math.max(2 * MiB, 4 * (offset + piece.length)));
    }
  });

  test("a frame in one piece is held to the same", () => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget });
    inbox.feed(encodeFrame(3, new Uint8Array(payloadMaxBytes)).subarray(0, 100));
    expect(inbox.next(at(0))).toBeUndefined();
    expect(budget.usedBytes).toBe(2 * MiB);
  });

  test("bytes put where they belong make the same message, within the same memory", () => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget });
    const payload = bytesOf(3 * MiB);
    const bytes = encodeFrame(3, payload);
    expect(inbox.room()).toBeUndefined();
    inbox.feed(bytes.slice(0, 100));
    expect(inbox.next(at(0))).toBeUndefined();
    let frame: Frame | undefined;
    for (let offset = 100; frame === undefined; ) {
      const room = inbox.room() as Uint8Array;
      const piece = bytes.subarray(offset, offset + Math.min(room.length, 400_000));
      room.set(piece);
      offset += piece.length;
      frame = inbox.filled(piece.length, at(0));
      expect(budget.usedBytes).toBeLessThanOrEqual(Math.max(2 * MiB, 4 * offset));
      // The last few are cheaper to feed.
      if (bytes.length - offset < 1_024 && frame === undefined) {
        expect(inbox.room()).toBeUndefined();
        inbox.feed(bytes.slice(offset));
        frame = inbox.next(at(0));
      }
    }
    expect(frame.type).toBe(3);
    expect(equal(frame.payload, payload)).toBe(true);
    expect(budget.usedBytes).toBe(0);
  });

  test("a ninth message at a time is one too many", () => {
    const inbox = inboxWith();
    for (let message = 0; message < 9; message++) inbox.feed(fragment(message, 10, 0, Uint8Array.of(1)));
    expect(() => inbox.next(at(0))).toThrow(code("LIMIT", "more than 8 incomplete messages"));
  });

  test("the inboxes of a peer share one budget, and a lost stream gives its part back", () => {
    const budget = new ReassemblyBudget(32 * MiB);
    const inboxes = Array.from({ length: 3 }, () => new Inbox({ budget }));
    const [first, second, third] = inboxes as [Inbox, Inbox, Inbox];
    for (const inbox of [first, second]) {
      inbox.feed(fragment(1, payloadMaxBytes, 0, new Uint8Array(payloadMaxBytes - 12)));
      expect(inbox.next(at(0))).toBeUndefined();
    }
    expect(budget.usedBytes).toBe(32 * MiB - 24);
    third.feed(fragment(1, 25, 0, Uint8Array.of(1)));
    expect(() => third.next(at(0))).toThrow(code("LIMIT", "incomplete messages of one peer"));
    // The others are not disturbed.
    second.feed(fragment(1, payloadMaxBytes, payloadMaxBytes - 12, new Uint8Array(12)));
    expect(second.next(at(0))?.payload.length).toBe(payloadMaxBytes);
    expect(budget.usedBytes).toBe(16 * MiB - 12);
    first.close();
    first.close();
    expect(budget.usedBytes).toBe(0);
    expect(() => first.next(at(0))).toThrow(code("CLOSED"));
  });
});

describe("§3: time-out of incomplete messages", () => {
  const options = { incompleteTimeoutMs: 1_000 };

  test("counts from the last byte of the one that waited longest", () => {
    const inbox = inboxWith(options);
    expect(inbox.deadline()).toBeUndefined();
    inbox.feed(fragment(1, 10, 0, bytesOf(2)));
    inbox.next(at(0));
    inbox.feed(fragment(2, 10, 0, bytesOf(2)));
    inbox.next(at(300));
    expect(inbox.deadline()).toBe(1_000);
    inbox.feed(fragment(1, 10, 2, bytesOf(2)));
    inbox.next(at(900));
    expect(inbox.deadline()).toBe(1_300);
    inbox.expire(at(1_299));
    expect(() => inbox.expire(at(1_300))).toThrow(code("TIMEOUT", "1000 ms"));
    expect(() => inbox.next(at(1_300))).toThrow(code("TIMEOUT"));
  });

  test("gives the memory back", () => {
    const budget = new ReassemblyBudget();
    const inbox = new Inbox({ budget, ...options });
    inbox.feed(fragment(1, 10, 0, bytesOf(2)));
    inbox.feed(encodeFrame(3, bytesOf(100)).subarray(0, 50));
    inbox.next(at(0));
    expect(budget.usedBytes).toBe(110);
    expect(() => inbox.expire(at(1_000))).toThrow(code("TIMEOUT"));
    expect(budget.usedBytes).toBe(0);
  });

  test("half a frame is an incomplete message too; a whole one ends the wait", () => {
    const inbox = inboxWith(options);
    const frame = encodeFrame(3, bytesOf(100));
    inbox.feed(frame.subarray(0, 50));
    inbox.next(at(0));
    expect(inbox.deadline()).toBe(1_000);
    inbox.feed(frame.subarray(50));
    expect(inbox.next(at(500))?.payload).toEqual(bytesOf(100));
    expect(inbox.deadline()).toBeUndefined();
    inbox.expire(at(9_000));
  });

  test("what we do not read is not held against the peer", () => {
    const inbox = inboxWith(options);
    inbox.feed(fragment(1, 10, 0, bytesOf(2)));
    inbox.next(at(0));
    inbox.pause();
    expect(inbox.deadline()).toBeUndefined();
    inbox.expire(at(5_000));
    inbox.resume(at(5_000));
    expect(inbox.deadline()).toBe(6_000);
    expect(() => inbox.expire(at(6_000))).toThrow(code("TIMEOUT"));
  });
});

test.each([
  { incompleteMax: 7 },
  { incompleteTimeoutMs: 0 },
  { incompleteTimeoutMs: Number.NaN },
  { payloadMaxBytes: 0 },
  { payloadMaxBytes: payloadMaxBytes + 1 },
])("an option out of its range is refused: %o", (options) => {
  expect(() => inboxWith(options)).toThrow(RangeError);
});

test("owned says whose buffer a payload is in: ours when it was put together or inflated", () => {
  const inbox = inboxWith();
  const fed = encodeFrame(3, bytesOf(50));
  inbox.feed(fed);
  const inPlace = inbox.next(at(0));
  expect(inPlace?.owned).toBe(false);
  expect(inPlace?.payload.buffer).toBe(fed.buffer);
  inbox.feed(fed.slice(0, 30));
  expect(inbox.next(at(0))).toBeUndefined();
  inbox.feed(fed.slice(30));
  const pieced = inbox.next(at(0));
  expect(pieced?.owned).toBe(true);
  expect(pieced?.payload.buffer.byteLength).toBe(50);
  inbox.feed(encodeFrame(3, deflatePayload(new Uint8Array(500)) as Uint8Array, frameFlag.compressed));
  expect(inbox.next(at(0))?.owned).toBe(true);
});
