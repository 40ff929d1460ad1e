import { MeshError } from "../base/errors.ts";
import type { Writer } from "../base/writer.ts";
import { Atom, atom, decode, encodeInto, Pid, Reference, type Term, Tuple } from "../etf/index.ts";
import { copied } from "./payloads.ts";
import type { RpcStatus, Signal, SpawnError } from "./signals.ts";

/*
 * The payload of each frame is one Erlang term with its version byte (131), a tuple:
 *
 *   03 SEND           {From, To, Message}
 *   04 REG_SEND       {From, Name, Message}
 *   05 EXIT           {exit, From, To, Reason} | {link, From, To, Reason} | {down, From | Name, To, Ref, Reason}
 *   06 LINK           {From, To}
 *   07 UNLINK         {unlink, Id, From, To} | {ack, Id, From, To}
 *   08 MONITOR        {From, To | Name, Ref}
 *   09 DEMONITOR      {From, To | Name, Ref}
 *   0A GROUP_LEADER   {From, To, Leader}
 *   0B RPC            {call, Id, Leader, Module, Function, Args} | {reply, Id, ok | error | undef | limit, Value} | {cancel, Id}
 *   0C SPAWN_REQUEST  {Ref, From, Leader, Module, Function, Args, [link | monitor]}
 *   0D SPAWN_REPLY    {Ref, To, [link | monitor], Pid | undef | limit}
 *
 * From, To, Leader, Pid: pids. Name, Module, Function: atoms. Ref: a reference. Id: an integer, 0 … 2^53 − 1. Args: a list.
 */

const frames = {
  send: 0x03,
  regSend: 0x04,
  exit: 0x05,
  linkExit: 0x05,
  down: 0x05,
  link: 0x06,
  unlink: 0x07,
  unlinkAck: 0x07,
  monitor: 0x08,
  demonitor: 0x09,
  groupLeader: 0x0a,
  rpcCall: 0x0b,
  rpcReply: 0x0b,
  rpcCancel: 0x0b,
  spawnRequest: 0x0c,
  spawnReply: 0x0d,
} as const satisfies Record<Signal["type"], number>;

/** Type of the frame that carries `signal`, 0x03 … 0x0D. */
export function signalFrame(signal: Signal): number {
  return frames[signal.type];
}

const exitAtom = atom("exit");
const linkAtom = atom("link");
const downAtom = atom("down");
const unlinkAtom = atom("unlink");
const ackAtom = atom("ack");
const monitorAtom = atom("monitor");
const callAtom = atom("call");
const replyAtom = atom("reply");
const cancelAtom = atom("cancel");

const encodeOptions = { text: "marked" } as const;
/** Binaries are views of the payload. */
const decodeOptions = { binaries: "bytes", copyBytes: false } as const;

/**
 * Appends the payload of `signal`'s frame.
 * @throws MeshError `ENCODE` when a term in it has no representation; what was appended until then is to be discarded.
 */
export function encodeSignal(signal: Signal, writer: Writer): void {
  encodeInto(writer, new Tuple(elementsOf(signal)), encodeOptions);
}

function elementsOf(signal: Signal): readonly Term[] {
  switch (signal.type) {
    case "send":
      return [signal.from, signal.to, signal.message];
    case "regSend":
      return [signal.from, atom(signal.name), signal.message];
    case "exit":
      return [exitAtom, signal.from, signal.to, signal.reason];
    case "linkExit":
      return [linkAtom, signal.from, signal.to, signal.reason];
    case "down":
      return [downAtom, processOrName(signal.from), signal.to, signal.ref, signal.reason];
    case "link":
      return [signal.from, signal.to];
    case "unlink":
      return [unlinkAtom, signal.id, signal.from, signal.to];
    case "unlinkAck":
      return [ackAtom, signal.id, signal.from, signal.to];
    case "monitor":
    case "demonitor":
      return [signal.from, processOrName(signal.to), signal.ref];
    case "groupLeader":
      return [signal.from, signal.to, signal.leader];
    case "rpcCall": {
      const { id, leader, args } = signal;
      return [callAtom, id, leader, atom(signal.module), atom(signal.function), args];
    }
    case "rpcReply":
      return [replyAtom, signal.id, atom(signal.status), signal.value];
    case "rpcCancel":
      return [cancelAtom, signal.id];
    case "spawnRequest": {
      const { ref, from, leader, args } = signal;
      return [ref, from, leader, atom(signal.module), atom(signal.function), args, spawnFlags(signal)];
    }
    case "spawnReply": {
      const { result } = signal;
      return [signal.ref, signal.to, spawnFlags(signal), result instanceof Pid ? result : atom(result)];
    }
    default:
      return signal satisfies never;
  }
}

function processOrName(of: Pid | string): Term {
  return typeof of === "string" ? atom(of) : of;
}

function spawnFlags({ link, monitor }: { readonly link: boolean; readonly monitor: boolean }): Term {
  const flags: Term[] = [];
  if (link) flags.push(linkAtom);
  if (monitor) flags.push(monitorAtom);
  return flags;
}

/**
 * The signal in the payload of a frame. Whether the peer may speak for its `from` is for the runtime to check.
 *
 * @param type of the frame, 0x03 … 0x0D.
 * @param owned nobody else uses the payload's buffer: binaries in the signal may be views of it.
 * @throws MeshError `DECODE` when the payload is not a term, or not one that this frame type may carry.
 */
export function decodeSignal(type: number, payload: Uint8Array, owned = false): Signal {
  const term = decode(owned ? payload : copied(payload), decodeOptions);
  if (!(term instanceof Tuple)) throw malformed(type);
  const elements: readonly Term[] = term.elements;
  const signal = decoders[type]?.(elements);
  if (signal === undefined) throw malformed(type);
  return signal;
}

