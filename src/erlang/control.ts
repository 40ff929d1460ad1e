import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import type { Writer } from "../base/writer.ts";
import {
  Atom,
  atom,
  type DecodeOptions,
  decodeFrom,
  type EncodeOptions,
  encodeInto,
  ImproperList,
  Pid,
  Reference,
  type Term,
  Tuple,
} from "../etf/index.ts";
import { unpinned } from "../process/payloads.ts";
import type { Signal, SpawnRequestSignal } from "../process/signals.ts";
import type { NodeNames } from "./names.ts";

/*
 * A packet after the handshake ("Distribution protocol", §"Protocol between connected nodes"), without atom cache and
 * fragments:
 *
 *   nothing                                  a tick
 *   112 | control | message                  two terms, each with its version byte; the second only for some operations
 *
 * A control is a tuple that begins with its operation:
 *
 *    1 LINK           {From, To}                        22 SEND_SENDER        {From, To} + message
 *    2 SEND           {Unused, To} + message            24 PAYLOAD_EXIT       {From, To} + reason
 *    3 EXIT           {From, To, Reason}                26 PAYLOAD_EXIT2      {From, To} + reason
 *    6 REG_SEND       {From, Unused, Name} + message    28 PAYLOAD_MONITOR_P_EXIT  {Pid | Name, To, Ref} + reason
 *    7 GROUP_LEADER   {Leader, To}                      29 SPAWN_REQUEST      {Ref, From, Leader, {M, F, Arity}, Options} + arguments
 *    8 EXIT2          {From, To, Reason}                31 SPAWN_REPLY        {Ref, To, Flags, Pid | Error}
 *   19 MONITOR_P      {From, Pid | Name, Ref}           33 ALIAS_SEND         {From, Alias} + message
 *   20 DEMONITOR_P    {From, Pid | Name, Ref}           35 UNLINK_ID          {Id, From, To}
 *   21 MONITOR_P_EXIT {Pid | Name, To, Ref, Reason}     36 UNLINK_ID_ACK      {Id, From, To}
 *
 * Each of 2, 3, 6, 8, 22, 24, 26, 29, 31 and 33 has a form with a trace token (12, 13, 16, 18, 23, 25, 27, 30, 32, 34), which is ignored.
 */

const passThrough = 112;
const linkFlag = 1;
const monitorFlag = 2;

const empty = atom("");
const linkAtom = atom("link");
const monitorAtom = atom("monitor");
const aliasAtom = atom("alias");

/** Who speaks on a connection, and for whom. */
export interface ControlContext {
  /** The peer's name here. */
  readonly node: string;
  readonly creation: number;
  readonly names: NodeNames;
}

/** Appends the packet of `signal`, without its length. @throws MeshError `ENCODE`. */
export function encodeControl(
  signal: Exclude<Signal, { type: "rpcCall" | "rpcReply" | "rpcCancel" }>,
  names: NodeNames,
  writer: Writer,
): void {
  const options: EncodeOptions = { nodeName: (name) => names.toPeer(name) };
  const write = (control: readonly Term[], ...message: [] | [Term]): void => {
    writer.u8(passThrough);
    encodeInto(writer, new Tuple(control), options);
    if (message.length > 0) encodeInto(writer, message[0], options);
  };
  switch (signal.type) {
    case "send": {
      const alias = aliasOf(signal.message);
      // What `gen:reply/2` does: an answer that comes too late is dropped where the alias is no more.
      if (alias?.node === signal.to.node) return write([33, signal.from, alias], signal.message);
      return write([22, signal.from, signal.to], signal.message);
    }
    case "regSend":
      return write([6, signal.from, empty, atom(signal.name)], signal.message);
    case "exit":
      return write([26, signal.from, signal.to], signal.reason);
    case "linkExit":
      return write([24, signal.from, signal.to], signal.reason);
    case "down":
      return write([28, processOrName(signal.from), signal.to, signal.ref], signal.reason);
    case "link":
      return write([1, signal.from, signal.to]);
    case "unlink":
      return write([35, signal.id, signal.from, signal.to]);
    case "unlinkAck":
      return write([36, signal.id, signal.from, signal.to]);
    case "monitor":
      return write([19, signal.from, processOrName(signal.to), signal.ref]);
    case "demonitor":
      return write([20, signal.from, processOrName(signal.to), signal.ref]);
    case "groupLeader":
      return write([7, signal.leader, signal.to]);
    case "spawnRequest": {
      const { ref, from, leader, args } = signal;
      const called = new Tuple([atom(signal.module), atom(signal.function), args.length]);
      return write([29, ref, from, leader, called, spawnOptions(signal)], args);
    }
    case "spawnReply": {
      const { ref, to, link, monitor, result } = signal;
      const flags = (link ? linkFlag : 0) | (monitor ? monitorFlag : 0);
      return write([31, ref, to, flags, result instanceof Pid ? result : atom("system_limit")]);
    }
    default:
      return signal satisfies never;
  }
}

