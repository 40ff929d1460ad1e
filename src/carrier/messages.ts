import { MeshError, type MeshErrorCode } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";
import { nodeNameBytesMax } from "./names.ts";
import { packet, packetBytesMax } from "./packets.ts";

// Two protocols of one shape. A request opens a connection of a BEAM node to its Macula node (a Unix socket), or a stream
// from one Macula node to another (QUIC); one answer follows, and then the bytes of Erlang distribution.
//
//   request on the socket  version u8 | 1 register  | name
//                          version u8 | 2 connect   | timeout u32, milliseconds | target, from
//                          version u8 | 3 accept    | token 8 bytes                      (no answer)
//   request on a stream    version u8 | target, from
//   answer                 0, and to register: managed u8     or     refusal u8 | reason, UTF-8 to the end
//   notice to the registered: token 8 bytes
//
// A name is its length u8 and that many bytes of UTF-8. Each message is a packet.

const version = 1;
const register = 1;
const connect = 2;
const accept = 3;
const ok = 0;
export const tokenBytes = 8;

/** What a BEAM node asks of its Macula node. */
export type LocalRequest =
  | { readonly type: "register"; readonly name: string }
  | { readonly type: "connect"; readonly target: string; readonly from: string; readonly timeoutMs: number }
  | { readonly type: "accept"; readonly token: string };

/** What one Macula node asks of another: the distribution of `target`, for `from`. */
export interface TunnelRequest {
  readonly target: string;
  readonly from: string;
}

/** Why there is no connection, as said on the wire, and what it is here. */
const refusals = [
  ["duplicateName", 1, "NAME_TAKEN"],
  ["malformed", 2, "PROTOCOL"],
  ["notHere", 3, "PEER_UNREACHABLE"],
  ["noDistribution", 4, "UNSUPPORTED"],
  ["busy", 5, "LIMIT"],
  ["timeout", 6, "TIMEOUT"],
  ["unreachable", 7, "PEER_UNREACHABLE"],
  ["wrongPort", 8, "CONFIGURATION"],
] as const satisfies readonly (readonly [string, number, MeshErrorCode])[];

export type RefusalKind = (typeof refusals)[number][0];

/** A refusal with its sentence for people. */
export class Refusal extends MeshError {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, message: string, options?: ErrorOptions) {
    super(refusals.find(([name]) => name === kind)?.[2] ?? "REFUSED", message, options);
    this.kind = kind;
  }
}

/** @throws MeshError `DECODE`, or `VERSION_MISMATCH`. */
export function decodeLocalRequest(bytes: Uint8Array): LocalRequest {
  const reader = new Reader(bytes);
  checkVersion(reader);
  const kind = reader.u8();
  const request = localRequest(kind, reader);
  reader.end();
  return request;
}

function localRequest(kind: number, reader: Reader): LocalRequest {
  switch (kind) {
    case register:
      return { type: "register", name: readName(reader) };
    case connect: {
      const timeoutMs = reader.u32();
      return { type: "connect", timeoutMs, target: readName(reader), from: readName(reader) };
    }
    case accept:
      return { type: "accept", token: tokenText(reader.view(tokenBytes)) };
    default:
      throw reader.error(`there is no request ${kind}`);
  }
}

/** For tests and for programs that attach by themselves. */
export function encodeLocalRequest(request: LocalRequest): Uint8Array<ArrayBuffer> {
  const writer = new Writer(64);
  writer.u8(version);
  switch (request.type) {
    case "register":
      writer.u8(register);
      writeName(writer, request.name);
      break;
    case "connect":
      writer.u8(connect);
      writer.u32(request.timeoutMs);
      writeName(writer, request.target);
      writeName(writer, request.from);
      break;
    case "accept":
      writer.u8(accept);
      writer.raw(tokenOf(request.token));
      break;
    default:
      request satisfies never;
  }
  return packet(writer.bytes());
}

/** @throws MeshError `DECODE`, or `VERSION_MISMATCH`. */
export function decodeTunnelRequest(bytes: Uint8Array): TunnelRequest {
  const reader = new Reader(bytes);
  checkVersion(reader);
  const request = { target: readName(reader), from: readName(reader) };
  reader.end();
  return request;
}

export function encodeTunnelRequest({ target, from }: TunnelRequest): Uint8Array<ArrayBuffer> {
  const writer = new Writer(64);
  writer.u8(version);
  writeName(writer, target);
  writeName(writer, from);
  return packet(writer.bytes());
}

/** The answer to connect and to a tunnel's request. */
export function encodeAccepted(): Uint8Array<ArrayBuffer> {
  return packet(Uint8Array.of(ok));
}

/** The answer to register. `managed`: the Macula node ends by itself, and may be started again by whoever misses it. */
export function encodeRegistered(managed: boolean): Uint8Array<ArrayBuffer> {
  return packet(Uint8Array.of(ok, managed ? 1 : 0));
}

export function encodeRefusal({ kind, message }: Refusal): Uint8Array<ArrayBuffer> {
  const writer = new Writer(128);
  writer.u8(refusals.find(([name]) => name === kind)?.[1] ?? 0xff);
  writer.raw(cut(message, packetBytesMax - 1));
  return packet(writer.bytes());
}

/** Returns when the answer is yes. @throws Refusal, and MeshError `DECODE`. */
export function decodeAnswer(bytes: Uint8Array): void {
  const reader = new Reader(bytes);
  const code = reader.u8();
  if (code === ok) return;
  const reason = reader.text(reader.remaining);
  const known = refusals.find(([, number]) => number === code);
  throw new Refusal(known?.[0] ?? "unreachable", printable(reason));
}

/** A token as the packet that tells of it. */
export function encodeNotice(token: string): Uint8Array<ArrayBuffer> {
  return packet(tokenOf(token));
}

export function tokenText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function tokenOf(text: string): Uint8Array {
  return Uint8Array.from({ length: tokenBytes }, (_, index) =>
    Number.parseInt(text.slice(2 * index, 2 * index + 2), 16),
  );
}

function checkVersion(reader: Reader): void {
  const said = reader.u8();
  if (said !== version) {
    throw new MeshError("VERSION_MISMATCH", `version ${said} of the carrier's protocol, this is ${version}`);
  }
}

function readName(reader: Reader): string {
  return reader.text(reader.u8());
}

function writeName(writer: Writer, name: string): void {
  const bytes = utf8(name);
  if (bytes.length > nodeNameBytesMax) throw new MeshError("ENCODE", `a name of ${bytes.length} bytes`);
  writer.u8(bytes.length);
  writer.raw(bytes);
}

/** As much of `text` as fits, in whole characters. */
function cut(text: string, bytesMax: number): Uint8Array {
  let end = Math.min(text.length, bytesMax);
  for (;;) {
    const bytes = utf8(text.slice(0, end));
    if (bytes.length <= bytesMax) return bytes;
    end -= 1 + ((bytes.length - bytesMax) >> 2);
  }
}

/** A peer's sentence goes to logs and terminals: no control characters. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "�");
}
