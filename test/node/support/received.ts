import { afterEach, beforeEach, vi } from "vitest";
import type { Instant } from "../../../src/base/time.ts";
import { Handshake, Link } from "../../../src/link/index.ts";
import type { MaculaNode } from "../../../src/node/macula-node.ts";
import { ProcessRuntime, type Signal, signalFrame } from "../../../src/process/index.ts";

interface Handler<Input> {
  handle(this: this, input: Input, now: Instant): void;
}

let signals: { readonly node: string; readonly signal: Signal }[] = [];
let handshakes = 0;
let heartbeats = 0;

/** Notes what arrives at all nodes of this test file, before it is handled. */
export function noteWhatArrives(): void {
  beforeEach(() => {
    signals = [];
    handshakes = 0;
    heartbeats = 0;
    look(ProcessRuntime.prototype, (runtime, input) => {
      if (input.type === "signal") signals.push({ node: runtime.node, signal: input.signal });
    });
    look(Handshake.prototype, (_handshake, input) => {
      if (input.type === "message") handshakes++;
    });
    look(Link.prototype, (_link, input) => {
      if (input.type === "datagram") heartbeats++;
    });
  });
  afterEach(() => vi.restoreAllMocks());
}

/** The signals that came to `node` in frames of this type, 0x03 … 0x0D, in their order. */
export function arrived(node: MaculaNode, frame: number): Signal[] {
  const here = signals.filter((each) => each.node === node.name && signalFrame(each.signal) === frame);
  return here.map(({ signal }) => signal);
}

/** HANDSHAKE messages that came to any node. */
export function handshakesArrived(): number {
  return handshakes;
}

/** HEARTBEAT datagrams that came to any node. */
export function heartbeatsArrived(): number {
  return heartbeats;
}

/** Calls `note` before every `handle` of the objects of a class. */
function look<Input, Machine extends Handler<Input>>(
  prototype: Machine & Handler<Input>,
  note: (machine: Machine, input: Input) => void,
): void {
  // oxlint-disable-next-line typescript/unbound-method -- called on the machine below
  const original = prototype.handle;
  const spied: Handler<Input> = prototype;
  vi.spyOn(spied, "handle").mockImplementation(function (this: Machine, input, now) {
    note(this, input);
    original.call(this, input, now);
  });
}
