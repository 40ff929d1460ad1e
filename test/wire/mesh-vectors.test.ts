import { createECDH } from "node:crypto";
import { describe, expect, test } from "vitest";
import { positionOf } from "../../src/base/id-space.ts";
import { type NodeId, nodeIdBytes, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { hex } from "../../src/base/text.ts";
import { at } from "../../src/base/time.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import { sealCrypto } from "../../src/io/seal-crypto.ts";
import { decodeMessage, encodeMessage, readRecord as readDirectoryRecord } from "../../src/kademlia/index.ts";
import { decodeRetire, encodeRetire } from "../../src/link/index.ts";
import { Boxes } from "../../src/mesh/boxes.ts";
import { decodeTrace } from "../../src/mesh/traces.ts";
import { decodeLinkUse, encodeLinkUse } from "../../src/ring/index.ts";
import { associated, decodeAck, decodeChannelPacket } from "../../src/routing/channel-packets.ts";
import { Incoming } from "../../src/routing/incoming.ts";
import {
  decodePacket,
  encodePacket,
  resolveChannelsOptions,
  type SealCrypto,
} from "../../src/routing/index.ts";
import { Outgoing } from "../../src/routing/outgoing.ts";
import { decodeFailure, encodeFailure, type FailureReason } from "../../src/routing/packet.ts";
import { decodeGreeting, decodeSessionMessage, encodeGreeting } from "../../src/session/index.ts";
import { isSignedBy, readAccusation } from "../../src/swim/accusation.ts";
import { decodePacket as decodeProbe, encodePacket as encodeProbe } from "../../src/swim/packet.ts";
import { readRecord } from "../../src/swim/record.ts";
import { decodeSync, encodeSync } from "../../src/swim/sync-messages.ts";
import vectors from "./mesh-vectors.json" with { type: "json" };

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const keys = new Map(
  vectors.nodes.map(({ name, scalar }) => [name, identityCrypto.keyPairFromScalar(bytesOf(scalar))]),
);
const keyOf = (name: string) => {
  const pair = keys.get(name);
  if (pair === undefined) throw new Error(`no node ${name}`);
  return pair;
};
const crypto = coreCrypto(keyOf("a").privateKey);

/** As in the vectors: bytes and node ids in hexadecimal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(value);
  if (typeof value === "string" && /^[a-z2-7]{52}$/.test(value)) return hex(nodeIdBytes(value as NodeId));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each)]));
  return value;
}

test.each(vectors.nodes)("node $name: key, point and id", ({ name, publicKey, point, id }) => {
  const pair = keyOf(name);
  expect(hex(pair.publicKey)).toBe(publicKey);
  expect(hex(sealCrypto(pair.privateKey).publicPoint)).toBe(point);
  expect(hex(crypto.sha256(pair.publicKey))).toBe(id);
});

describe("§7.4 PROBE", () => {
  test.each(vectors.records)("record: $title", ({ title, bytes, result, ...fields }) => {
    const read = readRecord(bytesOf(bytes), crypto);
    expect(typeof read === "string" ? read : "record", title).toBe(result);
    if (typeof read === "object") expect(plain(read)).toMatchObject(fields);
  });

  test.each(vectors.accusations)("accusation: $title", ({ title, bytes, result, signer, ...fields }) => {
    const read = readAccusation(bytesOf(bytes));
    if (read === "malformed") return expect(read, title).toBe(result);
    expect(plain(read)).toMatchObject(fields);
    expect(isSignedBy(read, keyOf(signer ?? "").publicKey, crypto) ? "signed" : "forged").toBe(result);
  });

  test.each(vectors.probes)("$title", ({ title, bytes, head, news }) => {
    const packet = decodeProbe(bytesOf(bytes));
    expect(plain(packet)).toEqual({ head, news });
    if (!title.includes("passed over")) expect(hex(encodeProbe(packet.head, packet.news))).toBe(bytes);
  });

  test.each(vectors.probesRefused)("refused: $title", ({ bytes }) => {
    expect(() => decodeProbe(bytesOf(bytes))).toThrow();
  });
});

describe("§7.5 MEMBERS", () => {
  test.each(vectors.members)("$title", ({ bytes, message }) => {
    const decoded = decodeSync(bytesOf(bytes), 1_000);
    const { living, ...expected } = message;
    expect(plain(decoded)).toEqual(expected);
    expect(hex(encodeSync(decoded))).toBe(bytes);
    if (living === undefined) return;
    // The hash, by its definition.
    const signatures = living.map((record) => bytesOf(record).subarray(-64).subarray(0, 8));
    const hash = Uint8Array.from({ length: 8 }, (_, index) =>
      signatures.reduce((sum, signature) => sum ^ (signature[index] as number), 0),
    );
    expect(bytes.slice(10)).toBe(hex(hash));
  });

  test.each(vectors.membersRefused)("refused: $title", ({ bytes }) => {
    expect(() => decodeSync(bytesOf(bytes), 1_000)).toThrow();
  });
});

test.each(vectors.linkUse)("§7.6 LINK_USE: $use", ({ bytes, use }) => {
  const decoded = decodeLinkUse(bytesOf(bytes));
  expect(decoded).toBe(use);
  expect(hex(encodeLinkUse(decoded))).toBe(bytes);
});

describe("§7.7 FORWARD", () => {
  test.each(vectors.forward)("$title", ({ title, bytes, visited, ...fields }) => {
    const packet = decodePacket(bytesOf(bytes));
    expect(plain({ ...packet, visited: [] }), title).toEqual({ ...fields, visited: [] });
    const positions = visited.map((start) => positionOf(nodeIdFromBytes(bytesOf(start.padEnd(64, "0")))));
    expect(packet.visited).toEqual(positions);
    expect(hex(encodePacket(packet))).toBe(bytes);
  });

  test.each(vectors.failures)("failure: $title", ({ bytes, reason, target, mark }) => {
    const failure = decodeFailure(bytesOf(bytes));
    expect(plain(failure)).toEqual({ reason, target, mark });
    expect(hex(encodeFailure({ ...failure, reason: reason as FailureReason }))).toBe(bytes);
  });
});

describe("§7.8 channel from a to b, whose random choices are given", () => {
  const { from, to, acceptScalar, startScalar, acknowledged, ...wire } = vectors.channel;

  function sealOf(name: string, ephemeralScalar: string): SealCrypto {
    const pair = createECDH("prime256v1");
    pair.setPrivateKey(Buffer.from(ephemeralScalar, "hex"));
    return {
      ...sealCrypto(keyOf(name).privateKey),
      ephemeral: () => ({
        publicPoint: new Uint8Array(pair.getPublicKey()),
        agree: (point) => new Uint8Array(pair.computeSecret(point)),
      }),
    };
  }

  test("OPEN, ACCEPT, START, DATA and ACK are these bytes", () => {
    const sent: string[] = [];
    const b = sealOf(to, acceptScalar);
    const emit = (packet: Uint8Array): unknown => sent.push(hex(packet));
    const options = resolveChannelsOptions();
    const target = b.nodeIdOf(b.publicPoint);
    const outgoing = new Outgoing(
      target,
      bytesOf(wire.channel),
      sealOf(from, startScalar),
      options,
      emit,
      at(0),
    );
    for (const [token, message] of wire.messages.entries())
      outgoing.push({ token, message: bytesOf(message) }, at(0));
    const open = decodeChannelPacket(bytesOf(wire.open));
    if (open.type !== "open") throw new Error(open.type);
    const incoming = Incoming.answering(open, b, 256, { usedBytes: 0, mostBytes: 1e6 }, at(0));
    if (incoming === undefined) throw new Error("no channel");
    expect(hex(incoming.accept)).toBe(wire.accept);
    const accept = decodeChannelPacket(bytesOf(wire.accept));
    if (accept.type !== "accept") throw new Error(accept.type);
    expect(outgoing.onAccept(accept, at(1))).toBe("ok");
    expect(sent).toEqual([wire.open, wire.start]);
    const received = [wire.start, wire.data].map((text) => {
      const packet = decodeChannelPacket(bytesOf(text));
      if (packet.type !== "start" && packet.type !== "data") throw new Error(packet.type);
      expect(incoming.receive(packet, at(2))).toBe("new");
      return hex(incoming.take() ?? new Uint8Array());
    });
    expect(received).toEqual(wire.messages);
    const ack = decodeChannelPacket(bytesOf(wire.ack));
    if (ack.type !== "ack") throw new Error(ack.type);
    expect(outgoing.onAck(ack, at(3))).toBe("ok");
  });

  test("what ACK says", () => {
    const { number, sealed, ...ack } = decodeChannelPacket(bytesOf(wire.ack)) as never as {
      readonly number: number;
      readonly sealed: Uint8Array;
      readonly channel: Uint8Array;
    };
    expect([hex(ack.channel), number, sealed.length]).toEqual([wire.channel, 1, 12 + 16]);
    expect(associated(ack.channel, number)).toHaveLength(22);
    const { next, received, room } = acknowledged;
    const text = [next.toString(16).padStart(12, "0"), received.toString(16).padStart(8, "0")];
    expect(decodeAck(bytesOf([...text, room.toString(16).padStart(4, "0")].join("")))).toEqual(acknowledged);
  });
});

describe("§7.9 LOOKUP", () => {
  test.each(vectors.directory)("record: $title", ({ title, bytes, result, ...fields }) => {
    let said = "record";
    try {
      expect(plain(readDirectoryRecord(bytesOf(bytes), crypto))).toMatchObject(fields);
    } catch (error) {
      said = error instanceof Error && error.message.includes("did not sign") ? "forged" : "malformed";
    }
    expect(said, title).toBe(result);
  });

  test.each(vectors.lookups)("$title", ({ bytes, message }) => {
    const decoded = decodeMessage(bytesOf(bytes));
    expect(plain(decoded)).toEqual(message);
    expect(hex(encodeMessage(decoded))).toBe(bytes);
  });
});

describe("§7.7 sealed datagrams, TRACE", () => {
  test.each(vectors.datagrams)("$title", ({ from, to, type, payload, bytes }) => {
    const idOf = (name: string): NodeId => nodeIdFromBytes(crypto.sha256(keyOf(name).publicKey));
    const random = { ...seededRandom(1), bytes: (length: number) => bytesOf(bytes).slice(0, length) };
    const boxes = (own: string, other: string): Boxes =>
      new Boxes(idOf(own), sealCrypto(keyOf(own).privateKey), random, () => keyOf(other).publicKey);
    expect(hex(boxes(from, to).seal(idOf(to), type, bytesOf(payload)) ?? bytesOf(""))).toBe(bytes);
    expect(plain(boxes(to, from).open(idOf(from), bytesOf(bytes)))).toEqual({ type, payload });
    // Not for whoever it was not sealed for, nor after a change.
    expect(boxes("c", from).open(idOf(from), bytesOf(bytes))).toBeUndefined();
    const changed = bytesOf(bytes);
    changed[20] = (changed[20] as number) ^ 1;
    expect(boxes(to, from).open(idOf(from), changed)).toBeUndefined();
  });

  test.each(vectors.traces)("$bytes", ({ bytes, id, path }) => {
    expect(decodeTrace(bytesOf(bytes))).toEqual({ id, path });
  });
});

describe("§7.8 SESSION", () => {
  test.each(vectors.sessions)("$title", ({ bytes, title: _title, frames, ...fields }) => {
    if (frames === undefined) {
      expect(decodeGreeting(bytesOf(bytes))).toEqual(fields);
      expect(hex(encodeGreeting(fields))).toBe(bytes);
    } else expect(plain(decodeSessionMessage(bytesOf(bytes)))).toEqual({ ...fields, bytes: frames });
  });

  test.each(vectors.sessionsRefused)("refused: $title", ({ bytes }) => {
    expect(() => decodeSessionMessage(bytesOf(bytes))).toThrow();
  });
});

describe("§7.10 RETIRE", () => {
  test.each(vectors.retire)("$says", ({ bytes, says }) => {
    expect(decodeRetire(bytesOf(bytes))).toBe(says === "all_read");
    expect(hex(encodeRetire(says === "all_read"))).toBe(bytes);
  });
});
