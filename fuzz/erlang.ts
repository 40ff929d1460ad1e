import * as fc from "fast-check";
import { MeshError, toError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { hex } from "../src/base/text.ts";
import { at } from "../src/base/time.ts";
import { Writer } from "../src/base/writer.ts";
import {
  type ControlContext,
  decodeControl,
  ErlangHandshake,
  encodeControl,
  PacketReader,
} from "../src/erlang/index.ts";
import { ProcessRuntime, type Signal } from "../src/process/index.ts";
import { anySignal } from "../test/erlang/support/signals.ts";

const corpusSize = 300;
/** What a stream of packets from outside may be answered with. */
const expected = new Set(["DECODE", "PROTOCOL", "LIMIT"]);
const peer = "erl@localhost";
const context: ControlContext = {
  node: peer,
  creation: 7,
  names: {
    own: "ts@localhost",
    toPeer: String,
    fromPeer: String,
    heard: String,
    introduced: () => undefined,
  },
};

/**
 * Throws damaged packets at the decoder of control messages, what comes out at the process runtime, and garbage at the
 * handshake, for `seconds`; returns how many streams it was. Only typed errors may come out, and no process may end by them
 * that was not named.
 * @throws Error with the seed of the stream that broke that promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  const corpus = fc.sample(anySignal, { numRuns: corpusSize, seed }).map(packetOf);
  let runs = 0;
  for (; performance.now() < end; runs++) {
    const own = (seed + runs) >>> 0;
    const random = seededRandom(own);
    const stream = damaged(random, corpus);
    try {
      read(stream, random);
      shake(stream);
    } catch (cause) {
      throw new Error(`fuzz erlang: seed ${own}, ${hex(stream).slice(0, 2_000)}: ${toError(cause).message}`, {
        cause,
      });
    }
  }
  return runs;
}

function packetOf(signal: Signal): Uint8Array {
  const writer = new Writer();
  writer.reserve(4);
  encodeControl(signal as Parameters<typeof encodeControl>[0], context.names, writer);
  writer.patchU32(0, writer.length - 4);
  return writer.take();
}

/** A few packets, most of them with something wrong. */
function damaged(random: Random, corpus: readonly Uint8Array[]): Uint8Array {
  const packets = Array.from(
    { length: 1 + random.integer(4) },
    () => corpus[random.integer(corpus.length)] as Uint8Array,
  );
  const stream = new Uint8Array(Buffer.concat(packets));
  for (let count = random.integer(4); count > 0; count--)
    stream[random.integer(stream.length)] = random.integer(256);
  return random.integer(4) === 0 ? stream.slice(0, random.integer(stream.length)) : stream;
}

function read(stream: Uint8Array, random: Random): void {
  const sent: Signal[] = [];
  const runtime = new ProcessRuntime({
    node: "ts@localhost",
    creation: 1,
    sink: {
      send: (_node, _lane, _key, signal) => {
        sent.push(signal);
        return true;
      },
    },
    clock: () => at(0),
    wake: () => undefined,
  });
  runtime.handle({ type: "nodeUp", node: peer, creation: 7 }, at(0));
  const reader = new PacketReader(4, 100_000);
  try {
    for (let offset = 0; offset < stream.length; ) {
      const length = 1 + random.integer(200);
      reader.feed(stream.slice(offset, offset + length));
      offset += length;
      for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
        const signal = packet.length === 0 ? undefined : decodeControl(packet, context);
        if (signal === undefined) continue;
        const bytes = packet.length;
        runtime.handle({ type: "signal", node: peer, stream: 1, bytes, signal }, at(0));
      }
    }
  } catch (error) {
    if (!(error instanceof MeshError) || !expected.has(error.code)) throw error;
  }
  for (const signal of sent) packetOf(signal);
  if (runtime.whereis("user") === undefined) throw new Error("the node's own process has ended");
  runtime.close();
}

function shake(stream: Uint8Array): void {
  for (const role of ["dialler", "listener"] as const) {
    const handshake = new ErlangHandshake(
      {
        role,
        name: "ts@localhost",
        creation: 1,
        digest: () => new Uint8Array(16),
        random: seededRandom(1),
        timeoutMs: 1_000,
      },
      at(0),
    );
    if (role === "dialler") handshake.handle({ type: "start" }, at(0));
    handshake.handle(
      { type: "packet", bytes: Uint8Array.of(role === "dialler" ? 0x73 : 0x4e, ...stream.subarray(0, 200)) },
      at(0),
    );
    for (let output = handshake.poll(); output !== undefined; output = handshake.poll()) {
      if (output.type === "complete") throw new Error("a handshake is complete that nobody made");
    }
  }
}
