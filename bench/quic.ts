import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import {
  type QuicConnection,
  QuicEndpoint,
  type QuicStream,
  type SessionTicket,
} from "../src/io/quic/index.ts";
import { TestRealm } from "../test/quic/support/certificates.ts";
import { UdpRelay } from "../test/quic/support/relay.ts";
import { BareClient, openStream } from "./support/bare-engine.ts";
import { median } from "./support/numbers.ts";
import { tcpRoundTrip } from "./support/plain-tcp.ts";
import type { BenchRow, BenchTable } from "./table.ts";

const runs = 5;
const realm = await TestRealm.create();

/** The bare engine between two OS processes on the loopback interface, beside plain TCP. */
export async function run(): Promise<BenchTable> {
  const [serverNode, clientNode] = await Promise.all([realm.issue(), realm.issue()]);
  const peer = fork(fileURLToPath(new URL("./quic-peer.js", import.meta.url)), { serialization: "advanced" });
  const setup = { host: "127.0.0.1", trust: realm.trust };
  peer.send({ ...setup, identity: serverNode.identity });
  const [ports] = (await once(peer, "message")) as [{ tcp: number; quic: number }];
  const client = await BareClient.connect({ ...setup, identity: clientNode.identity }, ports.quic);
  try {
    const tcpMs = await medianOf(() => tcpRoundTrip(ports.tcp, roundTripCount));
    return {
      title: "quic: two OS processes on loopback (medians of 5)",
      rows: [
        await throughput(client),
        await smallWrites(client),
        await roundTrips(client, tcpMs),
        await zeroRoundTrips(),
        await addressChanges(),
        ...(await idleConnections()),
      ],
    };
  } finally {
    await client.close();
    await stop(peer);
  }
}

async function stop(peer: ChildProcess): Promise<void> {
  peer.disconnect();
  await once(peer, "exit");
}

async function medianOf(measure: () => Promise<number>): Promise<number> {
  const all: number[] = [];
  for (let index = 0; index < runs; index++) all.push(await measure());
  return median(all);
}

async function throughput(client: BareClient): Promise<BenchRow> {
  const rate = await medianOf(() => client.throughput(65_536, 4_096));
  return {
    name: "64 KiB writes",
    figures: { "MB/s": Math.round(rate) },
    target: ">= 300 MB/s",
    met: rate >= 300,
  };
}

async function smallWrites(client: BareClient): Promise<BenchRow> {
  const rate = await medianOf(() => client.messages(100, 1_000_000));
  return {
    name: "100-byte writes, one stream",
    figures: { "per second": Math.round(rate) },
    target: ">= 1,000,000/s",
    met: rate >= 1e6,
  };
}

const roundTripCount = 2_000;

async function roundTrips(client: BareClient, tcpMs: number): Promise<BenchRow> {
  const quicMs = await medianOf(() => client.roundTrip(roundTripCount));
  return {
    name: "round trip of 100 bytes (p50)",
    figures: { ms: quicMs.toFixed(4), "TCP ms": tcpMs.toFixed(4), "times TCP": (quicMs / tcpMs).toFixed(2) },
    target: "<= 2 x TCP",
    met: quicMs <= 2 * tcpMs,
  };
}

/**
 * When the first message is at the peer, through 50 ms each way: after 50 ms as early data, after 150 ms without a ticket
 * (RFC 9001 §4.6). Both ends are in this process, so that they have one clock.
 */
async function zeroRoundTrips(): Promise<BenchRow> {
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const options = { host: "127.0.0.1", trust: realm.trust };
  const server = await QuicEndpoint.listen({ ...options, identity: a.identity });
  const client = await QuicEndpoint.listen({ ...options, identity: b.identity });
  const relay = await UdpRelay.open(server.address, { delayMs: 50 });
  const dial = async (ticket?: SessionTicket): Promise<{ ms: number; ticket: SessionTicket }> => {
    const arrived = firstMessage(server);
    const started = performance.now();
    const connection = await client.connect(relay.address, ticket === undefined ? {} : { ticket });
    const next = nextTicket(connection);
    openStream(connection, false).write(new Uint8Array(100));
    const ms = (await arrived) - started;
    const result = { ms, ticket: await next };
    connection.close(0);
    return result;
  };
  try {
    let { ticket } = await dial();
    const fullMs = await medianOf(async () => (await dial()).ms);
    const earlyMs = await medianOf(async () => {
      const result = await dial(ticket);
      ticket = result.ticket;
      return result.ms;
    });
    return {
      name: "first message at the peer, 50 ms each way",
      figures: { "0-RTT ms": earlyMs.toFixed(1), "full handshake ms": fullMs.toFixed(1) },
      target: "50-60 ms (150 without)",
      met: earlyMs <= 60,
    };
  } finally {
    relay.close();
    await Promise.all([client.close(), server.close()]);
  }
}

