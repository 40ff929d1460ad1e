import { describe, expect, test } from "vitest";
import { standInSeal } from "../../sim/stand-in-seal.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { decodeChannelPacket } from "../../src/routing/channel-packets.ts";
import { Incoming } from "../../src/routing/incoming.ts";
import { resolveChannelsOptions } from "../../src/routing/index.ts";
import { Outgoing } from "../../src/routing/outgoing.ts";
import { standInPublicKey } from "../../src/sim/stand-in-crypto.ts";

test("what arrived behind something lost, and was never delivered for it, is lost, too, in order", () => {
  const random = seededRandom(1);
  const [own, other] = [
    standInSeal(standInPublicKey(random), random),
    standInSeal(standInPublicKey(random), random),
  ];
  const packets: Uint8Array[] = [];
  const outgoing = new Outgoing(
    other.nodeIdOf(other.publicPoint),
    random.bytes(16),
    own,
    resolveChannelsOptions(),
    (payload) => packets.push(payload),
    at(0),
  );
  for (const token of [10, 11, 12, 13]) outgoing.push({ token, message: Uint8Array.of(token) }, at(0));
  const open = decodeChannelPacket(packets[0] as Uint8Array);
  if (open.type !== "open") throw new Error(open.type);
  const incoming = Incoming.answering(open, other, 256, { usedBytes: 0, mostBytes: 1e6 }, at(0));
  const accept = decodeChannelPacket(incoming?.accept as Uint8Array);
  if (accept.type !== "accept") throw new Error(accept.type);
  outgoing.onAccept(accept, at(1));
  const delivered: number[] = [];
  // The first tells that there is room for more; then the second never arrives.
  for (const indices of [[1], [3, 4]]) {
    for (const index of indices) {
      const packet = decodeChannelPacket(packets[index] as Uint8Array);
      if (packet.type !== "start" && packet.type !== "data") throw new Error(packet.type);
      expect(incoming?.receive(packet, at(2))).toBe("new");
      for (let each = incoming?.take(); each !== undefined; each = incoming?.take())
        delivered.push(each[0] as number);
    }
    const ack = decodeChannelPacket(incoming?.acknowledge(false) as Uint8Array);
    if (ack.type !== "ack") throw new Error(ack.type);
    outgoing.onAck(ack, at(3));
  }
  expect(delivered).toEqual([10]);
  expect(outgoing.tick(at(20_000))).toBe("no_route");
  expect(outgoing.remains().map(({ token }) => token)).toEqual([11, 12, 13]);
});

describe("somebody says that there is no route", () => {
  function opened(): { outgoing: Outgoing; packets: Uint8Array[] } {
    const random = seededRandom(2);
    const [own, other] = [
      standInSeal(standInPublicKey(random), random),
      standInSeal(standInPublicKey(random), random),
    ];
    const packets: Uint8Array[] = [];
    const emit = (payload: Uint8Array): unknown => packets.push(payload);
    const target = other.nodeIdOf(other.publicPoint);
    const outgoing = new Outgoing(target, random.bytes(16), own, resolveChannelsOptions(), emit, at(0));
    outgoing.push({ token: 1, message: Uint8Array.of(1) }, at(0));
    return { outgoing, packets };
  }

  test("of a packet that he has not seen: he is not believed, however often", () => {
    const { outgoing } = opened();
    const random = seededRandom(3);
    for (let count = 0; count < 1_000; count++) outgoing.onFailure("no_route", random.bytes(16), at(10));
    expect(outgoing.tick(at(1_100))).toBe("go on");
  });

  test("of one that he has: the eighth time in a row he is", () => {
    const { outgoing, packets } = opened();
    const mark = (packets[0] as Uint8Array).subarray(-16);
    for (let count = 0; count < 7; count++) outgoing.onFailure("no_route", mark, at(10));
    expect(outgoing.tick(at(20))).toBe("go on");
    outgoing.onFailure("no_route", mark, at(30));
    expect(outgoing.tick(at(40))).toBe("no_route");
  });
});
