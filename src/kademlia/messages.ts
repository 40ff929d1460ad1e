import { MeshError } from "../base/errors.ts";
import type { Point } from "../base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../base/node-id.ts";
import { base32Bytes } from "../base/text.ts";
import { Atom, atom, decode, encode, type Term, Tuple, tuple } from "../etf/index.ts";
import { recordBytesMax } from "./record.ts";

/*
 * LOOKUP (0x2C), to any node: one tuple with its version byte. Id: an integer of 32 bits, repeated in the answer. Target and
 * Node are binaries of 32 bytes, Record is a binary (record.ts).
 *
 *   {find, Id, Target}            → {nodes, Id, [Node]}              at most 20, the nearest to Target that are known
 *   {get, Id, Target, Skip}       → {records, Id, [Record], More, [Node]}
 *                                     records under Target but for the first Skip; More: `true` when there are further ones
 *   {store, Id, KeepMs, [Record]} → {stored, Id, Count}              kept for KeepMs at most
 */

export type KademliaMessage =
  | { readonly type: "find"; readonly id: number; readonly target: Point }
  | { readonly type: "get"; readonly id: number; readonly target: Point; readonly skip: number }
  | {
      readonly type: "store";
      readonly id: number;
      readonly keepMs: number;
      readonly records: readonly Uint8Array[];
    }
  | { readonly type: "nodes"; readonly id: number; readonly nodes: readonly NodeId[] }
  | {
      readonly type: "records";
      readonly id: number;
      readonly records: readonly Uint8Array[];
      readonly more: boolean;
      readonly nodes: readonly NodeId[];
    }
  | { readonly type: "stored"; readonly id: number; readonly count: number };

/** Nodes in an answer, at most: more is a lie or an attack. */
export const nodesMax = 20;
/** Records in a message, at most. */
export const recordsMax = 64;
/** Bytes of records that an answer holds, unless there is but one. */
export const recordsBytesMax = 12_288;

export function encodeMessage(message: KademliaMessage): Uint8Array<ArrayBuffer> {
  const { type, id } = message;
  const head = [atom(type), id] as const;
  switch (message.type) {
    case "find":
      return encode(tuple(...head, base32Bytes(message.target)));
    case "get":
      return encode(tuple(...head, base32Bytes(message.target), message.skip));
    case "store":
      return encode(tuple(...head, message.keepMs, message.records));
    case "nodes":
      return encode(tuple(...head, message.nodes.map(base32Bytes)));
    case "records":
      return encode(tuple(...head, message.records, message.more, message.nodes.map(base32Bytes)));
    default:
      return encode(tuple(...head, message.count));
  }
}

/** @throws MeshError `DECODE` for anything else. */
export function decodeMessage(payload: Uint8Array): KademliaMessage {
  const term = decode(payload, { binaries: "bytes", copyBytes: true });
  if (!(term instanceof Tuple) || !(term.elements[0] instanceof Atom)) throw wrong();
  const [, given, a, b, c] = term.elements;
  const id = integer(given, 0xffff_ffff);
  const type = term.elements[0].name;
  const shape = `${type} ${term.length}`;
  switch (shape) {
    case "find 3":
      return { type: "find", id, target: point(a) };
    case "get 4":
      return { type: "get", id, target: point(a), skip: integer(b, 0xffff) };
    case "store 4":
      return { type: "store", id, keepMs: integer(a, 0xffff_ffff), records: list(b, recordsMax).map(record) };
    case "nodes 3":
      return { type: "nodes", id, nodes: list(a, nodesMax).map(point) };
    case "records 5":
      if (typeof b !== "boolean") throw wrong();
      return {
        type: "records",
        id,
        records: list(a, recordsMax).map(record),
        more: b,
        nodes: list(c, nodesMax).map(point),
      };
    case "stored 3":
      return { type: "stored", id, count: integer(a, recordsMax) };
    default:
      throw wrong();
  }
}

function integer(term: Term, most: number): number {
  if (typeof term === "number" && Number.isInteger(term) && term >= 0 && term <= most) return term;
  throw wrong();
}

function point(term: Term): NodeId {
  if (term instanceof Uint8Array) return nodeIdFromBytes(term);
  throw wrong();
}

function record(term: Term): Uint8Array {
  if (term instanceof Uint8Array && term.length <= recordBytesMax) return term;
  throw wrong();
}

function list(term: Term, most: number): readonly Term[] {
  if (Array.isArray(term) && term.length <= most) return term as readonly Term[];
  throw wrong();
}

function wrong(): MeshError {
  return new MeshError("DECODE", "not a LOOKUP message");
}
