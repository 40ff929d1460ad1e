import { describe, expect, test } from "vitest";
import { Writer } from "../../src/base/writer.ts";
import { Pid } from "../../src/etf/index.ts";
import { type Reader, ReadTurns } from "../../src/node/links/read-turns.ts";
import { encodeSignal } from "../../src/process/codec.ts";

import { deflatePayload } from "../../src/wire/compression.ts";
import { encodeFrame, frameFlag } from "../../src/wire/frame.ts";
import { frameType } from "../../src/wire/index.ts";
import { LinkNode } from "./support/link-node.ts";
import { RawPeer } from "./support/raw-peer.ts";

const mebibyte = 1_048_576;

/** Payload of a SEND of so many bytes from `peer` to `victim`. */
function sendOf(peer: RawPeer, victim: LinkNode, bytes: number): Uint8Array {
  const writer = new Writer(1_024);
  const from = new Pid(peer.name, 1, 0, 1);
  encodeSignal({ type: "send", from, to: victim.pid(), message: new Uint8Array(bytes) }, writer);
  return writer.take();
}

describe("docs/links.md, Bounds: frames of a link in a turn", () => {
  /** Streams whose frames have so many bytes, and what they read. */
  function readers(turns: ReadTurns, frames: readonly (readonly number[])[]): { readonly read: number[] } {
    const read: number[] = [];
    for (const [number, sizes] of frames.entries()) {
      const left = [...sizes];
      const reader: Reader = {
        read: () => {
          while (left.length > 0 && !turns.over) {
            turns.spend(left.shift() as number);
            read.push(number);
          }
          if (left.length > 0) turns.wait(reader);
        },
      };
      reader.read();
    }
    return { read };
  }

  test("streams share it, and take turns when it is used up", () => {
    let asked = 0;
    const turns = new ReadTurns(3, () => asked++);
    const { read } = readers(turns, [[1, 1, 1, 1, 1], [1, 1], [1]]);
    expect(read.splice(0)).toEqual([0, 0, 0]);
    turns.next();
    expect(read.splice(0)).toEqual([0, 0, 1]);
    turns.next();
    expect(read.splice(0)).toEqual([2, 1]);
    // Asked for each turn once, and not for another.
    expect(asked).toBe(2);
  });

  test("each 4 KiB of a payload count as a frame", () => {
    const turns = new ReadTurns(10, () => undefined);
    const { read } = readers(turns, [
      [0, 4_095, 8_192, 20_480],
      [16 * mebibyte, 0],
    ]);
    expect(read.splice(0)).toEqual([0, 0, 0, 0]);
    turns.next();
    expect(read.splice(0)).toEqual([1]);
    turns.next();
    expect(read.splice(0)).toEqual([1]);
  });

  /** Counts what is delivered between two rounds of the event loop; resolves with the most when all is there. */
  async function mostInATurn(victim: LinkNode, signals: () => number, all: number): Promise<number> {
    let most = 0;
    for (let before = 0; before < all; ) {
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, signals() - before);
      before = signals();
    }
    expect(victim.links.connected()).toHaveLength(1);
    return most;
  }

  test("many lanes at once get no more than one", async () => {
    await using victim = await LinkNode.start({ setup: { link: { turnFrameBudget: 4 } } });
    await using peer = await RawPeer.dial(victim);
    await peer.link();
    await victim.until(() => victim.links.connected().length === 1);
    const frame = encodeFrame(frameType.send, sendOf(peer, victim, 1));
    const lane = new Uint8Array(20 * frame.length);
    for (let offset = 0; offset < lane.length; offset += frame.length) lane.set(frame, offset);
    for (let lanes = 0; lanes < 32; lanes++) peer.lane().write(lane);
    // What the last turn left, and this one's.
    expect(await mostInATurn(victim, () => victim.count("signal"), 640)).toBeLessThanOrEqual(8);
  });

  test("what small compressed frames become counts, not what they are", async () => {
    await using victim = await LinkNode.start();
    await using peer = await RawPeer.dial(victim);
    await peer.link();
    await victim.until(() => victim.links.connected().length === 1);
    const deflated = deflatePayload(sendOf(peer, victim, mebibyte)) as Uint8Array;
    const frame = encodeFrame(frameType.send, deflated, frameFlag.compressed);
    const lane = new Uint8Array(40 * frame.length);
    for (let offset = 0; offset < lane.length; offset += frame.length) lane.set(frame, offset);
    peer.lane().write(lane);
    expect(await mostInATurn(victim, () => victim.count("signal"), 40)).toBeLessThanOrEqual(4);
  });
});
