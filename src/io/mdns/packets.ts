import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type Packet, type Question } from "dns-packet";

/** Records and questions in one packet, at the most. A node's answer has fewer than ten, Avahi's for a whole network some dozens. */
const entriesMax = 512;
const headerBytes = 12;
/** A question has at least an empty name, a type and a class. */
const entryBytesMin = 5;

/** A packet of multicast DNS as far as we look at it. */
export interface MdnsPacket {
  readonly id: number;
  readonly isResponse: boolean;
  readonly questions: readonly Question[];
  readonly answers: readonly Answer[];
  /** What the sender thinks will be asked next. */
  readonly additionals: readonly Answer[];
}

/**
 * The packet, or `undefined` when it is not one.
 *
 * Threat: dns-packet allocates what the header says, four times 65,535 places for twelve bytes of garbage, and takes more
 * than a millisecond for it: some hundred such packets a second would hold up the node. So the header is read here first.
 */
export function decodePacket(bytes: Uint8Array): MdnsPacket | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let entries = 0;
  for (const offset of [4, 6, 8, 10]) entries += view.getUint16(offset);
  if (entries > entriesMax || entries * entryBytesMin > bytes.length - headerBytes) return undefined;
  try {
    const { id = 0, type, questions = [], answers = [], additionals = [] } = decode(Buffer.from(bytes));
    return { id, isResponse: type === "response", questions, answers, additionals };
  } catch {
    return undefined;
  }
}

/** A question to all. */
export function encodeQuestions(questions: readonly Question[]): Uint8Array {
  return encode({ type: "query", id: 0, questions: [...questions] });
}

/** An answer to all, or to the one who asked `query`. RFC 6762 §6. */
export function encodeAnswers(answers: readonly Answer[], query?: MdnsPacket): Uint8Array {
  const packet: Packet = { type: "response", id: 0, flags: AUTHORITATIVE_ANSWER, answers: [...answers] };
  if (query === undefined) return encode(packet);
  return encode({ ...packet, id: query.id, questions: [...query.questions] });
}
