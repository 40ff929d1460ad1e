import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import { Writer } from "../../src/base/writer.ts";
import { atom, decode, encode, Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import { decodeSignal, encodeSignal, type Signal, signalFrame } from "../../src/process/index.ts";

const from = new Pid("a@host:1", 7, 1, 3);
const to = new Pid("b@host:2", 9, 0, 4);
const ref = new Reference("a@host:1", 3, [1, 2, 3]);
const message = tuple(atom("hello"), "text", Uint8Array.of(1, 2), [1.5, { key: null }], undefined);

const signals: readonly (readonly [number, Signal])[] = [
  [0x03, { type: "send", from, to, message }],
  [0x04, { type: "regSend", from, name: "logger", message }],
  [0x05, { type: "exit", from, to, reason: message }],
  [0x05, { type: "linkExit", from, to, reason: message }],
  [0x05, { type: "down", from, to, ref, reason: message }],
  [0x05, { type: "down", from: "logger", to, ref, reason: atom("noproc") }],
  [0x06, { type: "link", from, to }],
  [0x07, { type: "unlink", id: 2 ** 40, from, to }],
  [0x07, { type: "unlinkAck", id: 1, from, to }],
  [0x08, { type: "monitor", from, to, ref }],
  [0x08, { type: "monitor", from, to: "logger", ref }],
  [0x09, { type: "demonitor", from, to, ref }],
  [0x0a, { type: "groupLeader", from, to, leader: from }],
  [0x0b, { type: "rpcCall", id: 5, leader: from, module: "m", function: "f", args: [1, "x", [104, 105]] }],
  [0x0b, { type: "rpcReply", id: 5, status: "ok", value: undefined }],
  [0x0b, { type: "rpcReply", id: 5, status: "error", value: message }],
  [0x0b, { type: "rpcCancel", id: 5 }],
  [
    0x0c,
    {
      type: "spawnRequest",
      ref,
      from,
      leader: to,
      module: "m",
      function: "f",
      args: [],
      link: true,
      monitor: false,
    },
  ],
  [0x0d, { type: "spawnReply", ref, to, link: false, monitor: true, result: from }],
  [0x0d, { type: "spawnReply", ref, to, link: false, monitor: false, result: "undef" }],
];

function payloadOf(signal: Signal): Uint8Array {
  const writer = new Writer();
  encodeSignal(signal, writer);
  return writer.take();
}

describe("signal codec", () => {
  test.each(signals)("frame type %i: %o", (type, signal) => {
    expect(signalFrame(signal)).toBe(type);
    expect(decodeSignal(type, payloadOf(signal))).toEqual(signal);
  });

  test("the payload is one Erlang term", () => {
    expect(decode(payloadOf({ type: "send", from, to, message: 1 }))).toEqual(tuple(from, to, 1));
  });

  test("every frame type from 03 to 0D is used", () => {
    expect(new Set(signals.map(([type]) => type))).toEqual(new Set([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]));
  });

  test.each([100, 5_000, 100_000])(
    "a message of %d bytes keeps no chunk alive that is much larger",
    (length) => {
      const message = new Uint8Array(length).fill(7);
      const payload = payloadOf({ type: "send", from, to, message });
      const chunk = new Uint8Array(2_000_000);
      chunk.set(payload);
      const signal = decodeSignal(0x03, chunk.subarray(0, payload.length)) as { message: Uint8Array };
      chunk.fill(0);
      expect(signal.message).toEqual(message);
      expect(signal.message.buffer.byteLength).toBeLessThanOrEqual(Math.max(16_384, 16 * payload.length));
    },
  );

  test("what is no term is an ENCODE error, and the writer is as before", () => {
    const writer = new Writer();
    writer.u8(1);
    const bad = { type: "send", from, to, message: Symbol("s") as never } as const;
    expect(() => encodeSignal(bad, writer)).toThrow(expect.objectContaining({ code: "ENCODE" }));
    expect(writer.length).toBe(1);
  });
});

describe("hostile payloads", () => {
  test.each<[string, number, Term]>([
    ["no tuple", 0x03, [from, to, 1]],
    ["too short", 0x03, tuple(from, to)],
    ["too long", 0x03, tuple(from, to, 1, 2)],
    ["no sender", 0x03, tuple(1, to, 1)],
    ["a name that is no atom", 0x04, tuple(from, "logger", 1)],
    ["an unknown kind of exit", 0x05, tuple(atom("implode"), from, to, 1)],
    ["a DOWN without reference", 0x05, tuple(atom("down"), from, to, 1, 2)],
    ["an exit from a name", 0x05, tuple(atom("exit"), atom("x"), to, 1)],
    ["a negative unlink id", 0x07, tuple(atom("unlink"), -1, from, to)],
    ["a huge unlink id", 0x07, tuple(atom("unlink"), 2n ** 64n, from, to)],
    ["a fraction as call id", 0x0b, tuple(atom("cancel"), 1.5)],
    ["arguments that are no list", 0x0b, tuple(atom("call"), 1, from, atom("m"), atom("f"), atom("x"))],
    ["an unknown status", 0x0b, tuple(atom("reply"), 1, atom("perhaps"), 1)],
    ["unknown flags", 0x0c, tuple(ref, from, from, atom("m"), atom("f"), [], [atom("kill")])],
    ["too many flags", 0x0d, tuple(ref, to, [atom("link"), atom("link"), atom("link")], from)],
    ["an unknown refusal", 0x0d, tuple(ref, to, [], atom("whatever"))],
    ["a frame type of others", 0x02, tuple(from, to, 1)],
  ])("%s is DECODE", (_what, type, term) => {
    expect(() => decodeSignal(type, encode(term))).toThrow(expect.objectContaining({ code: "DECODE" }));
  });

  test("random bytes, and valid payloads with bytes changed, give a signal or DECODE", () => {
    const mutated = fc
      .tuple(fc.constantFrom(...signals), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }))
      .map(([[type, signal], changes]) => {
        const payload = payloadOf(signal).slice();
        for (const [index, value] of changes) if (index < payload.length) payload[index] = value;
        return [type, payload] as const;
      });
    const random = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.uint8Array({ maxLength: 64 }));
    fc.assert(
      fc.property(fc.oneof(mutated, random), ([type, payload]) => {
        try {
          const signal = decodeSignal(type, payload);
          expect(signalFrame(signal)).toBe(type);
        } catch (error) {
          expect(error).toBeInstanceOf(MeshError);
          expect(error).toMatchObject({ code: "DECODE" });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
