import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BufferPool } from "../../src/base/buffer-pool.ts";
import { concat, equal } from "../../src/base/bytes.ts";
import { at } from "../../src/base/time.ts";
import { decodeFrame, Inbox, Outbox, ReassemblyBudget, type WireFrame } from "../../src/wire/index.ts";
import { bytesOf, cut, drain, takeFrames } from "./support.ts";

interface Sent {
  readonly key: number;
  readonly sequence: number;
  readonly length: number;
}

/** A payload that tells who sent it and which it is. */
function payloadOf({ key, sequence, length }: Sent): Uint8Array {
  const payload = bytesOf(Math.max(length, 5), key * 1_000 + sequence);
  payload[0] = key;
  new DataView(payload.buffer).setUint32(1, sequence);
  return payload;
}

const step = fc.oneof(
  fc.record({
    do: fc.constant("send" as const),
    key: fc.nat(11),
    length: fc.oneof(
      { weight: 4, arbitrary: fc.nat(300) },
      { weight: 2, arbitrary: fc.integer({ min: 900, max: 5_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 5_000, max: 90_000 }) },
    ),
    inPlace: fc.boolean(),
  }),
  fc.record({
    do: fc.constant("take" as const),
    maxBytes: fc.oneof(fc.nat(3_000), fc.integer({ min: 3_000, max: 100_000 })),
  }),
);

/** What is given back too early arrives as nonsense. */
class PoisoningPool extends BufferPool {
  override give(bytes: Uint8Array<ArrayBuffer>): void {
    new Uint8Array(bytes.buffer).fill(0xee);
    super.give(bytes);
  }
}

test("§3: whatever is sent, taken and cut how, each key's messages arrive whole and in their order", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 70_000 })), {
        minLength: 1,
        maxLength: 8,
      }),
      fc.constantFrom(0, 500, Number.POSITIVE_INFINITY),
      fc.boolean(),
      (steps, chunks, compressAboveBytes, reuse) => {
        const options = { fragmentBytes: 1_024, compressAboveBytes };
        const buffers = new PoisoningPool(1_000_000);
        const outbox = new Outbox(reuse ? { ...options, buffers } : options);
        const sent = new Map<number, Uint8Array[]>();
        const wire: Uint8Array[] = [];
        const take = (maxBytes: number): boolean => {
          const before = outbox.queuedBytes;
          const taken = takeFrames(outbox, maxBytes);
          if (taken === undefined) {
            expect(outbox.queuedBytes).toBe(0);
            return false;
          }
          expect(taken.length).toBeLessThanOrEqual(Math.max(maxBytes, 1_024 + 20));
          // Long pieces need fewer headers than were counted for them.
          expect(outbox.queuedBytes).toBeLessThanOrEqual(before - taken.length);
          // Not copied unless buffers are used again: one that is written to too early would show.
          wire.push(reuse ? taken.slice() : taken);
          return true;
        };
        let sequence = 0;
        for (const action of steps) {
          if (action.do === "take") {
            take(action.maxBytes);
            continue;
          }
          const payload = payloadOf({ key: action.key, sequence: sequence++, length: action.length });
          if (action.length % 3 === 0) payload.fill(7, 5);
          if (action.inPlace) outbox.frame(action.key, action.key + 1, (writer) => writer.raw(payload));
          else outbox.push(action.key, action.key + 1, payload);
          sent.set(action.key, [...(sent.get(action.key) ?? []), payload]);
        }
        while (take(10_000));

        const budget = new ReassemblyBudget();
        const inbox = new Inbox({ budget });
        const received = new Map<number, Uint8Array[]>();
        for (const piece of cut(concat(wire), chunks)) {
          inbox.feed(piece);
          for (const { type, payload } of drain(inbox)) {
            const key = payload[0] as number;
            expect(type).toBe(key + 1);
            received.set(key, [...(received.get(key) ?? []), payload]);
          }
          // Nothing of what was fed may be needed any more.
          piece.fill(0xee);
        }
        expect(inbox.deadline()).toBeUndefined();
        expect(budget.usedBytes).toBe(0);
        expect(new Set(received.keys())).toEqual(new Set(sent.keys()));
        for (const [key, payloads] of sent) {
          const got = received.get(key) ?? [];
          expect(got.length).toBe(payloads.length);
          expect(payloads.every((payload, index) => equal(payload, got[index] as Uint8Array))).toBe(true);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("§3: a short frame is never more than one fragment behind the long messages of others", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ do: fc.constant("long" as const), key: fc.nat(20) }),
          fc.record({ do: fc.constant("short" as const), key: fc.integer({ min: 100, max: 120 }) }),
          fc.record({ do: fc.constant("take" as const), maxBytes: fc.nat(10_000) }),
        ),
        { maxLength: 200 },
      ),
      (steps) => {
        const outbox = new Outbox({ fragmentBytes: 1_024 });
        const waiting: { fragmentsPassed: number }[] = [];
        const take = (maxBytes: number): boolean => {
          const taken = takeFrames(outbox, maxBytes);
          if (taken === undefined) return false;
          for (const frame of framesOf(taken)) {
            if (frame.payload.length === 20) {
              expect(waiting.shift()?.fragmentsPassed).toBeLessThanOrEqual(1);
            } else for (const short of waiting) short.fragmentsPassed += 1;
          }
          return true;
        };
        for (const action of steps) {
          if (action.do === "take") take(action.maxBytes);
          else if (action.do === "long") outbox.push(action.key, 3, bytesOf(6_000));
          else {
            outbox.push(action.key, 3, bytesOf(20));
            waiting.push({ fragmentsPassed: 0 });
          }
        }
        while (take(10_000));
        expect(waiting).toEqual([]);
      },
    ),
  );
});

