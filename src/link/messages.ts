import { MeshError } from "../base/errors.ts";
import { type NodeId, nodeIdBytes, nodeIdFromBytes } from "../base/node-id.ts";
import { canonicalNodeName } from "../base/node-name.ts";
import { utf8, utf8Text } from "../base/text.ts";
import { Writer } from "../base/writer.ts";
import { Atom, atom, decode, encode, type Term } from "../etf/index.ts";

/*
 * HANDSHAKE (0x01) payloads: one ETF map with atoms as keys, three in all.
 *
 *   dialler  → listener  #{kind => hello,  versions => [1], name, id, capabilities, creation, challenge}
 *   listener → dialler   #{kind => answer, version => 1,    name, id, capabilities, creation, challenge, signature}
 *   dialler  → listener  #{kind => proof,  signature}
 *
 *   name          binary, name@host:port with the port
 *   id            binary of 32 bytes: SHA-256 of the certificate's SubjectPublicKeyInfo
 *   capabilities  list of atoms
 *   creation      1 … 2^32 − 1: tells one life of a node from the next
 *   challenge     binary of 32 random bytes
 *   signature     binary of 64 bytes: ECDSA P-256 with SHA-256, r ‖ s, over `signedBytes`
 *
 * Keys that are not listed are ignored, so that later versions can add some.
 */

export const protocolVersion = 1;

/** The longest HANDSHAKE payload accepted: what somebody who has not proven himself can make us hold. */
export const handshakeBytesMax = 4_096;

export const challengeLength = 32;

const signatureLength = 64;

/** Bounds on what an unauthenticated peer can make us keep. */
const versionsMax = 16;
const capabilitiesMax = 64;

/** How a node introduces itself. */
export interface Introduction {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly capabilities: readonly string[];
  /** Tells one life of the node from the next, 1 … 2^32 − 1. */
  readonly creation: number;
  readonly challenge: Uint8Array;
}

export interface Hello extends Introduction {
  readonly kind: "hello";
  /** Protocol versions the dialler speaks, 1 … 255. */
  readonly versions: readonly number[];
}

export interface Answer extends Introduction {
  readonly kind: "answer";
  /** The version the listener chose. */
  readonly version: number;
  readonly signature: Uint8Array;
}

export interface Proof {
  readonly kind: "proof";
  readonly signature: Uint8Array;
}

export type HandshakeMessage = Hello | Answer | Proof;

export function encodeHandshake(message: HandshakeMessage): Uint8Array {
  const fields = new Map<Term, Term>([[atom("kind"), atom(message.kind)]]);
  const put = (key: string, value: Term): Map<Term, Term> => fields.set(atom(key), value);
  if (message.kind !== "proof") {
    put("name", utf8(message.name));
    put("id", nodeIdBytes(message.nodeId));
    put("capabilities", message.capabilities.map(atom));
    put("creation", message.creation);
    put("challenge", message.challenge);
  }
  if (message.kind === "hello") put("versions", [...message.versions]);
  else put("signature", message.signature);
  if (message.kind === "answer") put("version", message.version);
  return encode(fields);
}

/** @throws MeshError `DECODE` when a field is missing or not what it must be. */
export function decodeHandshake(payload: Uint8Array): HandshakeMessage {
  const fields = new Fields(decode(payload, { binaries: "bytes" }));
  const kind = fields.atom("kind");
  switch (kind) {
    case "hello":
      return { kind, versions: fields.versions(), ...introduction(fields) };
    case "answer":
      return {
        kind,
        version: fields.integer("version", 1, 255),
        signature: fields.bytes("signature", signatureLength),
        ...introduction(fields),
      };
    case "proof":
      return { kind, signature: fields.bytes("signature", signatureLength) };
    default:
      throw new MeshError("DECODE", `a handshake message of unknown kind ${kind.slice(0, 32)}`);
  }
}

function introduction(fields: Fields): Introduction {
  return {
    name: fields.nodeName("name"),
    nodeId: nodeIdFromBytes(fields.bytes("id", 32)),
    capabilities: fields.atoms("capabilities", capabilitiesMax),
    creation: fields.integer("creation", 1, 0xffff_ffff),
    challenge: fields.bytes("challenge", challengeLength),
  };
}

