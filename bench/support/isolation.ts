import { monotonicNow } from "../../src/io/clock.ts";
import { type QuicConnection, QuicEndpoint, type QuicStream } from "../../src/io/quic/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import type { Self } from "../../src/process/index.ts";
import type { TestRealm } from "../../test/quic/support/certificates.ts";
import { UdpRelay } from "../../test/quic/support/relay.ts";
import { percentile } from "./numbers.ts";

const askers = 8;

/** p99 of the round trips of some processes, each asking every few milliseconds, milliseconds. */
export async function askersP99(node: MaculaNode, peer: string, rounds: number): Promise<number> {
  const target = { name: "echo", node: peer };
  const times: number[] = [];
  const ask = async (self: Self): Promise<void> => {
    for (let round = 0; round < rounds; round++) {
      await self.sleep(2);
      const start = monotonicNow();
      self.send(target, [self.pid, new Uint8Array(100)]);
      await self.receive();
      times.push(monotonicNow() - start);
    }
  };
  await Promise.all(
    Array.from(
      { length: askers },
      () =>
        new Promise<void>((resolve) => {
          node.spawn((self) => ask(self).then(resolve));
        }),
    ),
  );
  return percentile(times, 0.99);
}

/**
 * Sends to a process that takes a message every 100 ms, until its mailbox, the stream's window and the lane here are
 * full: its lane stands still from then on. Returns what ends it.
 */
export async function stall(node: MaculaNode, peer: string): Promise<() => void> {
  const target = { name: "stuck", node: peer };
  return await new Promise((resolve) => {
    const pid = node.spawn(async (self) => {
      for (;;) {
        if (self.send(target, new Uint8Array(1_000))) continue;
        const drained = await Promise.race([
          self.drained(target).then(() => true),
          new Promise<boolean>((late) => setTimeout(late, 500, false)),
        ]);
        if (drained) continue;
        resolve(() => node.exit(pid, "done"));
        await self.drained(target);
      }
    });
  });
}

const streams = 16;
const shortBytes = 100;
/** Messages of the first stream are longer, so that the relay can tell their datagrams. */
const lossyBytes = 700;

/**
 * Sixteen streams with a message every 4 ms each, through 10 ms each way; of the datagrams with messages of the first,
 * every hundredth gets lost. p99 of the others' way from end to end, milliseconds.
 *
 * @param multiplexed all messages in one stream, as over one TCP connection.
 */
export async function lossP99(
  realm: TestRealm,
  { lost, multiplexed }: { readonly lost: boolean; readonly multiplexed: boolean },
): Promise<number> {
  const [there, here] = await Promise.all([realm.issue(), realm.issue()]);
  const options = { host: "127.0.0.1", trust: realm.trust, mtuMax: 1_200, loopbackMtuMax: 1_200 };
  const server = await QuicEndpoint.listen({ ...options, identity: there.identity });
  const client = await QuicEndpoint.listen({ ...options, identity: here.identity });
  let long = 0;
  const relay = await UdpRelay.open(server.address, {
    delayMs: 10,
    lose: (bytes) => lost && bytes > lossyBytes && bytes < 1_100 && ++long % 100 === 0,
  });
  const times: number[] = [];
  server.onConnection = (connection) => {
    connection.onStream = (stream) => receive(stream, times);
  };
  try {
    const connection = await client.connect(relay.address);
    await warmUp(connection);
    await talk(connection, multiplexed);
  } finally {
    await Promise.all([client.close(), server.close()]);
    relay.close();
  }
  return percentile(times, 0.99);
}

/**
 * Opens the congestion window: each loss makes it smaller by 30 %, and traffic as light as this never makes it larger, so
 * that it alone would hold the others back in the end. That is not what is measured here.
 */
async function warmUp(connection: QuicConnection): Promise<void> {
  const stream = connection.openStream({ bidirectional: false });
  await stream?.writeAll(new Uint8Array(2 * 1_048_576).fill(255));
  stream?.finish();
  await stream?.finished;
}

const rounds = 1_000;

async function talk(connection: QuicConnection, multiplexed: boolean): Promise<void> {
  const open = (): QuicStream => connection.openStream({ bidirectional: false }) as QuicStream;
  const shared = open();
  const lanes = Array.from({ length: streams }, (_, index) => (index === 0 || multiplexed ? shared : open()));
  for (let round = 0; round < rounds; round++) {
    for (const [index, lane] of lanes.entries()) {
      const bytes = new Uint8Array(index === 0 ? lossyBytes : shortBytes);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, bytes.length);
      view.setFloat64(4, monotonicNow());
      lane.write(bytes);
      // A datagram for each, so that a lost one holds messages of one stream only.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
  // Until what was lost has come after all.
  await new Promise((resolve) => setTimeout(resolve, 300));
}

/** Notes how long each short message was on its way. */
function receive(stream: QuicStream, times: number[]): void {
  let rest = new Uint8Array(0);
  const read = (): void => {
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) {
      rest = new Uint8Array(Buffer.concat([rest, chunk]));
      for (;;) {
        const view = new DataView(rest.buffer, rest.byteOffset, rest.byteLength);
        const length = rest.length < 4 ? Number.POSITIVE_INFINITY : view.getUint32(0);
        if (length > rest.length) break;
        if (length === shortBytes) times.push(monotonicNow() - view.getFloat64(4));
        rest = rest.subarray(length);
      }
    }
  };
  stream.onReadable = read;
  read();
}
