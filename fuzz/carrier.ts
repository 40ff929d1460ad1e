import * as fc from "fast-check";
import { MeshError, toError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { hex } from "../src/base/text.ts";
import {
  beamAddress,
  decodeAnswer,
  decodeLocalRequest,
  decodeTunnelRequest,
  encodeAccepted,
  encodeLocalRequest,
  encodeNotice,
  encodeRefusal,
  encodeRegistered,
  encodeTunnelRequest,
  type LocalRequest,
  PacketReader,
  Refusal,
  tokenText,
} from "../src/carrier/index.ts";

const corpusSize = 300;
/** What somebody's packets may be answered with. */
const expected = new Set(["DECODE", "PROTOCOL", "LIMIT", "VERSION_MISMATCH", "CONFIGURATION"]);

/**
 * Throws damaged packets at everything that reads the carrier's protocols, in pieces of any size, for `seconds`; returns how many
 * streams it was. Only typed errors may come out, and what is understood is written as it was read.
 * @throws Error with the seed of the stream that broke that promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  const corpus = fc.sample(anyPacket, { numRuns: corpusSize, seed });
  let runs = 0;
  for (; performance.now() < end; runs++) {
    const own = (seed + runs) >>> 0;
    const random = seededRandom(own);
    const stream = damaged(random, corpus);
    try {
      read(stream, random);
    } catch (cause) {
      throw new Error(
        `fuzz carrier: seed ${own}, ${hex(stream).slice(0, 4_000)}: ${toError(cause).message}`,
        {
          cause,
        },
      );
    }
  }
  return runs;
}

const anyName = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.webAuthority({ withPort: true, withIPv6: true }).map((host) => `node@${host}`),
);
const anyToken = fc.uint8Array({ minLength: 8, maxLength: 8 }).map(tokenText);
const anyPacket = fc.oneof(
  anyName.map((name) => encodeLocalRequest({ type: "register", name })),
  fc
    .tuple(anyName, anyName, fc.nat())
    .map(([target, from, timeoutMs]) => encodeLocalRequest({ type: "connect", target, from, timeoutMs })),
  anyToken.map((token) => encodeLocalRequest({ type: "accept", token })),
  fc.tuple(anyName, anyName).map(([target, from]) => encodeTunnelRequest({ target, from })),
  fc.string({ unit: "binary" }).map((reason) => encodeRefusal(new Refusal("notHere", reason))),
  anyToken.map(encodeNotice),
  fc.constantFrom(encodeAccepted(), encodeRegistered(true)),
);

/** A few packets, most of them with something wrong. */
function damaged(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const packets = Array.from(
    { length: 1 + random.integer(3) },
    () => corpus[random.integer(corpus.length)] as Uint8Array,
  );
  const stream = new Uint8Array(Buffer.concat(packets));
  for (let count = random.integer(4); count > 0; count--)
    stream[random.integer(stream.length)] = random.integer(256);
  return random.integer(4) === 0 ? stream.slice(0, random.integer(stream.length)) : stream;
}

function read(stream: Uint8Array, random: Random): void {
  const reader = new PacketReader();
  const packets: Uint8Array[] = [];
  tolerated(() => {
    for (let offset = 0; offset < stream.length; ) {
      const length = 1 + random.integer(100);
      reader.push(stream.subarray(offset, offset + length));
      offset += length;
      for (let packet = reader.next(); packet !== undefined; packet = reader.next()) packets.push(packet);
    }
  });
  const whole = new PacketReader();
  whole.push(stream);
  for (const packet of packets) {
    if (!same(packet, whole.next())) throw new Error("the packets depend on how the bytes arrive");
    understand(packet);
  }
}

function understand(packet: Uint8Array): void {
  const local = tolerated(() => decodeLocalRequest(packet));
  if (local !== undefined) {
    if (!same(packet, payload(encodeLocalRequest(local)))) throw new Error("a request is not what was read");
    for (const name of namesOf(local)) checkName(name);
  }
  const tunnel = tolerated(() => decodeTunnelRequest(packet));
  if (tunnel !== undefined) {
    if (!same(packet, payload(encodeTunnelRequest(tunnel))))
      throw new Error("a request is not what was read");
    checkName(tunnel.target);
  }
  let reason = "";
  tolerated(() => {
    try {
      decodeAnswer(packet);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      reason = error.message;
    }
  });
  if (/\p{Cc}/u.test(reason)) throw new Error("control characters of a peer in a message for people");
}

function namesOf(request: LocalRequest): readonly string[] {
  if (request.type === "register") return [request.name];
  return request.type === "connect" ? [request.target, request.from] : [];
}

function checkName(name: string): void {
  const address = tolerated(() => beamAddress(name));
  if (address === undefined) return;
  if (address.host === "" || !Number.isInteger(address.port) || address.port < 1 || address.port > 65_535) {
    throw new Error(`${JSON.stringify(name)} leads to ${JSON.stringify(address)}`);
  }
}

/** What `action` returns; `undefined` when it fails as it may. */
function tolerated<Value>(action: () => Value): Value | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof MeshError && expected.has(error.code)) return undefined;
    throw error;
  }
}

function payload(packet: Uint8Array): Uint8Array {
  return packet.subarray(2);
}

function same(one: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && Buffer.compare(one, other) === 0;
}