/** The map of a message that came from outside; each getter throws `DECODE` unless the field is as it must be. */
class Fields {
  readonly #map: ReadonlyMap<Term, Term>;

  constructor(term: Term) {
    if (!(term instanceof Map))
      throw new MeshError("DECODE", "a handshake message must be a map with atom keys");
    this.#map = term as ReadonlyMap<Term, Term>;
  }

  atom(key: string): string {
    const value = this.#map.get(atom(key));
    if (!(value instanceof Atom)) throw wrong(key, "an atom");
    return value.name;
  }

  integer(key: string, least: number, most: number): number {
    const value = this.#map.get(atom(key));
    if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
      throw wrong(key, `an integer from ${least} to ${most}`);
    }
    return value;
  }

  bytes(key: string, length: number): Uint8Array {
    const value = this.#map.get(atom(key));
    if (!(value instanceof Uint8Array) || value.length !== length)
      throw wrong(key, `a binary of ${length} bytes`);
    // A copy: the payload is a view of the network buffer, and these fields outlive it.
    return value.slice();
  }

  nodeName(key: string): string {
    const value = this.#map.get(atom(key));
    const text = value instanceof Uint8Array ? utf8Text(value) : value;
    if (typeof text !== "string") throw wrong(key, "a binary");
    let canonical: string;
    try {
      canonical = canonicalNodeName(text);
    } catch (cause) {
      throw wrong(key, "a node name", cause);
    }
    // A node of two names would be dialled, and counted, twice.
    if (canonical !== text) throw wrong(key, `a node name in its one form, ${canonical}`);
    return text;
  }

  versions(): number[] {
    const value = list(this.#map.get(atom("versions")), versionsMax);
    const versions = value?.filter(
      (each) => typeof each === "number" && each >= 1 && each <= 255,
    ) as number[];
    if (value === undefined || versions.length !== value.length)
      throw wrong("versions", "a list of versions");
    return versions;
  }

  atoms(key: string, most: number): string[] {
    const value = list(this.#map.get(atom(key)), most);
    const atoms = value?.filter((each) => each instanceof Atom);
    if (atoms === undefined || atoms.length !== value?.length)
      throw wrong(key, `a list of at most ${most} atoms`);
    return atoms.map(({ name }) => name);
  }
}

function list(term: Term, most: number): readonly Term[] | undefined {
  return Array.isArray(term) && term.length <= most ? (term as readonly Term[]) : undefined;
}

function wrong(key: string, what: string, cause?: unknown): MeshError {
  return new MeshError("DECODE", `handshake field ${key} must be ${what}`, { cause });
}

/** Who made a signature: it must not be possible to play a signature back to its maker. */
export type Role = "dialler" | "listener";

export interface Transcript {
  readonly hello: Hello;
  readonly answer: Omit<Answer, "signature">;
}

/**
 * What `role` signs: everything both sides said, so that neither a challenge nor an offered version or capability can
 * be changed on the way, after a prefix that keeps the signature from meaning anything elsewhere.
 *
 *   "macula/1.0 link handshake" 00 | role u8 (0 dialler, 1 listener) | version u8
 *   | count u8, the dialler's versions u8 each
 *   | dialler, then listener: challenge 32, id 32, creation u32, length u16 and name,
 *     count u16 and for each capability length u16 and name
 */
export function signedBytes(role: Role, { hello, answer }: Transcript): Uint8Array {
  const writer = new Writer(512);
  writer.raw(utf8("macula/1.0 link handshake\0"));
  writer.u8(role === "dialler" ? 0 : 1);
  writer.u8(answer.version);
  writer.u8(hello.versions.length);
  for (const version of hello.versions) writer.u8(version);
  writeIntroduction(writer, hello);
  writeIntroduction(writer, answer);
  return writer.take();
}

function writeIntroduction(writer: Writer, introduced: Introduction): void {
  writer.raw(introduced.challenge);
  writer.raw(nodeIdBytes(introduced.nodeId));
  writer.u32(introduced.creation);
  writeText(writer, introduced.name);
  writer.u16(introduced.capabilities.length);
  for (const capability of introduced.capabilities) writeText(writer, capability);
}

function writeText(writer: Writer, text: string): void {
  const bytes = utf8(text);
  writer.u16(bytes.length);
  writer.raw(bytes);
}
