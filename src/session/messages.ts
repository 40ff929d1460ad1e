import { MeshError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { Writer } from "../base/writer.ts";
import { peerLanesMax } from "../link/index.ts";

/*
 * What the two ends of a session say of it, integers big-endian:
 *
 *   mine u32 | yours u32 | ended u32 | creation u32
 *
 * `mine` numbers the sender's end, `yours` is the receiver's number as far as the sender knows it, or 0. `ended`: the number
 * of a former end of the receiver that the sender holds for over, or 0. `creation`: the life of the sending node.
 *
 * Payload of SESSION (0x2A), on the control stream of a link, and the head of each message of a channel. There it is followed by
 *
 *   lane u8 | bytes of that lane: whole frames
 *
 * or by nothing, when all that is to be said is the head.
 */
export interface Greeting {
  readonly mine: number;
  readonly yours: number;
  readonly ended: number;
  readonly creation: number;
}

export interface SessionMessage extends Greeting {
  /** `undefined`: the head alone. */
  readonly lane: number | undefined;
  /** A view of what was decoded. */
  readonly bytes: Uint8Array;
}

/** What the head and the lane take of a message. */
export const sessionHeaderBytes = 17;

const nothing = new Uint8Array(0);

export function encodeGreeting(greeting: Greeting): Uint8Array<ArrayBuffer> {
  const writer = new Writer(sessionHeaderBytes);
  write(writer, greeting);
  return writer.take();
}

/** @throws MeshError `DECODE` for anything else. */
export function decodeGreeting(payload: Uint8Array): Greeting {
  const reader = new Reader(payload);
  const greeting = read(reader);
  reader.end();
  return greeting;
}

export function encodeSessionMessage(
  greeting: Greeting,
  lane: number,
  bytes: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const writer = new Writer(sessionHeaderBytes + bytes.length);
  write(writer, greeting);
  writer.u8(lane);
  writer.raw(bytes);
  return writer.take();
}

/** @throws MeshError `DECODE` for anything else. */
export function decodeSessionMessage(payload: Uint8Array): SessionMessage {
  const reader = new Reader(payload);
  const greeting = read(reader);
  if (reader.remaining === 0) return { ...greeting, lane: undefined, bytes: nothing };
  const lane = reader.u8();
  if (lane >= peerLanesMax) throw reader.error(`no lane has the number ${lane}`);
  return { ...greeting, lane, bytes: reader.view(reader.remaining) };
}

function write(writer: Writer, { mine, yours, ended, creation }: Greeting): void {
  for (const number of [mine, yours, ended, creation]) writer.u32(number);
}

function read(reader: Reader): Greeting {
  const [mine, yours, ended, creation] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  if (mine === 0) throw new MeshError("DECODE", "a session has no number");
  return { mine, yours, ended, creation };
}
