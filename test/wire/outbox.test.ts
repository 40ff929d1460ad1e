import { describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { at } from "../../src/base/time.ts";
import {
  decodeFrame,
  encodeFrame,
  Inbox,
  Outbox,
  payloadMaxBytes,
  ReassemblyBudget,
  SendBudget,
} from "../../src/wire/index.ts";
import { bytesOf, drain, takeAll } from "./support.ts";

const MiB = 0x10_0000;
const code = (expected: string): unknown => expect.objectContaining({ code: expected });

describe("short frames", () => {
  test("leave together, in one buffer, as encodeFrame would write them", () => {
    const outbox = new Outbox();
    outbox.push(1, 3, bytesOf(10));
    outbox.frame(2, 4, (writer) => writer.raw(bytesOf(20)));
    outbox.push(1, 5, bytesOf(0));
    const expected = concat([
      encodeFrame(3, bytesOf(10)),
      encodeFrame(4, bytesOf(20)),
      encodeFrame(5, bytesOf(0)),
    ]);
    expect(outbox.queuedBytes).toBe(expected.length);
    expect(outbox.take(1_000)).toEqual(expected);
    expect(outbox.take(1_000)).toBeUndefined();
    expect(outbox.queuedBytes).toBe(0);
  });

  test("leave whole, as many as fit, one at the least", () => {
    const outbox = new Outbox();
    for (let count = 0; count < 10; count++) outbox.push(1, 3, bytesOf(92));
    expect(outbox.take(0)?.length).toBe(100);
    expect(outbox.take(299)?.length).toBe(200);
    expect(outbox.take(300)?.length).toBe(300);
    expect(outbox.take(10_000)?.length).toBe(400);
  });

  test("what was taken does not change when more is written", () => {
    const outbox = new Outbox();
    outbox.push(1, 3, bytesOf(10));
    outbox.push(1, 3, bytesOf(10));
    const first = outbox.take(18) as Uint8Array;
    const copy = first.slice();
    outbox.push(1, 9, bytesOf(50, 1));
    takeAll(outbox);
    outbox.push(1, 9, bytesOf(50, 1));
    expect(first).toEqual(copy);
  });
});

describe("nothing is queued when", () => {
  test("the payload is above 16 MiB", () => {
    const outbox = new Outbox();
    outbox.push(1, 3, bytesOf(10));
    expect(() => outbox.push(1, 3, new Uint8Array(payloadMaxBytes + 1))).toThrow(
      /payload_too_large: 16777217/,
    );
    const large = new Uint8Array(payloadMaxBytes + 1);
    expect(() => outbox.frame(1, 3, (writer) => writer.raw(large))).toThrow(code("LIMIT"));
    outbox.push(1, 3, bytesOf(20));
    expect(outbox.queuedBytes).toBe(18 + 28);
    expect(concat(takeAll(outbox))).toEqual(
      concat([encodeFrame(3, bytesOf(10)), encodeFrame(3, bytesOf(20))]),
    );
  });

  test("the encoder throws, however much it had written", () => {
    const outbox = new Outbox();
    outbox.push(1, 3, bytesOf(10));
    for (const length of [0, 5, 100_000]) {
      const failing = (): void =>
        outbox.frame(1, 3, (writer) => {
          writer.raw(bytesOf(length));
          throw new Error("no such term");
        });
      expect(failing).toThrow("no such term");
    }
    outbox.frame(1, 3, (writer) => writer.raw(bytesOf(20)));
    expect(concat(takeAll(outbox))).toEqual(
      concat([encodeFrame(3, bytesOf(10)), encodeFrame(3, bytesOf(20))]),
    );
  });

  test("the type is not a byte", () => {
    const outbox = new Outbox();
    expect(() => outbox.push(1, 256, bytesOf(1))).toThrow(code("ENCODE"));
    expect(() => outbox.frame(1, -1, () => undefined)).toThrow(code("ENCODE"));
    expect(outbox.queuedBytes).toBe(0);
  });

  test("it is closed", () => {
    const outbox = new Outbox();
    outbox.push(1, 3, bytesOf(10));
    outbox.push(1, 3, bytesOf(100_000));
    outbox.close();
    outbox.close();
    expect(outbox.queuedBytes).toBe(0);
    expect(outbox.take(100)).toBeUndefined();
    expect(() => outbox.push(1, 3, bytesOf(1))).toThrow(code("CLOSED"));
    expect(() => outbox.frame(1, 3, () => undefined)).toThrow(code("CLOSED"));
  });
});

describe("§3: splitting", () => {
  test("a payload of fragmentBytes travels whole, one byte more in two", () => {
    const outbox = new Outbox({ fragmentBytes: 2_000 });
    outbox.push(1, 3, bytesOf(2_000));
    expect(takeAll(outbox)).toEqual([encodeFrame(3, bytesOf(2_000))]);
    outbox.push(1, 3, bytesOf(2_001));
    expect(outbox.queuedBytes).toBe(2_041);
    expect(takeAll(outbox, 1).map((frame) => frame.length)).toEqual([2_020, 21]);
  });

  test("fragments fill what is asked for when nobody else waits", () => {
    const outbox = new Outbox({ fragmentBytes: 1_024 });
    outbox.push(1, 3, bytesOf(10_240));
    expect(takeAll(outbox, 5_000).map((bytes) => bytes.length)).toEqual([5_000, 5_000, 300]);
  });

  test("what was queued before a long message leaves before it", () => {
    const outbox = new Outbox({ fragmentBytes: 1_024 });
    outbox.push(1, 3, bytesOf(10));
    outbox.push(2, 3, bytesOf(3_000));
    outbox.push(3, 3, bytesOf(20));
    expect(takeAll(outbox, 1).map((bytes) => bytes.length)).toEqual([18, 1_044, 28, 1_044, 972]);
  });

  test("frames behind a long one of their key keep their place, others pass", () => {
    const outbox = new Outbox({ fragmentBytes: 1_024 });
    outbox.push(1, 3, bytesOf(3_000));
    outbox.push(1, 4, bytesOf(10));
    outbox.push(2, 5, bytesOf(10));
    const inbox = new Inbox({ budget: new ReassemblyBudget() });
    for (const bytes of takeAll(outbox, 1)) inbox.feed(bytes);
    expect(drain(inbox).map((frame) => frame.type)).toEqual([5, 3, 4]);
  });
});

describe("§3: the budget of a link", () => {
  test("long messages wait for it, short ones do not, and the waiting are called in turn", () => {
    const budget = new SendBudget(16 * MiB);
    const called: number[] = [];
    const outboxes = [0, 1, 2].map(
      (index) => new Outbox({ budget, fragmentBytes: 8 * MiB, onReady: () => void called.push(index) }),
    );
    const [first, second, third] = outboxes as [Outbox, Outbox, Outbox];
    for (const outbox of outboxes) outbox.push(1, 3, new Uint8Array(12 * MiB));
    expect(first.take(1)?.length).toBe(8 * MiB + 20);
    expect(second.take(1)).toBeUndefined();
    expect(third.take(1)).toBeUndefined();
    expect(second.queuedBytes).toBe(12 * MiB + 40);
    second.push(2, 3, bytesOf(10));
    expect(second.take(1)?.length).toBe(18);
    expect(called).toEqual([]);
    expect(first.take(1)?.length).toBe(4 * MiB + 20);
    expect(called).toEqual([1]);
    // The line is kept: who comes later does not pass.
    expect(third.take(1)).toBeUndefined();
    expect(takeAll(second, 1)).toHaveLength(2);
    expect(called).toContain(2);
    expect(takeAll(third, 1)).toHaveLength(2);
    expect(budget.usedBytes).toBe(0);
  });

  test("when there is room for several, all are called", () => {
    const budget = new SendBudget(16 * MiB);
    const called: number[] = [];
    const outboxes = [0, 1, 2].map((index) => new Outbox({ budget, onReady: () => void called.push(index) }));
    const [first, second] = outboxes as [Outbox, Outbox];
    first.push(1, 3, new Uint8Array(14 * MiB));
    first.take(1);
    for (const outbox of outboxes.slice(1)) {
      outbox.push(1, 3, new Uint8Array(4 * MiB));
      expect(outbox.take(1)).toBeUndefined();
    }
    takeAll(first);
    expect(called).toEqual([1]);
    second.take(1);
    expect(called).toEqual([1, 2]);
  });

  test("a lost stream gives its part back and leaves the line", () => {
    const budget = new SendBudget(16 * MiB);
    const called: number[] = [];
    const outboxes = [0, 1, 2].map((index) => new Outbox({ budget, onReady: () => void called.push(index) }));
    const [first, second, third] = outboxes as [Outbox, Outbox, Outbox];
    for (const outbox of outboxes) {
      outbox.push(1, 3, new Uint8Array(12 * MiB));
      outbox.take(1);
    }
    second.close();
    first.close();
    expect(called).toContain(2);
    expect(third.take(1)).toBeDefined();
    third.close();
    expect(budget.usedBytes).toBe(0);
  });

  test("an honest sender stays within the receiver's budget", () => {
    const sending = new SendBudget();
    const receiving = new ReassemblyBudget(32 * MiB);
    const lanes = Array.from({ length: 10 }, () => ({
      outbox: new Outbox({ budget: sending }),
      inbox: new Inbox({ budget: receiving }),
      received: 0,
    }));
    for (const { outbox } of lanes)
      for (let key = 0; key < 2; key++) outbox.push(key, 3, new Uint8Array(5 * MiB));
    for (let progress = true; progress; ) {
      progress = false;
      for (const lane of lanes) {
        const bytes = lane.outbox.take(100_000);
        if (bytes === undefined) continue;
        progress = true;
        lane.inbox.feed(bytes);
        while (lane.inbox.next(at(0)) !== undefined) lane.received += 1;
      }
    }
    expect(lanes.map((lane) => lane.received)).toEqual(lanes.map(() => 2));
  });

  test("limits that could never work are refused", () => {
    expect(() => new SendBudget(16 * MiB - 1)).toThrow(RangeError);
    expect(() => new ReassemblyBudget(32 * MiB - 1)).toThrow(RangeError);
  });
});

test.each([
  { fragmentBytes: 1_023 },
  { fragmentBytes: payloadMaxBytes + 1 },
  { compressAboveBytes: -1 },
  { compressAboveBytes: Number.NaN },
])("an option out of its range is refused: %o", (options) => {
  expect(() => new Outbox(options)).toThrow(RangeError);
});

test("a message of 100 bytes is one frame of 108", () => {
  const outbox = new Outbox();
  outbox.frame(1, 3, (writer) => writer.raw(bytesOf(100)));
  const decoded = decodeFrame(outbox.take(1_000) as Uint8Array);
  expect(decoded).toEqual({
    result: "frame",
    frame: { type: 3, flags: 0, payload: bytesOf(100) },
    rest: new Uint8Array(0),
  });
});