/** The alias in `{[alias | Ref], Reply}` or `{[[alias | Ref] | _], Reply}`. */
function aliasOf(message: Term): Reference | undefined {
  if (!(message instanceof Tuple) || message.length !== 2) return undefined;
  let tag = message.elements[0];
  if (tag instanceof ImproperList && tag.elements[0] instanceof ImproperList) tag = tag.elements[0];
  else if (Array.isArray(tag) && tag[0] instanceof ImproperList) tag = tag[0];
  if (!(tag instanceof ImproperList) || tag.elements.length !== 1 || tag.elements[0] !== aliasAtom)
    return undefined;
  return tag.tail instanceof Reference ? tag.tail : undefined;
}

function processOrName(of: Pid | string): Term {
  return typeof of === "string" ? atom(of) : of;
}

function spawnOptions({ link, monitor }: SpawnRequestSignal): Term {
  const options: Term[] = [];
  if (link) options.push(linkAtom);
  if (monitor) options.push(monitorAtom);
  return options;
}

/**
 * The signal in a packet; `undefined` for a message to an alias, of which there are none here. Whether the peer may speak
 * for its `from` is for the runtime to check.
 * @throws MeshError `DECODE` or `PROTOCOL`: the connection cannot go on then, as the signals on it have an order.
 */
export function decodeControl(packet: Uint8Array, context: ControlContext): Signal | undefined {
  const { names } = context;
  const options: DecodeOptions = { nodeName: (name) => names.heard(name) };
  const reader = new Reader(unpinned(packet));
  const kind = reader.u8();
  if (kind !== passThrough)
    throw new MeshError("PROTOCOL", `a packet of type ${kind}, which was not negotiated`);
  const control = decodeFrom(reader, options);
  const operation = control instanceof Tuple ? control.elements[0] : undefined;
  const shape = typeof operation === "number" ? shapes[operation] : undefined;
  if (!(control instanceof Tuple) || shape === undefined || control.length !== shape.arity) {
    throw malformed(operation);
  }
  const message = shape.hasMessage ? decodeFrom(reader, options) : undefined;
  reader.end();
  const signal = shape.decode(control.elements, message, context);
  if (signal === undefined) throw malformed(operation);
  return signal === "ignored" ? undefined : signal;
}

function malformed(operation: Term): MeshError {
  const which = typeof operation === "number" ? `number ${operation}` : "without a number";
  return new MeshError("PROTOCOL", `a control message ${which} that does not have its shape`);
}

interface Shape {
  /** Elements of the control tuple, with the operation and the trace token. */
  readonly arity: number;
  readonly hasMessage: boolean;
  /** `undefined` for elements of another kind. */
  readonly decode: (
    elements: readonly Term[],
    message: Term,
    context: ControlContext,
  ) => Signal | "ignored" | undefined;
}

function shape(arity: number, hasMessage: boolean, decode: Shape["decode"]): Shape {
  return { arity, hasMessage, decode };
}

/** Messages whose sender is not told come from a process that the peer never had. */
function unknownSender({ node, creation }: ControlContext): Pid {
  return new Pid(node, 0, 0, creation);
}

const send: Shape["decode"] = ([, , to], message, context) =>
  to instanceof Pid ? { type: "send", from: unknownSender(context), to, message } : undefined;

const sendSender: Shape["decode"] = ([, from, to], message) =>
  from instanceof Pid && to instanceof Pid ? { type: "send", from, to, message } : undefined;

const regSend: Shape["decode"] = ([, from, , to], message) => {
  const name = atomName(to);
  return from instanceof Pid && name !== undefined ? { type: "regSend", from, name, message } : undefined;
};

function exit(type: "exit" | "linkExit", reasonAt: number | undefined): Shape["decode"] {
  return (elements, message) => {
    const [, from, to] = elements;
    if (!(from instanceof Pid) || !(to instanceof Pid)) return undefined;
    return { type, from, to, reason: reasonAt === undefined ? message : elements[reasonAt] };
  };
}