function malformed(type: number): MeshError {
  return new MeshError("DECODE", `the payload of a frame of type ${type} does not have its shape`);
}

/** Each gives `undefined` for a tuple of another shape. */
const decoders: { readonly [type: number]: (elements: readonly Term[]) => Signal | undefined } = {
  0x03: (elements) => {
    const [from, to, message] = elements;
    if (elements.length !== 3 || !(from instanceof Pid) || !(to instanceof Pid)) return undefined;
    return { type: "send", from, to, message };
  },
  0x04: (elements) => {
    const [from, name, message] = elements;
    if (elements.length !== 3 || !(from instanceof Pid) || !(name instanceof Atom)) return undefined;
    return { type: "regSend", from, name: name.name, message };
  },
  0x05: decodeExit,
  0x06: (elements) => {
    const [from, to] = elements;
    if (elements.length !== 2 || !(from instanceof Pid) || !(to instanceof Pid)) return undefined;
    return { type: "link", from, to };
  },
  0x07: (elements) => {
    const [kind, id, from, to] = elements;
    if (elements.length !== 4 || !isId(id) || !(from instanceof Pid) || !(to instanceof Pid))
      return undefined;
    if (kind === unlinkAtom) return { type: "unlink", id, from, to };
    return kind === ackAtom ? { type: "unlinkAck", id, from, to } : undefined;
  },
  0x08: (elements) => decodeMonitor("monitor", elements),
  0x09: (elements) => decodeMonitor("demonitor", elements),
  0x0a: (elements) => {
    const [from, to, leader] = elements;
    if (elements.length !== 3 || !(from instanceof Pid)) return undefined;
    if (!(to instanceof Pid) || !(leader instanceof Pid)) return undefined;
    return { type: "groupLeader", from, to, leader };
  },
  0x0b: decodeRpc,
  0x0c: (elements) => {
    const [ref, from, leader, module, name, args, flags] = elements;
    if (elements.length !== 7 || !(ref instanceof Reference) || !isSpawnFlags(flags)) return undefined;
    if (!(from instanceof Pid) || !(leader instanceof Pid)) return undefined;
    if (!(module instanceof Atom) || !(name instanceof Atom) || !isArgs(args)) return undefined;
    return {
      type: "spawnRequest",
      ref,
      from,
      leader,
      module: module.name,
      function: name.name,
      args,
      link: flags.includes(linkAtom),
      monitor: flags.includes(monitorAtom),
    };
  },
  0x0d: (elements) => {
    const [ref, to, flags, result] = elements;
    if (elements.length !== 4 || !(ref instanceof Reference) || !(to instanceof Pid)) return undefined;
    if (!isSpawnFlags(flags) || !isSpawnResult(result)) return undefined;
    return {
      type: "spawnReply",
      ref,
      to,
      link: flags.includes(linkAtom),
      monitor: flags.includes(monitorAtom),
      result: result instanceof Pid ? result : (result.name as SpawnError),
    };
  },
};

function decodeExit(elements: readonly Term[]): Signal | undefined {
  const [kind, from, to] = elements;
  if (!(to instanceof Pid)) return undefined;
  if (kind === downAtom) {
    const [, , , ref, reason] = elements;
    if (elements.length !== 5 || !(ref instanceof Reference)) return undefined;
    if (from instanceof Pid) return { type: "down", from, to, ref, reason };
    return from instanceof Atom ? { type: "down", from: from.name, to, ref, reason } : undefined;
  }
  if (elements.length !== 4 || !(from instanceof Pid)) return undefined;
  const reason = elements[3];
  if (kind === exitAtom) return { type: "exit", from, to, reason };
  return kind === linkAtom ? { type: "linkExit", from, to, reason } : undefined;
}

function decodeMonitor(type: "monitor" | "demonitor", elements: readonly Term[]): Signal | undefined {
  const [from, to, ref] = elements;
  if (elements.length !== 3 || !(from instanceof Pid) || !(ref instanceof Reference)) return undefined;
  if (to instanceof Pid) return { type, from, to, ref };
  return to instanceof Atom ? { type, from, to: to.name, ref } : undefined;
}

function decodeRpc(elements: readonly Term[]): Signal | undefined {
  const [kind, id] = elements;
  if (!isId(id)) return undefined;
  if (kind === callAtom) {
    const [, , leader, module, name, args] = elements;
    if (elements.length !== 6 || !(leader instanceof Pid) || !isArgs(args)) return undefined;
    if (!(module instanceof Atom) || !(name instanceof Atom)) return undefined;
    return { type: "rpcCall", id, leader, module: module.name, function: name.name, args };
  }
  if (kind === replyAtom) {
    const [, , status, value] = elements;
    if (elements.length !== 4 || !isRpcStatus(status)) return undefined;
    return { type: "rpcReply", id, status: status.name as RpcStatus, value };
  }
  return kind === cancelAtom && elements.length === 2 ? { type: "rpcCancel", id } : undefined;
}

function isId(term: Term): term is number {
  return typeof term === "number" && Number.isSafeInteger(term) && term >= 0;
}

function isArgs(term: Term): term is readonly Term[] {
  return Array.isArray(term);
}

function isSpawnFlags(term: Term): term is readonly Atom[] {
  return Array.isArray(term) && term.length <= 2 && term.every((f) => f === linkAtom || f === monitorAtom);
}

function isSpawnResult(term: Term): term is Pid | Atom {
  return term instanceof Pid || (term instanceof Atom && (term.name === "undef" || term.name === "limit"));
}

const rpcStatuses: ReadonlySet<string> = new Set(["ok", "error", "undef", "limit"] satisfies RpcStatus[]);

function isRpcStatus(term: Term): term is Atom {
  return term instanceof Atom && rpcStatuses.has(term.name);
}