/** Bytes sent one way while the sender's address changes 20 times: all arrive, and the longest silence in between. */
async function addressChanges(): Promise<BenchRow> {
  const changes = 20;
  const piece = new Uint8Array(65_536);
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const options = { host: "127.0.0.1", trust: realm.trust };
  const server = await QuicEndpoint.listen({ ...options, identity: a.identity });
  const client = await QuicEndpoint.listen({ ...options, identity: b.identity });
  const relay = await UdpRelay.open(server.address, {});
  let received = 0;
  let longestMs = 0;
  const drain = async (stream: QuicStream): Promise<void> => {
    let last = performance.now();
    for await (const chunk of stream) {
      received += chunk.length;
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
    }
  };
  const over = new Promise<void>((resolve, reject) => {
    server.onConnection = (connection) => {
      connection.onStream = (stream) => void drain(stream).then(resolve, reject);
    };
  });
  const connection = await client.connect(relay.address);
  // QUIC knows no change of address before the handshake is confirmed (RFC 9000 §9).
  await connection.established;
  const stream = openStream(connection, false);
  let sent = 0;
  for (let change = 0; change < changes; change++) {
    await relay.switchPort();
    for (let index = 0; index < 64; index++, sent += piece.length) await stream.writeAll(piece);
  }
  stream.finish();
  await over;
  relay.close();
  await Promise.all([client.close(), server.close()]);
  return {
    name: `${changes} address changes in a transfer of ${Math.round(sent / 1e6)} MB`,
    figures: { "bytes lost": sent - received, "longest stall ms": longestMs.toFixed(0) },
    target: "0 lost, < 1,000 ms",
    met: sent === received && longestMs < 1_000,
  };
}

/** When the next stream of the next connection has something to read. */
function firstMessage(server: QuicEndpoint): Promise<number> {
  return new Promise((resolve) => {
    server.onConnection = (connection) => {
      connection.onStream = (stream) => {
        stream.onReadable = () => resolve(performance.now());
        if (stream.canRead) resolve(performance.now());
      };
    };
  });
}

function nextTicket(connection: QuicConnection): Promise<SessionTicket> {
  return new Promise((resolve) => {
    connection.onTicket = resolve;
  });
}

/** A thousand connections between two endpoints in this process. */
async function idleConnections(): Promise<BenchRow[]> {
  const count = 1_000;
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const options = {
    host: "127.0.0.1",
    trust: realm.trust,
    retryFrom: count,
    handshakesPerAddressMax: 2 * count,
  };
  const server = await QuicEndpoint.listen({ ...options, identity: a.identity });
  const client = await QuicEndpoint.listen({ ...options, identity: b.identity });
  const warm: QuicConnection[] = [];
  for (let index = 0; index < 50; index++) warm.push(await client.connect(server.address));
  for (const connection of warm) connection.close(0);
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  const cpu = process.cpuUsage();
  for (let index = 0; index < count; index++) await client.connect(server.address);
  const used = process.cpuUsage(cpu);
  globalThis.gc?.();
  const kilobytes = (process.memoryUsage().rss - before) / 1_000 / count;
  const cpuMs = (used.user + used.system) / 1_000 / count;
  await Promise.all([client.close(), server.close()]);
  return [
    {
      name: "idle connection, both ends",
      figures: { KB: kilobytes.toFixed(1) },
      target: "< 100 KB",
      met: kilobytes < 100,
    },
    {
      name: "full handshake, CPU of both ends",
      figures: { ms: cpuMs.toFixed(2) },
      target: "< 3 ms",
      met: cpuMs < 3,
    },
  ];
}
