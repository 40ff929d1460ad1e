import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { utf8, utf8Text } from "../base/text.ts";
import { Writer } from "../base/writer.ts";

/*
 * The messages of the handshake, each in a packet with a length of two bytes ("Distribution protocol", §"Distribution
 * handshake", version 6, OTP 23 and later):
 *
 *   dialler  → listener  'N' | flags u64 | creation u32 | length u16 | name            name, or host when NAME_ME is set
 *   listener → dialler   's' | status                                                  text; "named:" | length u16 | name | creation u32
 *   dialler  → listener  's' | "true" or "false"                                       only after the status "alive"
 *   listener → dialler   'N' | flags u64 | challenge u32 | creation u32 | length u16 | name
 *   dialler  → listener  'r' | challenge u32 | digest 16
 *   listener → dialler   'a' | digest 16
 *
 * What follows a name belongs to later versions and is ignored. Older forms ('n') are refused: OTP 22 and before.
 */

const nameTag = 0x4e;
const statusTag = 0x73;
const replyTag = 0x72;
const ackTag = 0x61;
const oldNameTag = 0x6e;

/** The longest packet of a handshake that we read, bytes. */
export const handshakePacketMax = 2_048;

/** Characters of a node name: it is an atom. */
const nameLengthMax = 255;

export interface NameMessage {
  readonly flags: bigint;
  readonly creation: number;
  readonly name: string;
}

export interface ChallengeMessage extends NameMessage {
  readonly challenge: number;
}

export type Status = "ok" | "ok_simultaneous" | "nok" | "not_allowed" | "alive" | "true" | "false";
const statuses: ReadonlySet<string> = new Set<Status>([
  "ok",
  "ok_simultaneous",
  "nok",
  "not_allowed",
  "alive",
  "true",
  "false",
]);

export function encodeName({ flags, creation, name }: NameMessage): Uint8Array {
  const writer = new Writer(64);
  writer.u8(nameTag);
  writer.u64(flags);
  writer.u32(creation);
  writeName(writer, name);
  return writer.take();
}

export function encodeChallenge({ flags, challenge, creation, name }: ChallengeMessage): Uint8Array {
  const writer = new Writer(64);
  writer.u8(nameTag);
  writer.u64(flags);
  writer.u32(challenge);
  writer.u32(creation);
  writeName(writer, name);
  return writer.take();
}

export function encodeStatus(status: Status): Uint8Array {
  return utf8(`s${status}`);
}

/** The name and creation that we give to a peer that has none. */
export function encodeNamed(name: string, creation: number): Uint8Array {
  const writer = new Writer(64);
  writer.raw(utf8("snamed:"));
  writeName(writer, name);
  writer.u32(creation);
  return writer.take();
}

export function encodeReply(challenge: number, digest: Uint8Array): Uint8Array {
  const writer = new Writer(21);
  writer.u8(replyTag);
  writer.u32(challenge);
  writer.raw(digest);
  return writer.take();
}

export function encodeAck(digest: Uint8Array): Uint8Array {
  const writer = new Writer(17);
  writer.u8(ackTag);
  writer.raw(digest);
  return writer.take();
}

/** @throws MeshError `DECODE`; `VERSION_MISMATCH` for the form of OTP 22 and before. */
export function decodeName(packet: Uint8Array): NameMessage {
  const reader = opened(packet, nameTag);
  const flags = reader.u64();
  const creation = reader.u32();
  return { flags, creation, name: readName(reader) };
}

/** @throws MeshError as `decodeName`. */
export function decodeChallenge(packet: Uint8Array): ChallengeMessage {
  const reader = opened(packet, nameTag);
  const flags = reader.u64();
  const challenge = reader.u32();
  const creation = reader.u32();
  return { flags, challenge, creation, name: readName(reader) };
}

/** @throws MeshError `DECODE` for a status that is none of the known ones. */
export function decodeStatus(packet: Uint8Array): Status {
  const reader = opened(packet, statusTag);
  const text = reader.text(reader.remaining);
  if (statuses.has(text)) return text as Status;
  throw reader.error(`${JSON.stringify(text.slice(0, 40))} is no status of a handshake`);
}

/** @throws MeshError `DECODE`. */
export function decodeReply(packet: Uint8Array): { readonly challenge: number; readonly digest: Uint8Array } {
  const reader = opened(packet, replyTag);
  const challenge = reader.u32();
  const digest = reader.view(16);
  reader.end();
  return { challenge, digest };
}

/** @throws MeshError `DECODE`. */
export function decodeAck(packet: Uint8Array): Uint8Array {
  const reader = opened(packet, ackTag);
  const digest = reader.view(16);
  reader.end();
  return digest;
}

function opened(packet: Uint8Array, tag: number): Reader {
  const reader = new Reader(packet);
  const found = reader.u8();
  if (found === tag) return reader;
  if (tag === nameTag && found === oldNameTag) {
    throw new MeshError("VERSION_MISMATCH", "the peer speaks the handshake of OTP 22 and before");
  }
  throw reader.error(`a handshake message of kind ${found} where ${tag} is due`);
}

function writeName(writer: Writer, name: string): void {
  const bytes = utf8(name);
  writer.u16(bytes.length);
  writer.raw(bytes);
}

/** OTP writes names in Latin-1 and reads them as it likes; beyond ASCII both forms occur. */
function readName(reader: Reader): string {
  const bytes = reader.view(reader.u16());
  let name: string;
  try {
    name = utf8Text(bytes);
  } catch {
    name = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  }
  if (name.length > nameLengthMax || /\p{Cc}/u.test(name)) throw reader.error("that is no node name");
  return name;
}