test("§3: long messages get on however many short ones there are", () => {
  const outbox = new Outbox({ fragmentBytes: 1_024 });
  outbox.push(1, 3, bytesOf(10_240));
  let fragments = 0;
  for (let round = 0; round < 40; round++) {
    for (let count = 0; count < 5; count++) outbox.push(2, 3, bytesOf(100));
    for (let takes = 0; takes < 2; takes++) {
      for (const frame of framesOf(takeFrames(outbox, 540) ?? new Uint8Array(0)))
        fragments += frame.flags >> 1;
    }
  }
  expect(fragments).toBe(10);
});

test("§3: messages of several keys are interleaved, no more than eight at a time", () => {
  const outbox = new Outbox({ fragmentBytes: 1_024 });
  for (let key = 0; key < 20; key++) outbox.push(key, 3, bytesOf(5_000, key));
  const begun = new Set<number>();
  let most = 0;
  for (let taken = outbox.take(1); taken !== undefined; taken = outbox.take(1)) {
    for (const { payload } of framesOf(taken)) {
      const view = new DataView(payload.buffer, payload.byteOffset);
      begun.add(view.getUint32(0));
      most = Math.max(most, begun.size);
      if (view.getUint32(8) + payload.length - 12 === view.getUint32(4)) begun.delete(view.getUint32(0));
    }
  }
  expect(most).toBe(8);
});

function framesOf(bytes: Uint8Array): WireFrame[] {
  const frames: WireFrame[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const decoded = decodeFrame(rest);
    if (decoded.result !== "frame") throw new Error(`not whole frames: ${decoded.result}`);
    frames.push(decoded.frame);
    rest = decoded.rest;
  }
  return frames;
}

test("§2: a stream fed byte by byte costs time in proportion to its length", () => {
  // A decoder that starts over with each byte would need hours for this.
  const outbox = new Outbox({ fragmentBytes: 0x100_0000 });
  outbox.push(1, 3, bytesOf(2_000_000));
  const bytes = takeFrames(outbox, Number.POSITIVE_INFINITY) as Uint8Array;
  const inbox = new Inbox({ budget: new ReassemblyBudget() });
  let received = 0;
  for (let index = 0; index < bytes.length; index++) {
    inbox.feed(bytes.subarray(index, index + 1));
    received += inbox.next(at(0))?.payload.length ?? 0;
  }
  expect(received).toBe(2_000_000);
});

test("the buffers of sent frames are used again, the caller's own are not", () => {
  const buffers = new BufferPool(1_000_000);
  const outbox = new Outbox({ buffers });
  const idleAfter = (send: () => void): number => {
    send();
    while (outbox.take(50_000) !== undefined);
    return buffers.idleBytes;
  };
  const once = idleAfter(() => outbox.frame(1, 3, (writer) => writer.raw(new Uint8Array(200_000))));
  expect(once).toBeGreaterThan(200_000);
  const again = idleAfter(() => outbox.frame(1, 3, (writer) => writer.raw(new Uint8Array(200_000))));
  expect(again).toBe(once);
  expect(idleAfter(() => outbox.push(1, 3, new Uint8Array(200_000)))).toBe(once);
  expect(idleAfter(() => outbox.push(1, 3, new Uint8Array(100)))).toBe(once);
});

test("a frame that cannot be encoded leaves those before it whole", () => {
  const outbox = new Outbox({ buffers: new PoisoningPool(1_000_000) });
  outbox.push(1, 3, Uint8Array.of(1, 2, 3));
  const failing = (): void =>
    outbox.frame(1, 3, (writer) => {
      writer.raw(new Uint8Array(100_000));
      throw new Error("no term");
    });
  expect(failing).toThrow("no term");
  outbox.push(1, 3, Uint8Array.of(4));
  const inbox = new Inbox({ budget: new ReassemblyBudget() });
  for (let bytes = outbox.take(100); bytes !== undefined; bytes = outbox.take(100)) inbox.feed(bytes.slice());
  expect(drain(inbox).map(({ payload }) => [...payload])).toEqual([[1, 2, 3], [4]]);
});
