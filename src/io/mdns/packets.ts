import { type Answer, AUTHORITATIVE_ANSWER, decode, encode, type Packet, type Question } from "dns-packet";

/** Records and questions in one packet, at the most. A node's answer has fewer than ten, Avahi's for a whole network some dozens. */
const entriesMax = 512;
const headerBytes = 12;
/** A question has at least an empty name, a type and a class. */
const entryBytesMin = 5;

/** A packet of multicast DNS as far as we look at it: what has no proper name is left out. */
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
    return {
      id,
      isResponse: type === "response",
      questions: questions.filter(isNamed),
      answers: answers.filter(isNamed),
      additionals: additionals.filter(isNamed),
    };
  } catch {
    return undefined;
  }
}

/**
 * Whether `text` can be a name in a packet, RFC 1035 §2.3.4. Threat: dns-packet reads bytes that are not UTF-8 as U+FFFD, which is longer, and
 * writes labels of any length, so that a name that came in could go out again as garbage.
 */
export function isName(text: string): boolean {
  // With line ends dns-packet takes dots away in the middle of a name.
  if (/\p{Cc}/u.test(text) || Buffer.byteLength(text) > 253) return false;
  return text.split(".").every((label) => label !== "" && Buffer.byteLength(label) <= 63);
}

function isNamed({ name }: { readonly name: string }): boolean {
  return isName(name);
}

/** A question to all. */
export function encodeQuestions(questions: readonly Question[]): Uint8Array {
  return encode({ type: "query", id: 0, questions: [...questions] });
}

/** An answer to all, or to the one who asked `query`. RFC 6762 §6. */
export function encodeAnswers(answers: readonly Answer[], query?: MdnsPacket): Uint8Array {
  const packet: Packet = { type: "response", id: 0, flags: AUTHORITATIVE_ANSWER, answers: [...answers] };
  if (query === undefined) return encode(packet);
  // dns-packet does not write each class that it reads.
  const questions = query.questions.map((question): Question => ({ ...question, class: "IN" }));
  return encode({ ...packet, id: query.id, questions });
}
