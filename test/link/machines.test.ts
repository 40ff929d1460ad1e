import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { Schedule } from "../../src/base/schedule.ts";
import { at } from "../../src/base/time.ts";
import { atom, encode, tuple } from "../../src/etf/index.ts";
import {
  backoffMs,
  Heartbeat,
  type HeartbeatOutput,
  Lanes,
  Link,
  type LinkOutput,
  resolveLinkOptions,
  resolvePoolOptions,
  Tickets,
} from "../../src/link/index.ts";
import { encodeFrame, frameType, Inbox, ReassemblyBudget } from "../../src/wire/index.ts";

function drain<Output>(machine: { poll(): Output | undefined }): Output[] {
  const outputs: Output[] = [];
  for (let output = machine.poll(); output !== undefined; output = machine.poll()) outputs.push(output);
  return outputs;
}

describe("DESIGN §5: heartbeats", () => {
  const options = { heartbeatIntervalMs: 1_500, heartbeatMissesMax: 3 };
  const asked = { type: "send", payload: expect.any(Uint8Array) };

  test("a silent peer is lost after three questions, told once, well within 10 s", () => {
    const heartbeat = new Heartbeat(options, at(0));
    const outputs: HeartbeatOutput[] = [];
    let now = 0;
    while (heartbeat.deadline() !== undefined) {
      now = heartbeat.deadline() as number;
      heartbeat.handle({ type: "tick" }, at(now));
      outputs.push(...drain(heartbeat));
    }
    expect(outputs).toEqual([asked, asked, { type: "lost", forMs: 4_500 }]);
    expect(now).toBe(4_500);
  });

  test("anything that is heard is a sign of life", () => {
    const heartbeat = new Heartbeat(options, at(0));
    for (let now = 1_500; now <= 60_000; now += 1_500) {
      heartbeat.heard(at(now - 100));
      heartbeat.handle({ type: "tick" }, at(now));
    }
    expect(drain(heartbeat)).toEqual([]);
    expect(heartbeat.deadline()).toBe(61_400);
  });

  test("a question is answered, and the answer tells the round trip once", () => {
    const a = new Heartbeat(options, at(0));
    const b = new Heartbeat(options, at(0));
    a.handle({ type: "ask" }, at(10));
    const [question] = drain(a);
    if (question?.type !== "send") throw new Error("no question");
    b.handle({ type: "payload", payload: question.payload }, at(40));
    const [answer] = drain(b);
    if (answer?.type !== "send") throw new Error("no answer");
    a.handle({ type: "payload", payload: answer.payload }, at(90));
    a.handle({ type: "payload", payload: answer.payload }, at(95));
    expect(drain(a)).toEqual([{ type: "answered", rttMs: 80 }]);
    expect(a.rttMs).toBe(80);
  });

  test("when this process stood still, the silence proves nothing", () => {
    const heartbeat = new Heartbeat(options, at(0));
    heartbeat.handle({ type: "tick" }, at(1_500));
    heartbeat.handle({ type: "tick" }, at(30_000));
    expect(drain(heartbeat)).toEqual([asked, asked]);
    expect(heartbeat.deadline()).toBe(31_500);
  });

  test("a peer that others hold for dead has one interval, of our own time, for a sign of life", () => {
    const silent = new Heartbeat(options, at(0));
    silent.handle({ type: "doubt" }, at(1_000));
    silent.handle({ type: "doubt" }, at(2_000));
    silent.handle({ type: "tick" }, at(2_499));
    silent.handle({ type: "tick" }, at(2_500));
    expect(drain(silent)).toEqual([asked, { type: "lost", forMs: 2_500 }]);

    const stoodStill = new Heartbeat(options, at(0));
    stoodStill.handle({ type: "doubt" }, at(1_000));
    stoodStill.handle({ type: "tick" }, at(21_000));
    stoodStill.handle({ type: "tick" }, at(22_500));
    expect(drain(stoodStill)).toEqual([asked, asked, { type: "lost", forMs: 22_500 }]);

    const alive = new Heartbeat(options, at(0));
    alive.handle({ type: "doubt" }, at(1_000));
    alive.heard(at(1_100));
    for (const now of [2_500, 2_600, 4_100]) alive.handle({ type: "tick" }, at(now));
    expect(drain(alive)).toEqual([asked, asked, asked]);
  });

  test("pings are answered, payloads of any other kind ignored", () => {
    const ping = fc.nat().map((sequence) => encode(tuple(atom("ping"), sequence)));
    const other = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .constantFrom(tuple(atom("ping")), tuple("ping", 1), tuple(atom("ping"), 0.5), [atom("ping"), 1])
        .map((term) => encode(term)),
    );
    const answers = (payload: Uint8Array): HeartbeatOutput[] => {
      const heartbeat = new Heartbeat(options, at(0));
      heartbeat.handle({ type: "payload", payload }, at(1));
      return drain(heartbeat);
    };
    fc.assert(
      fc.property(ping, other, (good, bad) => {
        expect(answers(good)).toHaveLength(1);
        expect(answers(bad)).toEqual([]);
      }),
    );
  });
});

