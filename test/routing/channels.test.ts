import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { standInSeal } from "../../sim/stand-in-seal.ts";
import type { NodeId } from "../../src/base/node-id.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { sealCrypto } from "../../src/io/seal-crypto.ts";
import {
  Channels,
  type ChannelsInput,
  type ChannelsOptions,
  type ChannelsOutput,
  resolveChannelsOptions,
  type SealCrypto,
} from "../../src/routing/index.ts";
import { standInPublicKey } from "../../src/sim/stand-in-crypto.ts";

interface End {
  readonly id: NodeId;
  readonly channels: Channels;
  /** What was delivered, by channel or link, in order. */
  readonly received: number[];
  readonly said: ChannelsOutput[];
}

/** Two nodes and a network between them that loses, doubles and reorders. */
class Pair {
  readonly random: Random;
  readonly a: End;
  readonly b: End;
  now = 0;
  lossRate = 0;
  duplicateRate = 0;
  /** Every packet that was ever sent, as a relay sees it. */
  readonly seen: { readonly to: End; readonly payload: Uint8Array }[] = [];
  #events: { due: number; sequence: number; run: () => void }[] = [];
  #sequence = 0;

  constructor(seed: number, options: ChannelsOptions = {}, crypto?: readonly [SealCrypto, SealCrypto]) {
    this.random = seededRandom(seed);
    const make = (own: SealCrypto): End => ({
      id: own.nodeIdOf(own.publicPoint),
      channels: new Channels(resolveChannelsOptions(options), own, seededRandom(this.random.u32())),
      received: [],
      said: [],
    });
    const standIn = () => standInSeal(standInPublicKey(this.random), this.random);
    this.a = make(crypto?.[0] ?? standIn());
    this.b = make(crypto?.[1] ?? standIn());
  }

  send(from: End, value: number): void {
    const message = new Uint8Array(4);
    new DataView(message.buffer).setUint32(0, value);
    this.tell(from, { type: "send", to: this.#other(from).id, token: value, message });
  }

  tell(end: End, input: ChannelsInput): void {
    end.channels.handle(input, at(this.now));
    for (let output = end.channels.poll(); output !== undefined; output = end.channels.poll())
      this.#act(end, output);
  }

  later(delayMs: number, run: () => void): void {
    this.#events.push({ due: this.now + delayMs, sequence: this.#sequence++, run });
    this.#events.sort((x, y) => x.due - y.due || x.sequence - y.sequence);
  }

  run(forMs: number): void {
    const end = this.now + forMs;
    for (;;) {
      const dues = [this.a, this.b].map(({ channels }) => channels.deadline() ?? Infinity);
      const next = Math.min(this.#events[0]?.due ?? Infinity, ...dues);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if ((this.#events[0]?.due ?? Infinity) <= this.now) this.#events.shift()?.run();
      else for (const each of [this.a, this.b]) this.tell(each, { type: "tick" });
    }
    this.now = end;
  }

  #other(end: End): End {
    return end === this.a ? this.b : this.a;
  }

  #act(end: End, output: ChannelsOutput): void {
    const other = this.#other(end);
    if (output.type === "packet") {
      this.seen.push({ to: other, payload: output.payload });
      const copies =
        this.random.float() < this.lossRate ? 0 : this.random.float() < this.duplicateRate ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        this.later(5 + this.random.integer(60), () => this.packet(end, other, output.payload));
      }
    } else if (output.type === "reset") {
      this.later(10, () => this.tell(other, { type: "reset", from: end.id, channel: output.channel }));
    } else if (output.type === "deliver") {
      expect(output.from).toBe(other.id);
      end.received.push(new DataView(output.message.buffer, output.message.byteOffset).getUint32(0));
    } else {
      end.said.push(output);
    }
  }

  packet(from: End, to: End, payload: Uint8Array): void {
    this.tell(to, { type: "packet", source: from.id, via: from.id, payload });
  }
}

const numbers = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

