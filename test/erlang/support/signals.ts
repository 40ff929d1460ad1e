import * as fc from "fast-check";
import { Pid, Reference } from "../../../src/etf/index.ts";
import type { Signal } from "../../../src/process/signals.ts";
import { anyTerm } from "../../etf/support/arbitrary.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const node = fc.constantFrom("erl@localhost", "ts@localhost:4433", "third@example.org");
export const anyPid = fc
  .tuple(node, u32, u32, u32)
  .map(([name, id, serial, creation]) => new Pid(name, id, serial, creation));
const anyReference = fc
  .tuple(node, u32, fc.array(u32, { minLength: 3, maxLength: 5 }))
  .map(([name, creation, ids]) => new Reference(name, creation, ids));
const anyName = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 20 });
const pidOrName = fc.oneof(anyPid, anyName);
const message = anyTerm;
const unlinkId = fc.oneof(
  fc.integer({ min: 1, max: 2 ** 53 - 1 }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
);

function signal<Type extends Signal["type"]>(
  type: Type,
  fields: { [Key in keyof Omit<Extract<Signal, { type: Type }>, "type">]: fc.Arbitrary<unknown> },
): fc.Arbitrary<Signal> {
  return fc.record({ type: fc.constant(type), ...fields }) as unknown as fc.Arbitrary<Signal>;
}

/** All signals that a distribution connection carries in both directions as they are. */
export const anySignal: fc.Arbitrary<Signal> = fc.oneof(
  signal("send", { from: anyPid, to: anyPid, message }),
  signal("regSend", { from: anyPid, name: anyName, message }),
  signal("exit", { from: anyPid, to: anyPid, reason: message }),
  signal("linkExit", { from: anyPid, to: anyPid, reason: message }),
  signal("down", { from: pidOrName, to: anyPid, ref: anyReference, reason: message }),
  signal("link", { from: anyPid, to: anyPid }),
  signal("unlink", { id: unlinkId, from: anyPid, to: anyPid }),
  signal("unlinkAck", { id: unlinkId, from: anyPid, to: anyPid }),
  signal("monitor", { from: anyPid, to: pidOrName, ref: anyReference }),
  signal("demonitor", { from: anyPid, to: pidOrName, ref: anyReference }),
  signal("spawnRequest", {
    ref: anyReference,
    from: anyPid,
    leader: anyPid,
    module: anyName,
    function: anyName,
    args: fc.array(message, { maxLength: 4 }),
    link: fc.boolean(),
    monitor: fc.boolean(),
    undefined: fc.constant("exits"),
  }),
  signal("spawnReply", {
    ref: anyReference,
    to: anyPid,
    link: fc.boolean(),
    monitor: fc.boolean(),
    result: fc.oneof(anyPid, fc.constant("limit")),
  }),
);
