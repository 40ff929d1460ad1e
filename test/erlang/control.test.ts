import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalNodeName } from "../../src/base/node-name.ts";
import { Writer } from "../../src/base/writer.ts";
import {
  CarrierNames,
  type ControlContext,
  decodeControl,
  ErlangCalls,
  encodeControl,
  type NodeNames,
  stockNames,
} from "../../src/erlang/index.ts";
import { atom, encode, equals, ImproperList, Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import type { Signal } from "../../src/process/signals.ts";
import { anySignal } from "./support/signals.ts";

const asTheyAre: NodeNames = {
  own: "ts@localhost",
  toPeer: String,
  fromPeer: String,
  heard: String,
  introduced: () => undefined,
};
const context: ControlContext = { node: "erl@localhost", creation: 7, names: asTheyAre };
const { packets: vectors } = JSON.parse(readFileSync("test/erlang/vectors.json", "utf8")) as {
  packets: { type: string; hex: string }[];
};
const pid = new Pid("erl@localhost", 1, 2, 7);
const other = new Pid("ts@localhost", 3, 0, 5);
const ref = new Reference("ts@localhost", 5, [1, 2, 3]);

function packetOf(signal: Signal, names = asTheyAre): Uint8Array {
  const writer = new Writer();
  encodeControl(signal as Parameters<typeof encodeControl>[0], names, writer);
  return writer.take();
}

/** A packet of these terms, whatever they are. */
function packet(...terms: readonly Term[]): Uint8Array {
  return new Uint8Array(Buffer.concat([Uint8Array.of(112), ...terms.map((term) => encode(term))]));
}

describe("control messages", () => {
  test("what was encoded is decoded again", () => {
    fc.assert(
      fc.property(anySignal, (signal) => {
        const decoded = decodeControl(packetOf(signal), context) as unknown as Record<string, Term>;
        const given = signal as unknown as Record<string, Term>;
        expect(Object.keys(decoded).sort()).toEqual(Object.keys(given).sort());
        for (const [key, value] of Object.entries(given)) {
          // Bytes that are valid text come as text: the two are one term.
          if (!equals(decoded[key], value)) throw new Error(`${key} is another`);
        }
      }),
    );
  });

  test.each(vectors.map(({ type, hex }, index) => [`${index + 1}. ${type}`, type, hex] as const))(
    "of OTP 25: %s",
    (_title, type, hex) => {
      const bytes = new Uint8Array(Buffer.from(hex, "hex"));
      const signal = decodeControl(bytes, context);
      expect(signal?.type).toBe(type);
      // And ours is read the same.
      expect(decodeControl(packetOf(signal as Signal), context)).toEqual(signal);
    },
  );

  test.each([
    ["SEND", packet(tuple(2, atom(""), other), 1), { type: "send", to: other, message: 1 }],
    ["SEND_TT", packet(tuple(12, atom(""), other, "token"), 1), { type: "send", to: other, message: 1 }],
    ["EXIT", packet(tuple(3, pid, other, 1)), { type: "linkExit", from: pid, to: other, reason: 1 }],
    ["EXIT_TT", packet(tuple(13, pid, other, "token", 1)), { type: "linkExit", reason: 1 }],
    ["EXIT2", packet(tuple(8, pid, other, 1)), { type: "exit", reason: 1 }],
    ["EXIT2_TT", packet(tuple(18, pid, other, "token", 1)), { type: "exit", reason: 1 }],
    ["REG_SEND_TT", packet(tuple(16, pid, atom(""), atom("x"), []), 1), { type: "regSend", name: "x" }],
    ["SEND_SENDER_TT", packet(tuple(23, pid, other, []), 1), { type: "send", from: pid }],
    ["PAYLOAD_EXIT_TT", packet(tuple(25, pid, other, []), 1), { type: "linkExit", reason: 1 }],
    ["PAYLOAD_EXIT2_TT", packet(tuple(27, pid, other, []), 1), { type: "exit", reason: 1 }],
    ["MONITOR_P_EXIT", packet(tuple(21, pid, other, ref, 1)), { type: "down", reason: 1 }],
    ["GROUP_LEADER", packet(tuple(7, pid, other)), { type: "groupLeader", leader: pid, to: other }],
    [
      "SPAWN_REQUEST_TT",
      packet(
        tuple(30, ref, pid, pid, tuple(atom("m"), atom("f"), 1), [tuple(atom("priority"), atom("high"))], []),
        [1],
      ),
      { type: "spawnRequest", args: [1], link: false, monitor: false },
    ],
    [
      "SPAWN_REPLY_TT",
      packet(tuple(32, ref, other, 3, pid, [])),
      { type: "spawnReply", link: true, monitor: true },
    ],
    [
      "SPAWN_REPLY, refused",
      packet(tuple(31, ref, other, 0, atom("notsup"))),
      { type: "spawnReply", result: "limit" },
    ],
    [
      "a name that is a JavaScript value",
      packet(tuple(6, pid, atom(""), undefined), 1),
      { type: "regSend", name: "undefined" },
    ],
  ])("%s", (_name, bytes, signal) => {
    expect(decodeControl(bytes, context)).toMatchObject(signal);
  });

  test("a message to an alias, of which there are none here, is dropped", () => {
    expect(decodeControl(packet(tuple(33, pid, ref), 1), context)).toBeUndefined();
    expect(decodeControl(packet(tuple(34, pid, ref, []), 1), context)).toBeUndefined();
  });

  test.each([
    ["nothing", new Uint8Array(0), "DECODE"],
    ["another type of packet", Uint8Array.of(131, 68), "PROTOCOL"],
    ["no term", Uint8Array.of(112, 1), "DECODE"],
    ["no tuple", packet(1), "PROTOCOL"],
    ["an operation that nobody knows", packet(tuple(99, pid, other)), "PROTOCOL"],
    ["the old UNLINK", packet(tuple(4, pid, other)), "PROTOCOL"],
    ["too few elements", packet(tuple(1, pid)), "PROTOCOL"],
    ["too many", packet(tuple(1, pid, other, 1)), "PROTOCOL"],
    ["no pids", packet(tuple(1, 1, 2)), "PROTOCOL"],
    ["no message", packet(tuple(22, pid, other)), "DECODE"],
    ["a message too many", packet(tuple(1, pid, other), 1), "DECODE"],
    ["an unlink number 0", packet(tuple(35, 0, pid, other)), "PROTOCOL"],
    [
      "an arity that lies",
      packet(tuple(29, ref, pid, pid, tuple(atom("m"), atom("f"), 2), []), [1]),
      "PROTOCOL",
    ],
    [
      "arguments that are no list",
      packet(tuple(29, ref, pid, pid, tuple(atom("m"), atom("f"), 2), []), 1),
      "PROTOCOL",
    ],
  ])("refused: %s", (_name, bytes, code) => {
    expect(() => decodeControl(bytes, context)).toThrow(expect.objectContaining({ code }) as Error);
  });

  test("an answer to a call with an alias goes to the alias, as gen:reply/2 sends it", () => {
    const alias = new Reference("erl@localhost", 7, [9, 8, 7]);
    const tag = new ImproperList([atom("alias")], alias);
    const message = tuple(tag, atom("reply"));
    expect(packetOf({ type: "send", from: other, to: pid, message })).toEqual(
      packet(tuple(33, other, alias), message),
    );
    const nested = tuple(new ImproperList([tag], 1), atom("reply"));
    expect(packetOf({ type: "send", from: other, to: pid, message: nested })).toEqual(
      packet(tuple(33, other, alias), nested),
    );
    // Not when the alias is of another node.
    const third = new Pid("third@localhost", 1, 0, 1);
    expect(packetOf({ type: "send", from: other, to: third, message })).toEqual(
      packet(tuple(22, other, third), message),
    );
  });
});

describe("names", () => {
  test("stock nodes know this node without its port, wherever its pids are", () => {
    const names = stockNames("ts@localhost:4433");
    const ours = new Pid("ts@localhost:4433", 1, 0, 1);
    const there = new Pid("ts@localhost", 1, 0, 1);
    const message = [tuple(ours, pid), new Map<Term, Term>([[ours, 1]])];
    const bytes = packetOf({ type: "send", from: ours, to: pid, message }, names);
    expect(decodeControl(bytes, context)).toEqual({
      type: "send",
      from: there,
      to: pid,
      message: [tuple(there, pid), new Map<Term, Term>([[there, 1]])],
    });
    expect(decodeControl(bytes, { ...context, names })).toMatchObject({ from: ours, message });
  });

  test("with the carrier a name without a port means 4433, and stays as it is over there", () => {
    const names = new CarrierNames("ts@localhost:4434", canonicalNodeName);
    expect(names.toPeer("a@localhost:4433")).toBe("a@localhost:4433");
    expect(names.heard("a@localhost")).toBe("a@localhost:4433");
    expect(names.toPeer("a@localhost:4433")).toBe("a@localhost");
    expect(names.heard("b@localhost:4500")).toBe("b@localhost:4500");
    expect(names.heard("nonode@nohost$")).toBe("nonode@nohost$");
    for (let index = 0; index < 10_000; index++) names.heard(`n${index}@localhost`);
    expect(names.heard("a@localhost")).toBe("a@localhost:4433");
    expect(names.spellings("c@localhost:4433")).toEqual(["c@localhost:4433", "c@localhost"]);
    expect(names.spellings("a@localhost:4433")).toEqual(["a@localhost", "a@localhost:4433"]);
    expect(names.spellings("c@localhost:4500")).toEqual(["c@localhost:4500"]);
  });

  test("how a node spells itself goes before what others say, and what is only asked is not remembered", () => {
    const names = new CarrierNames("ts@localhost:4434", canonicalNodeName);
    expect(names.fromPeer("a@localhost")).toBe("a@localhost:4433");
    expect(names.toPeer("a@localhost:4433")).toBe("a@localhost:4433");
    names.introduced("a@localhost:4433");
    names.heard("a@localhost");
    expect(names.toPeer("a@localhost:4433")).toBe("a@localhost:4433");
    names.introduced("a@localhost");
    expect(names.toPeer("a@localhost:4433")).toBe("a@localhost");
  });
});

describe("calls", () => {
  function call(): { calls: ErlangCalls; ref: Reference; tag: Reference } {
    let made = 0;
    const makeReference = (): Reference => new Reference("ts@localhost", 5, [++made, 0, 0]);
    const calls = new ErlangCalls({ makeReference, caller: other });
    const writer = new Writer();
    calls.encode(
      { type: "rpcCall", id: 1, leader: other, module: "m", function: "f", args: [1] },
      asTheyAre,
      writer,
    );
    const request = decodeControl(writer.take(), context);
    if (request?.type !== "spawnRequest") throw new Error("it is no spawn request");
    expect(request).toMatchObject({ module: "erpc", function: "execute_call", monitor: true, link: false });
    expect(request.args.slice(1)).toEqual([atom("m"), atom("f"), [1]]);
    return { calls, ref: request.ref, tag: request.args[0] as Reference };
  }

  const stack = [tuple(atom("m"), atom("f"), 1, [])];
  test.each([
    ["a value", (tag: Term) => tuple(tag, atom("return"), 42), "ok", 42],
    ["a throw", (tag: Term) => tuple(tag, atom("throw"), 1), "error", tuple(atom("nocatch"), 1)],
    ["an exit", (tag: Term) => tuple(tag, atom("exit"), 1), "error", 1],
    ["an error", (tag: Term) => tuple(tag, atom("error"), 1, stack), "error", tuple(1, stack)],
    ["undef", (tag: Term) => tuple(tag, atom("error"), atom("undef"), stack), "undef", undefined],
    [
      "undef of another function",
      (tag: Term) => tuple(tag, atom("error"), atom("undef"), [tuple(atom("m"), atom("g"), 1, [])]),
      "error",
      tuple(atom("undef"), [tuple(atom("m"), atom("g"), 1, [])]),
    ],
    ["killed", () => atom("killed"), "error", atom("killed")],
    ["somebody else's result", () => tuple(ref, atom("return"), 1), "error", tuple(ref, atom("return"), 1)],
  ] as const)("%s", (_name, reason, status, value) => {
    const { calls, ref: monitor, tag } = call();
    expect(
      calls.translate({
        type: "spawnReply",
        ref: monitor,
        to: other,
        link: false,
        monitor: true,
        result: pid,
      }),
    ).toBeUndefined();
    expect(
      calls.translate({ type: "down", from: pid, to: other, ref: monitor, reason: reason(tag) }),
    ).toEqual({
      type: "rpcReply",
      id: 1,
      status,
      value,
    });
    expect(calls.size).toBe(0);
  });

  test("a refused spawn is an answer; a cancelled call has none, and its process is let go", () => {
    const refused = call();
    const reply = {
      type: "spawnReply",
      ref: refused.ref,
      to: other,
      link: false,
      monitor: false,
      result: "limit",
    } as const;
    expect(refused.calls.translate(reply)).toMatchObject({ type: "rpcReply", id: 1, status: "limit" });
    const { calls, ref: monitor } = call();
    calls.cancel(1);
    expect(calls.size).toBe(0);
    // The runtime, which asked for none, takes the monitor back.
    const late = {
      type: "spawnReply",
      ref: monitor,
      to: other,
      link: false,
      monitor: true,
      result: pid,
    } as const;
    expect(calls.translate(late)).toBe(late);
  });
});
