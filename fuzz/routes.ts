import { MeshError, toError } from "../src/base/errors.ts";
import { nodeIdFromBytes } from "../src/base/node-id.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { hex } from "../src/base/text.ts";
import { identityCrypto } from "../src/io/crypto.ts";
import { sealCrypto } from "../src/io/seal-crypto.ts";
import { decodeMessage, encodeMessage, readRecord, signRecord } from "../src/kademlia/index.ts";
import { decodeLinkUse, encodeLinkUse } from "../src/ring/index.ts";
import {
  decodeChannelPacket,
  decodeFailure,
  decodePacket,
  encodeChannelPacket,
  encodeFailure,
  encodePacket,
} from "../src/routing/index.ts";
import { decodeGreeting, decodeSessionMessage, encodeGreeting } from "../src/session/index.ts";
import { standInCrypto } from "../src/sim/index.ts";

const { publicPoint } = sealCrypto(identityCrypto.generateKeyPair().privateKey);
const publicKey = new Uint8Array(91);
const crypto = standInCrypto(publicKey);

/** What one decoder reads: valid input, and that it comes back from the encoder as it was. */
interface Codec {
  readonly name: string;
  valid(random: Random): Uint8Array;
  /** Decodes, and encodes what it got. Not all encodings are the only ones: `undefined` when there is nothing to compare. */
  again(bytes: Uint8Array): Uint8Array | undefined;
}

const id = (random: Random) => nodeIdFromBytes(random.bytes(32));
const ids = (random: Random) => Array.from({ length: random.integer(20) }, () => id(random));

const codecs: readonly Codec[] = [
  {
    name: "packet",
    valid: (random) =>
      encodePacket({
        protocol: random.integer(4),
        variant: random.integer(256),
        visited: Array.from({ length: random.integer(40) }, () => ({
          high: random.integer(2 ** 24),
          low: random.integer(2 ** 24),
        })),
        target: id(random),
        source: id(random),
        payload: random.bytes(random.integer(60)),
      }),
    again: (bytes) => encodePacket(decodePacket(bytes)),
  },
  {
    name: "failure",
    valid: (random) =>
      encodeFailure({ reason: "busy", target: id(random), mark: random.bytes(random.integer(17)) }),
    again: (bytes) => encodeFailure(decodeFailure(bytes)),
  },
  {
    name: "channel packet",
    valid: (random) =>
      encodeChannelPacket({
        type: "start",
        channel: random.bytes(16),
        number: random.u32(),
        enc: publicPoint,
        sealed: random.bytes(16 + random.integer(60)),
      }),
    again: (bytes) => encodeChannelPacket(decodeChannelPacket(bytes)),
  },
  {
    name: "session",
    valid: (random) =>
      encodeGreeting({
        mine: 1 + random.integer(1_000),
        yours: random.u32(),
        ended: random.u32(),
        creation: random.u32(),
      }),
    again: (bytes) => encodeGreeting(decodeGreeting(bytes)),
  },
  {
    name: "session message",
    valid: (random) => encodeGreeting({ mine: 1 + random.integer(1_000), yours: 0, ended: 0, creation: 1 }),
    again: (bytes) => void decodeSessionMessage(bytes),
  },
  {
    name: "lookup",
    valid: (random) =>
      encodeMessage(
        random.integer(2) === 0
          ? { type: "nodes", id: random.u32(), nodes: ids(random) }
          : {
              type: "records",
              id: random.u32(),
              records: [random.bytes(20)],
              more: true,
              nodes: ids(random),
            },
      ),
    again: (bytes) => void decodeMessage(encodeMessage(decodeMessage(bytes))),
  },
  {
    name: "record",
    valid: (random) =>
      signRecord(
        {
          kind: random.integer(256),
          key: id(random),
          sequence: random.u32(),
          issuedMs: random.u32(),
          ttlMs: 1 + random.integer(1_000),
          value: random.bytes(random.integer(100)),
        },
        publicKey,
        crypto,
      ).bytes,
    again: (bytes) => readRecord(bytes, crypto).bytes,
  },
  {
    name: "link use",
    valid: () => encodeLinkUse("wanted"),
    again: (bytes) => void decodeLinkUse(bytes),
  },
];

/**
 * Throws damaged messages of ring, routing and Kademlia, and garbage, at their decoders for `seconds`; returns how many.
 * Each must be refused with a `MeshError`, or be exactly what the encoder makes of it.
 * @throws Error with the seed of the input that broke that promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  let runs = 0;
  for (; performance.now() < end; runs++) {
    const own = (seed + runs) >>> 0;
    const random = seededRandom(own);
    const codec = codecs[random.integer(codecs.length)] as Codec;
    const bytes = damaged(codec.valid(random), random);
    try {
      const again = codec.again(bytes);
      if (again !== undefined && hex(again) !== hex(bytes)) throw new Error("other bytes after a round trip");
    } catch (error) {
      if (error instanceof MeshError && (error.code === "DECODE" || error.code === "PROTOCOL")) continue;
      throw new Error(`fuzz routes: seed ${own}, ${codec.name} ${hex(bytes)}: ${toError(error).message}`, {
        cause: error,
      });
    }
  }
  return runs;
}

function damaged(valid: Uint8Array, random: Random): Uint8Array {
  if (random.integer(8) === 0) return random.bytes(random.integer(200));
  let bytes = valid.slice();
  for (let count = random.integer(4); count > 0 && bytes.length > 0; count--) {
    const where = random.integer(bytes.length);
    if (random.integer(3) > 0) bytes[where] = random.u32();
    else bytes = bytes.slice(0, where);
  }
  return bytes;
}