describe("without a link", () => {
  test("messages arrive once and in order, whatever is lost, doubled and reordered", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.nat(30),
        fc.nat(50),
        fc.integer({ min: 1, max: 120 }),
        (seed, loss, twice, count) => {
          const pair = new Pair(seed);
          pair.lossRate = loss / 100;
          pair.duplicateRate = twice / 100;
          for (const each of numbers(0, count)) {
            pair.send(pair.a, each);
            pair.send(pair.b, each);
            pair.run(pair.random.integer(20));
          }
          pair.run(120_000);
          expect(pair.b.received).toEqual(numbers(0, count));
          expect(pair.a.received).toEqual(numbers(0, count));
          expect([...pair.a.said, ...pair.b.said].filter(({ type }) => type === "lost")).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("what is given up is said to be lost, in order, and what follows takes a new channel", () => {
    const pair = new Pair(1);
    pair.lossRate = 1;
    for (const each of numbers(0, 5)) pair.send(pair.a, each);
    pair.run(20_000);
    expect(pair.a.said).toMatchObject([
      ...numbers(0, 5).map((token) => ({ type: "lost", token, reason: "no_route" })),
      { type: "settled" },
    ]);
    pair.lossRate = 0;
    pair.send(pair.a, 9);
    pair.run(5_000);
    expect(pair.b.received).toEqual([9]);
  });

  test("when those on the way say again and again that there is no route, it is believed soon", () => {
    const pair = new Pair(1, { noRouteMax: 3 });
    pair.lossRate = 1;
    pair.send(pair.a, 1);
    for (let count = 0; count < 3; count++) {
      const { payload } = pair.seen.at(-1) as { payload: Uint8Array };
      pair.tell(pair.a, {
        type: "undeliverable",
        target: pair.b.id,
        reason: "no_route",
        mark: payload.subarray(-16),
      });
      pair.run(300);
    }
    expect(pair.a.said).toMatchObject([{ type: "lost", token: 1 }, { type: "settled" }]);
  });

  test("a receiver that pauses holds the sender back, and loses nothing", () => {
    const pair = new Pair(1, { windowMax: 16 });
    pair.tell(pair.b, { type: "pause", from: pair.a.id, paused: true });
    for (const each of numbers(0, 500)) pair.send(pair.a, each);
    pair.run(60_000);
    expect(pair.b.received).toEqual([]);
    expect(pair.b.channels.sizes.reorderBytes).toBeLessThanOrEqual(16 * 4);
    expect(pair.a.channels.waitingBytes(pair.b.id)).toBe(2_000);
    pair.tell(pair.b, { type: "pause", from: pair.a.id, paused: false });
    pair.run(60_000);
    expect(pair.b.received).toEqual(numbers(0, 500));
    expect(pair.a.said).toEqual([{ type: "settled", to: pair.b.id }]);
  });

  test("the queue of a node has a bound", () => {
    const pair = new Pair(1, { queueBytesMax: 10 });
    for (const each of numbers(0, 4)) pair.send(pair.a, each);
    expect(pair.a.said).toEqual([2, 3].map((token) => ({ type: "refused", to: pair.b.id, token })));
  });

  test("a receiver that has forgotten the channel gets what it has not acknowledged by another, soon", () => {
    const pair = new Pair(1);
    pair.send(pair.a, 1);
    pair.run(5_000);
    pair.tell(pair.b, { type: "memberDown", id: pair.a.id });
    for (const each of numbers(2, 40)) pair.send(pair.a, each);
    pair.run(2_000);
    expect(pair.b.received).toEqual(numbers(1, 41));
    expect(pair.a.said.filter(({ type }) => type === "lost")).toEqual([]);
    // Of another channel, or of one that is not used any more: nothing happens.
    pair.tell(pair.a, { type: "reset", from: pair.b.id, channel: new Uint8Array(16) });
    pair.send(pair.a, 42);
    pair.run(1_000);
    expect(pair.b.received.at(-1)).toBe(42);
  });

  test("channels that nobody uses are forgotten", () => {
    const pair = new Pair(1, { idleMs: 30_000 });
    pair.send(pair.a, 1);
    pair.run(200_000);
    for (const end of [pair.a, pair.b]) {
      expect(end.channels.sizes).toEqual({ incoming: 0, reorderBytes: 0, peers: 0 });
      expect(end.channels.deadline()).toBeUndefined();
    }
  });
});

describe("settled", () => {
  test("is said once what was sent has been delivered, and not before", () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(30), (seed, loss) => {
        const pair = new Pair(seed);
        pair.lossRate = loss / 100;
        let value = 0;
        for (let round = 0; round < 4; round++) {
          for (let count = 0; count < 20; count++) pair.send(pair.a, value++);
          while (!pair.a.said.some(({ type }) => type === "settled")) pair.run(1);
          expect(pair.b.received).toEqual(numbers(0, value));
          expect(pair.a.said.splice(0)).toEqual([{ type: "settled", to: pair.b.id }]);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("is said after what is lost", () => {
    const pair = new Pair(1);
    pair.lossRate = 1;
    pair.send(pair.a, 1);
    pair.run(20_000);
    expect(pair.a.said.map(({ type }) => type)).toEqual(["lost", "settled"]);
  });
});

describe("relays that are hostile, with the real primitives", () => {
  const own = (): SealCrypto => sealCrypto(identityCrypto.generateKeyPair().privateKey);

  test("what passes cannot be read, altered, or played again", () => {
    const pair = new Pair(1, {}, [own(), own()]);
    const secret = 0x5ec2e7aa;
    pair.send(pair.a, secret);
    pair.send(pair.a, 2);
    pair.run(5_000);
    expect(pair.b.received).toEqual([secret, 2]);
    const text = Buffer.from([0x5e, 0xc2, 0xe7, 0xaa]);
    for (const { payload } of pair.seen) expect(Buffer.from(payload).includes(text)).toBe(false);
    // Everything again, in each direction, also to a receiver that has lost its memory.
    const packets = [...pair.seen];
    for (const { to, payload } of packets) pair.packet(to === pair.b ? pair.a : pair.b, to, payload);
    pair.run(100);
    expect(pair.b.received).toEqual([secret, 2]);
    expect(pair.a.received).toEqual([]);
    const fresh = new Pair(2, {}, [own(), own()]);
    for (const { to, payload } of packets) {
      if (to === pair.b) fresh.tell(fresh.b, { type: "packet", source: pair.a.id, via: pair.a.id, payload });
    }
    expect(fresh.b.received).toEqual([]);
  });

  test("a receiver that was restarted is not moved by what its former life was sent", () => {
    const keys = [own(), own()] as const;
    const before = new Pair(1, {}, keys);
    before.send(before.a, 1);
    before.run(5_000);
    expect(before.b.received).toEqual([1]);
    const after = new Pair(2, {}, keys);
    for (let round = 0; round < 3; round++) {
      for (const { to, payload } of before.seen) if (to === before.b) after.packet(after.a, after.b, payload);
    }
    expect(after.b.received).toEqual([]);
    expect(after.b.channels.counters.forged).toBeGreaterThan(0);
  });

  test("each altered byte of each packet is counted and ignored, and the messages arrive", () => {
    for (const kind of [1, 2, 3, 5]) {
      const pair = new Pair(1, { agreementsPerSecond: 10_000 }, [own(), own()]);
      pair.lossRate = 1;
      pair.send(pair.a, 1);
      for (let step = 0; step < 4; step++) {
        const { to, payload } = pair.seen.at(-1) as { to: End; payload: Uint8Array };
        const from = to === pair.b ? pair.a : pair.b;
        if (payload[0] === kind) {
          const received = pair.b.received.length;
          for (let index = 1; index < payload.length; index += kind === 5 ? 1 : 7) {
            const changed = payload.slice();
            changed[index] = (changed[index] as number) ^ 1;
            pair.packet(from, to, changed);
          }
          expect(pair.b.received).toHaveLength(received);
        }
        pair.packet(from, to, payload);
      }
      pair.lossRate = 0;
      pair.run(10_000);
      expect(pair.b.received).toEqual([1]);
    }
  });

  test("somebody else cannot pass for the sender, nor make us agree on keys without end", () => {
    const pair = new Pair(1, { agreementsPerSecond: 20 }, [own(), own()]);
    const eve = new Pair(2, {}, [own(), own()]);
    eve.send(eve.a, 7);
    const { payload } = eve.seen[0] as { payload: Uint8Array };
    pair.packet(pair.a, pair.b, payload);
    expect(pair.b.channels.counters.forged).toBe(1);
    for (let count = 0; count < 200; count++) {
      const open = payload.slice();
      open[1] = count;
      pair.tell(pair.b, { type: "packet", source: eve.a.id, via: pair.a.id, payload: open });
    }
    expect(pair.b.channels.counters.limited).toBe(180);
    expect(pair.b.channels.sizes.incoming).toBe(1);
  });

  test("channels that are opened and never used make room for others", () => {
    const pair = new Pair(1, { incomingMax: 4 }, [own(), own()]);
    for (let count = 0; count < 10; count++) {
      const eve = new Pair(10 + count, {}, [own(), own()]);
      eve.send(eve.a, 7);
      const { payload } = eve.seen[0] as { payload: Uint8Array };
      pair.tell(pair.b, { type: "packet", source: eve.a.id, via: eve.a.id, payload });
      pair.run(10);
    }
    expect(pair.b.channels.sizes.incoming).toBe(4);
    pair.send(pair.a, 1);
    pair.run(5_000);
    expect(pair.b.received).toEqual([1]);
  });

  test("garbage is counted and ignored", () => {
    const pair = new Pair(1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
        pair.packet(pair.a, pair.b, payload);
      }),
    );
    expect(pair.b.received).toEqual([]);
  });
});