function down(hasPayload: boolean): Shape["decode"] {
  return (elements, message) => {
    const [, from, to, ref, reason] = elements;
    if (!(to instanceof Pid) || !(ref instanceof Reference)) return undefined;
    const of = pidOrName(from);
    return of === undefined
      ? undefined
      : { type: "down", from: of, to, ref, reason: hasPayload ? message : reason };
  };
}

function monitor(type: "monitor" | "demonitor"): Shape["decode"] {
  return ([, from, to, ref]) => {
    if (!(from instanceof Pid) || !(ref instanceof Reference)) return undefined;
    const of = pidOrName(to);
    return of === undefined ? undefined : { type, from, to: of, ref };
  };
}

function unlink(type: "unlink" | "unlinkAck"): Shape["decode"] {
  return ([, id, from, to]) =>
    isUnlinkId(id) && from instanceof Pid && to instanceof Pid ? { type, id, from, to } : undefined;
}

const spawnRequest: Shape["decode"] = ([, ref, from, leader, called, options], args) => {
  if (!(ref instanceof Reference) || !(from instanceof Pid) || !(leader instanceof Pid)) return undefined;
  if (!(called instanceof Tuple) || called.length !== 3 || !isList(options) || !isList(args))
    return undefined;
  const [first, second, arity] = called.elements;
  const module = atomName(first);
  const name = atomName(second);
  if (module === undefined || name === undefined || arity !== args.length) return undefined;
  return {
    type: "spawnRequest",
    ref,
    from,
    leader,
    module,
    function: name,
    args,
    link: options.includes(linkAtom),
    monitor: options.includes(monitorAtom),
    undefined: "exits",
  };
};

const spawnReply: Shape["decode"] = ([, ref, to, flags, result]) => {
  if (!(ref instanceof Reference) || !(to instanceof Pid) || typeof flags !== "number") return undefined;
  if (!(result instanceof Pid) && !(result instanceof Atom)) return undefined;
  return {
    type: "spawnReply",
    ref,
    to,
    link: (flags & linkFlag) !== 0,
    monitor: (flags & monitorFlag) !== 0,
    result: result instanceof Pid ? result : "limit",
  };
};

const shapes: { readonly [operation: number]: Shape } = {
  1: shape(3, false, ([, from, to]) =>
    from instanceof Pid && to instanceof Pid ? { type: "link", from, to } : undefined,
  ),
  2: shape(3, true, send),
  3: shape(4, false, exit("linkExit", 3)),
  6: shape(4, true, regSend),
  7: shape(3, false, ([, leader, to], _message, context) =>
    leader instanceof Pid && to instanceof Pid
      ? { type: "groupLeader", from: unknownSender(context), to, leader }
      : undefined,
  ),
  8: shape(4, false, exit("exit", 3)),
  12: shape(4, true, send),
  13: shape(5, false, exit("linkExit", 4)),
  16: shape(5, true, regSend),
  18: shape(5, false, exit("exit", 4)),
  19: shape(4, false, monitor("monitor")),
  20: shape(4, false, monitor("demonitor")),
  21: shape(5, false, down(false)),
  22: shape(3, true, sendSender),
  23: shape(4, true, sendSender),
  24: shape(3, true, exit("linkExit", undefined)),
  25: shape(4, true, exit("linkExit", undefined)),
  26: shape(3, true, exit("exit", undefined)),
  27: shape(4, true, exit("exit", undefined)),
  28: shape(4, true, down(true)),
  29: shape(6, true, spawnRequest),
  30: shape(7, true, spawnRequest),
  31: shape(5, false, spawnReply),
  32: shape(6, false, spawnReply),
  33: shape(3, true, () => "ignored"),
  34: shape(4, true, () => "ignored"),
  35: shape(4, false, unlink("unlink")),
  36: shape(4, false, unlink("unlinkAck")),
};

function pidOrName(term: Term): Pid | string | undefined {
  return term instanceof Pid ? term : atomName(term);
}

/** The name of any atom, also of those that are JavaScript values here. */
function atomName(term: Term): string | undefined {
  if (term instanceof Atom) return term.name;
  return term === undefined || term === null || typeof term === "boolean" ? String(term) : undefined;
}

function isUnlinkId(term: Term): term is number | bigint {
  return (
    (typeof term === "number" && Number.isInteger(term) && term > 0) ||
    (typeof term === "bigint" && term > 0n)
  );
}

function isList(term: Term): term is readonly Term[] {
  return Array.isArray(term);
}
