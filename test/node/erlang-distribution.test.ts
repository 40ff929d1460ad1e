import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import type { MeshError } from "../../src/base/errors.ts";
import { decodeControl, type NodeNames } from "../../src/erlang/index.ts";
import { encode, Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import { monotonicNow } from "../../src/io/clock.ts";
import { erlangDigest } from "../../src/io/erlang-cookie.ts";
import { systemRandom } from "../../src/io/random.ts";
import { Distribution } from "../../src/node/erlang/distribution.ts";
import type { ErlangNews, ErlangRoute } from "../../src/node/erlang/types.ts";
import type { LinkDelivery } from "../../src/node/links/types.ts";
import type { Signal } from "../../src/process/signals.ts";
import { duplexPair } from "../erlang/support/duplex-pair.ts";
import { RawErlang } from "../erlang/support/raw-erlang.ts";
import { deferred } from "./support/nodes.ts";

/* One end of the distribution against a peer that does what no Erlang node does. */

const own = "ts@localhost";
const peerName = "raw@localhost";
const cookie = "COOKIE";
const names: NodeNames = {
  own,
  toPeer: String,
  fromPeer: String,
  heard: String,
  introduced: () => undefined,
};
const ours = new Pid(own, 1, 0, 5);
const theirs = new Pid(peerName, 1, 0, 7);
const ref = new Reference(own, 5, [1, 0, 0]);

class World {
  readonly deliveries: LinkDelivery[] = [];
  readonly news: ErlangNews[] = [];
  readonly distribution: Distribution;
  /** What the route opens next. */
  opens: () => Promise<Duplex> = () => Promise.reject(new Error("nobody there"));
  readonly route: ErlangRoute = { names, open: () => this.opens() };
  #waiting: (() => void)[] = [];

  constructor(tickTimeMs = 60_000) {
    this.distribution = new Distribution({
      name: own,
      creation: 5,
      digest: erlangDigest(cookie),
      random: systemRandom,
      clock: monotonicNow,
      handshakeTimeoutMs: 5_000,
      connectionsMax: 100,
      failures: { baseMs: 60_000, maxMs: 60_000, rememberedMax: 10 },
      tickTimeMs,
      calls: { makeReference: () => ref, caller: () => ours },
      isTaken: (node) => node === "taken@localhost",
      takeOver: () => [],
      deliver: (delivery) => {
        this.deliveries.push(delivery);
        this.#wake();
      },
      onNews: (news) => {
        this.news.push(news);
        this.#wake();
      },
    });
    worlds.push(this);
  }

  /** A peer that dialled and is connected. */
  async connected(name = peerName): Promise<RawErlang> {
    const [here, there] = duplexPair();
    const raw = new RawErlang(there, { role: "dialler", name, cookie });
    this.distribution.accept(here, this.route, "memory");
    await raw.ready;
    return raw;
  }

  async until<Value>(condition: () => Value | undefined): Promise<Value> {
    for (;;) {
      const value = condition();
      if (value !== undefined) return value;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The error with which the peer was lost. */
  down(): Promise<MeshError> {
    return this.until(() => {
      const down = this.news.find(({ type }) => type === "down");
      return down?.type === "down" ? down.error : undefined;
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const worlds: World[] = [];
afterEach(async () => {
  await Promise.all(worlds.splice(0).map(({ distribution }) => distribution.close()));
});

function packet(...terms: readonly Term[]): Uint8Array {
  return new Uint8Array(Buffer.concat([Uint8Array.of(112), ...terms.map((term) => encode(term))]));
}

const send: Signal = { type: "send", from: ours, to: theirs, message: 1 };

describe("a distribution connection", () => {
  test("tells the runtime once that a node is up, what it says, and once that it is down", async () => {
    const world = new World();
    const raw = await world.connected();
    raw.send(packet(tuple(22, theirs, ours), "hello"));
    await world.until(() => world.deliveries.find(({ type }) => type === "signal"));
    expect(world.distribution.connected()).toEqual([peerName]);
    world.distribution.disconnect(peerName);
    await raw.closed;
    expect(world.deliveries).toMatchObject([
      { type: "nodeUp", node: peerName, creation: 7 },
      { type: "signal", node: peerName, signal: { type: "send", message: "hello" } },
      { type: "nodeDown", node: peerName },
    ]);
    expect(world.news.map(({ type }) => type)).toEqual(["up", "down"]);
  });

  test.each([
    ["a packet of an unknown type", Uint8Array.of(131, 68, 0), "PROTOCOL"],
    ["an unknown operation", packet(tuple(77, theirs)), "PROTOCOL"],
    ["garbage for a term", Uint8Array.of(112, 131, 250), "DECODE"],
    ["leftovers", packet(tuple(1, theirs, ours), 1), "DECODE"],
  ])("ends with a reason: %s", async (_name, bytes, code) => {
    const world = new World();
    const raw = await world.connected();
    raw.send(bytes);
    expect(await world.down()).toMatchObject({ code });
    await raw.closed;
  });

  test("ends with LIMIT for a length that no message has", async () => {
    const world = new World();
    const raw = await world.connected();
    raw.raw(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    expect(await world.down()).toMatchObject({ code: "LIMIT" });
  });

  test("a peer that goes silent is given up; one that only ticks is not, and is ticked in turn", async () => {
    const world = new World(200);
    const silent = await world.connected();
    expect(await world.down()).toMatchObject({ code: "TIMEOUT" });
    await silent.closed;
    const other = new World(200);
    const ticking = await other.connected();
    let ticks = 0;
    await new Promise<void>((resolve) => {
      ticking.onPacket = (bytes) => {
        expect(bytes).toHaveLength(0);
        ticking.send(new Uint8Array(0));
        // More of them than silence would have allowed.
        if (++ticks === 10) resolve();
      };
    });
    expect(other.distribution.connected()).toEqual([peerName]);
  });

  test("while its stream is paused nothing is read, ticks go out, and the peer counts as alive", async () => {
    const world = new World(200);
    const raw = await world.connected();
    world.distribution.pause(peerName);
    raw.send(packet(tuple(22, theirs, ours), 1));
    let ticks = 0;
    await new Promise<void>((resolve) => {
      raw.onPacket = () => {
        if (++ticks === 10) resolve();
      };
    });
    expect(world.deliveries.map(({ type }) => type)).toEqual(["nodeUp"]);
    world.distribution.resume(peerName);
    await world.until(() => world.deliveries.find(({ type }) => type === "signal"));
  });

  test("says false above its mark, tells when it is drained, throws LIMIT when nobody waits", async () => {
    const world = new World();
    const [here, there] = duplexPair();
    const raw = new RawErlang(there, { role: "dialler", name: peerName, cookie });
    world.distribution.accept(here, world.route, "memory");
    await raw.ready;
    there.pause();
    const message = new Uint8Array(600_000);
    const big: Signal = { ...send, message };
    expect(world.distribution.send(peerName, 3, 0, big)).toBe(true);
    expect(world.distribution.send(peerName, 3, 0, big)).toBe(false);
    expect(() => {
      for (let index = 0; index < 200; index++) world.distribution.send(peerName, 4, 0, big);
    }).toThrow(expect.objectContaining({ code: "LIMIT" }) as Error);
    there.resume();
    const lanes = await world.until(() => {
      const drained = world.deliveries.flatMap((delivery) =>
        delivery.type === "drained" ? [delivery.lane] : [],
      );
      return drained.length >= 2 ? drained : undefined;
    });
    expect(lanes.sort((a, b) => a - b)).toEqual([3, 4]);
  });

  test("what cannot be sent is the sender's error, and nothing is sent", async () => {
    const world = new World();
    const raw = await world.connected();
    const bad = { ...send, message: Number.NaN } as Signal;
    expect(() => world.distribution.send(peerName, 0, 0, bad)).toThrow(
      expect.objectContaining({ code: "ENCODE" }) as Error,
    );
    const received = new Promise<Uint8Array>((resolve) => {
      raw.onPacket = resolve;
    });
    world.distribution.send(peerName, 0, 0, send);
    expect(decodeControl(await received, { node: own, creation: 5, names })).toMatchObject({
      type: "send",
      message: 1,
    });
  });

  test("a name that is ours or taken is refused; who says nothing is limited, and more so from one host", async () => {
    const world = new World();
    for (const name of [own, "taken@localhost"]) {
      await expect(world.connected(name)).rejects.toMatchObject({ code: "REFUSED" });
    }
    const streams = Array.from({ length: 100 }, () => duplexPair());
    const refused = (from: number, to: number): number =>
      streams.slice(from, to).filter(([here]) => here.destroyed).length;
    for (const [index, [here]] of streams.entries()) {
      world.distribution.accept(here, world.route, `10.0.0.${index < 40 ? 1 : index}:${index}`);
    }
    expect(refused(0, 40)).toBe(8);
    expect(refused(40, 72)).toBe(0);
    expect(refused(72, 100)).toBe(28);
  });

  test("a node that comes back on a new connection replaces the old one: down, then up", async () => {
    const world = new World();
    const old = await world.connected();
    await world.connected();
    await old.closed;
    expect(world.deliveries.map(({ type }) => type)).toEqual(["nodeUp", "nodeDown", "nodeUp"]);
  });

  test("what is sent while it is dialled arrives in order; when the dial fails all are told, once", async () => {
    const world = new World();
    const [here, there] = duplexPair();
    const opening = deferred<(stream: Duplex) => void>();
    world.opens = () => new Promise((resolve) => opening.resolve(resolve));
    world.distribution.want(peerName, world.route);
    for (let message = 0; message < 3; message++)
      world.distribution.send(peerName, 1, 0, { ...send, message });
    const connected = world.distribution.connect(peerName);
    const raw = new RawErlang(there, { role: "listener", name: peerName, cookie });
    const messages: Term[] = [];
    const all = new Promise<void>((resolve) => {
      raw.onPacket = (bytes) => {
        const signal = decodeControl(bytes, { node: own, creation: 5, names });
        if (signal?.type === "send") messages.push(signal.message);
        if (messages.length === 3) resolve();
      };
    });
    (await opening.promise)(here);
    await connected;
    await all;
    expect(messages).toEqual([0, 1, 2]);
    const failing = new World();
    failing.distribution.want(peerName, failing.route);
    failing.distribution.send(peerName, 1, 0, send);
    await expect(failing.distribution.connect(peerName)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(failing.deliveries).toMatchObject([{ type: "nodeDown", node: peerName }]);
    expect(failing.distribution.has(peerName)).toBe(false);
  });

  test("a node that was not reached is dialled again at once by connect only", async () => {
    const world = new World();
    let dials = 0;
    world.opens = () => {
      dials++;
      return Promise.reject(new Error("nobody there"));
    };
    const attempt = (): Promise<void> => {
      world.distribution.want(peerName, world.route);
      return world.distribution.connect(peerName);
    };
    await expect(attempt()).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    await expect(attempt()).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(dials).toBe(2);
    // Sending waits, for half a minute at least.
    world.distribution.want(peerName, world.route);
    world.distribution.send(peerName, 0, 0, send);
    await new Promise((resolve) => setImmediate(resolve));
    expect(dials).toBe(2);
    // Unless the node comes by itself: then it gets what waits.
    const raw = await world.connected();
    await expect.poll(() => raw.packets.at(-1)?.[0]).toBe(112);
  });

  test("close ends what is connected, being dialled and shaking hands, and may be called twice", async () => {
    const world = new World();
    const raw = await world.connected();
    const [waiting] = duplexPair();
    world.distribution.accept(waiting, world.route, "memory");
    const opening = deferred<AbortSignal>();
    world.distribution.want("other@localhost", {
      names,
      open: (_node, signal) => {
        opening.resolve(signal);
        return new Promise(() => undefined);
      },
    });
    const signal = await opening.promise;
    await Promise.all([world.distribution.close(), world.distribution.close()]);
    await raw.closed;
    expect(waiting.destroyed).toBe(true);
    expect(signal.aborted).toBe(true);
    expect(world.distribution.connected()).toEqual([]);
  });
});