describe("lanes", () => {
  const bounds = { laneHighWaterBytes: 1_000, laneQueueBytesMax: 4_000, peerQueueBytesMax: 6_000 };
  const put = (lanes: Lanes, lane: number, bytes: number, fill = 0): boolean =>
    lanes.frame(lane, 0, frameType.send, (writer) => writer.raw(new Uint8Array(bytes).fill(fill)));

  test("false above the high-water mark, drained once below half of it", () => {
    const lanes = new Lanes(bounds);
    expect(put(lanes, 3, 900)).toBe(true);
    expect(put(lanes, 3, 100)).toBe(false);
    expect(lanes.nextDrained()).toBeUndefined();
    expect(lanes.nextDirty()).toBe(3);
    expect(lanes.take(3, 500)?.length).toBe(908);
    expect(lanes.nextDrained()).toBe(3);
    expect(lanes.nextDrained()).toBeUndefined();
    expect(lanes.queuedBytes).toBe(108);
  });

  test("busy lanes share the mark, down to 64 KiB each; whoever waits hears of it when the others are empty", () => {
    const mark = 1 << 20;
    const lanes = new Lanes({
      laneHighWaterBytes: mark,
      laneQueueBytesMax: 1 << 26,
      peerQueueBytesMax: 1 << 28,
    });
    for (let lane = 0; lane < 3; lane++) put(lanes, lane, 100);
    // A quarter of the mark is what four lanes may hold each.
    expect(put(lanes, 3, mark / 4 - 1_000)).toBe(true);
    expect(put(lanes, 3, 1_000)).toBe(false);
    expect(put(lanes, 0, mark / 4 - 1_200)).toBe(true);
    for (let lane = 4; lane < 128; lane++) put(lanes, lane, 100);
    expect(put(lanes, 5, 65_536 - 500)).toBe(true);
    expect(put(lanes, 5, 500)).toBe(false);
    for (let lane = 0; lane < 128; lane++) {
      if (lane !== 3) while (lanes.take(lane, mark) !== undefined);
    }
    expect(lanes.nextDrained()).toBe(5);
    // Alone it may hold the whole mark, of which it holds less than half.
    expect(put(lanes, 3, 100)).toBe(true);
    lanes.take(3, 100);
    expect(lanes.nextDrained()).toBe(3);
    expect(lanes.nextDrained()).toBeUndefined();
  });

  test("what the engine did not take still counts, and comes first", () => {
    const lanes = new Lanes(bounds);
    put(lanes, 0, 1_500, 1);
    put(lanes, 0, 10, 2);
    const taken = lanes.take(0, 100) as Uint8Array;
    lanes.putBack(0, taken.subarray(20));
    expect(lanes.nextDrained()).toBeUndefined();
    expect(lanes.queuedBytes).toBe(1_508 + 18 - 20);
    expect(lanes.take(0, 100)).toEqual(taken.subarray(20));
  });

  test("LIMIT at the bound of the lane and of the peer, with nothing queued", () => {
    const lanes = new Lanes(bounds);
    const limit = expect.objectContaining({ code: "LIMIT" }) as Error;
    put(lanes, 0, 4_000);
    expect(() => put(lanes, 0, 1)).toThrow(limit);
    put(lanes, 1, 2_000);
    expect(() => put(lanes, 2, 1)).toThrow(limit);
    expect(lanes.queuedBytes).toBe(6_016);
    expect(lanes.discard()).toEqual([0, 1]);
    expect(lanes.queuedBytes).toBe(0);
  });

  test("an encoder that throws queues nothing", () => {
    const lanes = new Lanes(bounds);
    const fail = (): void => {
      throw new Error("no representation");
    };
    expect(() => lanes.frame(0, 0, frameType.send, fail)).toThrow("no representation");
    expect(lanes.queuedBytes).toBe(0);
    expect(lanes.pending).toBe(false);
  });

  test("a lane that is stalled holds up no long message of another, and has its turn when it is not", () => {
    const wide = { laneHighWaterBytes: 1 << 20, laneQueueBytesMax: 64 << 20, peerQueueBytesMax: 256 << 20 };
    const lanes = new Lanes(wide);
    const mebibyte = 1 << 20;
    const takeAll = (lane: number): number => {
      let bytes = 0;
      for (let part = lanes.take(lane, mebibyte); part !== undefined; part = lanes.take(lane, mebibyte))
        bytes += part.length;
      return bytes;
    };
    // Two have begun all that the peer must put up with; the third waits in line.
    for (const lane of [0, 1]) {
      put(lanes, lane, 16 * mebibyte - 100);
      lanes.take(lane, mebibyte);
    }
    put(lanes, 2, mebibyte);
    expect(lanes.take(2, mebibyte)).toBeUndefined();
    // Then its stream stalls, with a short frame.
    lanes.frame(2, 1, frameType.send, (writer) => writer.raw(new Uint8Array(100)));
    const short = lanes.take(2, mebibyte) as Uint8Array;
    lanes.putBack(2, short.subarray(1));
    takeAll(0);
    takeAll(1);
    for (const lane of [0, 3]) {
      put(lanes, lane, 100_000);
      expect(takeAll(lane)).toBeGreaterThan(100_000);
    }
    expect(takeAll(2)).toBeGreaterThan(mebibyte);
    expect(lanes.queuedBytes).toBe(0);
  });

  test("however an engine takes the bytes, each lane arrives whole and in order", () => {
    const frames = fc.array(fc.record({ lane: fc.nat(3), bytes: fc.nat(40_000) }), { maxLength: 40 });
    fc.assert(
      fc.property(fc.integer(), frames, (seed, sent) => {
        const random = seededRandom(seed);
        const lanes = new Lanes(resolveLinkOptions());
        const inboxes = [0, 1, 2, 3].map(() => new Inbox({ budget: new ReassemblyBudget() }));
        const received: number[][] = [[], [], [], []];
        const flush = (): void => {
          for (let lane = lanes.nextDirty(); lane !== undefined; lane = lanes.nextDirty()) {
            const bytes = lanes.take(lane, 1 + random.integer(70_000));
            if (bytes === undefined) continue;
            const taken = random.integer(bytes.length + 1);
            inboxes[lane]?.feed(bytes.slice(0, taken));
            if (taken < bytes.length) lanes.putBack(lane, bytes.subarray(taken));
            const inbox = inboxes[lane] as Inbox;
            for (let frame = inbox.next(at(0)); frame !== undefined; frame = inbox.next(at(0))) {
              received[lane]?.push(frame.payload.length);
            }
            lanes.again(lane);
            if (random.integer(3) === 0) return;
          }
        };
        for (const { lane, bytes } of sent) {
          put(lanes, lane, bytes);
          if (random.integer(4) === 0) flush();
        }
        while (lanes.queuedBytes > 0) flush();
        for (const lane of [0, 1, 2, 3]) {
          expect(received[lane]).toEqual(sent.filter((each) => each.lane === lane).map(({ bytes }) => bytes));
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe("the link machine", () => {
  let queuedBytes = 0;
  const open = (): Link => new Link(resolveLinkOptions(), () => queuedBytes, at(0));
  const closings = (link: Link): string[] =>
    drain(link).flatMap((output: LinkOutput) => (output.type === "close" ? [output.ending.code] : []));

  test("heartbeats travel as datagrams, others are handed on, what is no frame is dropped", () => {
    const [a, b] = [open(), open()];
    a.handle({ type: "ask" }, at(0));
    const [question] = drain(a);
    if (question?.type !== "datagram") throw new Error("no datagram");
    b.handle({ type: "datagram", bytes: encodeFrame(frameType.send, new Uint8Array(5)) }, at(3));
    expect(drain(b)).toEqual([{ type: "received", frameType: frameType.send, payload: new Uint8Array(5) }]);
    b.handle({ type: "datagram", bytes: new Uint8Array([1, 2]) }, at(3));
    b.handle({ type: "datagram", bytes: question.bytes }, at(3));
    const [answer] = drain(b);
    if (answer?.type !== "datagram") throw new Error("no answer");
    a.handle({ type: "datagram", bytes: answer.bytes }, at(7));
    expect(drain(a)).toEqual([{ type: "answered", rttMs: 7 }]);
  });

  test("leaving: flush, finish, and close when the peer does not", () => {
    const link = open();
    queuedBytes = 9;
    link.handle({ type: "leave", reason: "bye" }, at(10));
    expect(drain(link)).toEqual([]);
    expect(link.open).toBe(false);
    queuedBytes = 0;
    link.handle({ type: "flushed" }, at(11));
    expect(drain(link)).toEqual([{ type: "finish", retire: undefined }]);
    link.handle({ type: "tick" }, at(2_009));
    expect(closings(link)).toEqual([]);
    link.handle({ type: "tick" }, at(2_010));
    expect(closings(link)).toEqual(["goodbye"]);
    expect(link.deadline()).toBeUndefined();
  });

  test("a leaving peer's streams are read to their end before the link is closed", () => {
    const link = open();
    const inbox = link.openInbox();
    link.handle({ type: "peerLeaves" }, at(1));
    expect(closings(link)).toEqual([]);
    link.closeInbox(inbox);
    expect(closings(link)).toEqual(["goodbye"]);
  });

  test("retiring: each side finishes, and who asked closes when both have read everything", () => {
    const [a, b] = [open(), open()];
    const [fromB, fromA] = [a.openInbox(), b.openInbox()];
    a.handle({ type: "retire" }, at(1));
    expect(drain(a)).toEqual([{ type: "finish", retire: { readAll: false } }]);
    b.handle({ type: "peerRetires", readAll: false }, at(2));
    b.handle({ type: "peerLeaves" }, at(2));
    // It has not read everything yet.
    expect(drain(b)).toEqual([{ type: "retiring" }]);
    b.closeInbox(fromA);
    expect(drain(b)).toEqual([{ type: "finish", retire: { readAll: true } }]);
    a.handle({ type: "peerRetires", readAll: true }, at(3));
    a.handle({ type: "peerLeaves" }, at(3));
    expect(drain(a)).toEqual([]);
    a.closeInbox(fromB);
    expect(closings(a)).toEqual(["retired"]);
  });

  test("retiring: an end of which nobody knows whether all was read is no clean one", () => {
    const [asked, alone] = [open(), open()];
    for (const link of [asked, alone]) link.handle({ type: "inSession" }, at(0));
    asked.handle({ type: "retire" }, at(1));
    asked.handle({ type: "peerRetires", readAll: false }, at(2));
    asked.handle({ type: "peerLeaves" }, at(2));
    expect(closings(asked)).toEqual([]);
    // Not before a peer that stands still would be given up.
    for (const now of [2_001, 5_000, 7_500]) {
      asked.heard(at(now));
      asked.handle({ type: "tick" }, at(now));
      expect(closings(asked)).toEqual([]);
    }
    asked.heard(at(7_501));
    asked.handle({ type: "tick" }, at(7_501));
    expect(closings(asked)).toEqual(["goodbye"]);
    alone.handle({ type: "retire" }, at(1));
    alone.handle({ type: "peerLeaves" }, at(2));
    expect(closings(alone)).toEqual(["goodbye"]);
  });

  test("a link that no session uses ends when the time for a handshake is over once more", () => {
    const [used, unused] = [open(), open()];
    used.handle({ type: "inSession" }, at(4_999));
    for (const link of [used, unused]) {
      link.heard(at(4_999));
      link.handle({ type: "tick" }, at(4_999));
    }
    expect([closings(used), closings(unused)]).toEqual([[], []]);
    for (const link of [used, unused]) link.handle({ type: "tick" }, at(5_000));
    expect([closings(used), closings(unused)]).toEqual([[], ["timeout"]]);
  });

  test("a message that is never completed ends the link", () => {
    const link = open();
    link.handle({ type: "inSession" }, at(0));
    const inbox = link.openInbox();
    inbox.feed(encodeFrame(frameType.send, new Uint8Array(100)).subarray(0, 50));
    expect(inbox.next(at(0))).toBeUndefined();
    for (let now = 0; now < 70_000 && link.deadline() !== undefined; now = link.deadline() as number) {
      link.heard(at(now));
      link.handle({ type: "tick" }, at(now));
    }
    expect(closings(link)).toEqual(["timeout"]);
  });
});

describe("small parts", () => {
  test.each([
    [0, 0, 0],
    [1, 0, 100],
    [2, 0, 200],
    [4, 0, 800],
    [4, 0.5, 600],
    [4, 0.999_999, 400.0004],
    [7, 0, 5_000],
    [1_000, 0, 5_000],
  ])("back-off after %i failures, random %d: %d ms", (failures, random, expected) => {
    expect(backoffMs(failures, 100, 5_000, random)).toBeCloseTo(expected, 3);
  });

  test("a schedule behaves as a sorted list does", () => {
    const step = fc.record({
      key: fc.nat(20),
      due: fc.option(fc.nat(100), { nil: undefined }),
      now: fc.nat(120),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const schedule = new Schedule<number>();
        let model: { key: number; due: number }[] = [];
        for (const { key, due, now } of steps) {
          if (model.find((each) => each.key === key)?.due !== due)
            model = model.filter((each) => each.key !== key);
          if (due !== undefined && !model.some((each) => each.key === key)) model.push({ key, due });
          schedule.set(key, due === undefined ? undefined : at(due));
          model.sort((a, b) => a.due - b.due);
          expect(schedule.deadline()).toBe(model[0]?.due);
          expect(schedule.size).toBe(model.length);
          const expected =
            now % 3 === 0 && model[0] !== undefined && model[0].due <= now ? model.shift()?.key : undefined;
          if (now % 3 === 0) expect(schedule.expire(at(now))).toBe(expected);
        }
      }),
    );
  });

  test("tickets: the newest first, each once, the oldest node forgotten", () => {
    const tickets = new Tickets<string>(2, 2);
    for (const ticket of ["a1", "a2", "a3"]) tickets.put("a", ticket);
    tickets.put("b", "b1");
    expect([tickets.take("a"), tickets.take("a"), tickets.take("a")]).toEqual(["a3", "a2", undefined]);
    tickets.put("c", "c1");
    tickets.put("d", "d1");
    expect([tickets.take("b"), tickets.take("c"), tickets.take("d")]).toEqual([undefined, "c1", "d1"]);
  });

  test.each([
    () => resolveLinkOptions({ heartbeatIntervalMs: 0 }),
    () => resolveLinkOptions({ lanesMax: 0 }),
    () => resolveLinkOptions({ lanesMax: 129 }),
    () => resolveLinkOptions({ laneQueueBytesMax: 10 }),
    () => resolvePoolOptions({ dialsMax: 0 }),
    () => resolvePoolOptions({ backoffMaxMs: 10 }),
  ])("a setting out of its range is named: %s", (resolve) => {
    expect(resolve).toThrow(RangeError);
  });
});
