import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { fileURLToPath } from "node:url";
import { type QuicConnection, QuicEndpoint, type QuicStream } from "../src/io/quic/index.ts";
import { TestRealm } from "../test/quic/support/certificates.ts";
import { UdpRelay } from "../test/quic/support/relay.ts";
import type { BenchRow, BenchTable } from "./table.ts";

const runs = 5;
const realm = await TestRealm.create();

/** The bare engine between two OS processes on the loopback interface, beside plain TCP. */
export async function run(): Promise<BenchTable> {
  const [serverNode, clientNode] = await Promise.all([realm.issue(), realm.issue()]);
  const peer = fork(fileURLToPath(new URL("./quic-peer.js", import.meta.url)), { serialization: "advanced" });
  peer.send({ identity: serverNode.identity, trust: realm.trust });
  const [ports] = (await once(peer, "message")) as [{ tcp: number; quic: number }];
  const endpoint = await QuicEndpoint.listen({
    host: "127.0.0.1",
    identity: clientNode.identity,
    trust: realm.trust,
  });
  const connection = await endpoint.connect({ host: "127.0.0.1", port: ports.quic });
  try {
    const tcpMs = await median(() => tcpRoundTrip(ports.tcp));
    return {
      title: "quic: two OS processes on loopback (medians of 5)",
      rows: [
        await throughput(connection),
        await smallWrites(connection),
        await roundTrips(connection, tcpMs),
        await zeroRoundTrips(endpoint, ports.quic),
        ...(await idleConnections()),
      ],
    };
  } finally {
    await endpoint.close();
    await stop(peer);
  }
}

async function stop(peer: ChildProcess): Promise<void> {
  peer.disconnect();
  await once(peer, "exit");
}

async function median(measure: () => Promise<number>): Promise<number> {
  const all: number[] = [];
  for (let index = 0; index < runs; index++) all.push(await measure());
  return all.sort((a, b) => a - b)[runs >> 1] as number;
}

/** Resolves with the number of bytes that the peer's application has read. */
function answer(connection: QuicConnection): Promise<number> {
  return new Promise((resolve) => {
    connection.onStream = (stream) => void readText(stream).then((text) => resolve(Number(text)));
  });
}

async function readText(stream: QuicStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += new TextDecoder().decode(chunk);
  return text;
}

function open(connection: QuicConnection, bidirectional: boolean): QuicStream {
  const stream = connection.openStream({ bidirectional });
  if (stream === undefined) throw new Error("the peer allows no stream");
  return stream;
}

async function throughput(connection: QuicConnection): Promise<BenchRow> {
  const block = new Uint8Array(65_536).fill(7);
  const blocks = 4_096;
  const rate = await median(async () => {
    const received = answer(connection);
    const stream = open(connection, false);
    const started = performance.now();
    for (let index = 0; index < blocks; index++) await stream.writeAll(block);
    stream.finish();
    const bytes = await received;
    return bytes / 1e3 / (performance.now() - started);
  });
  return {
    name: "64 KiB writes",
    figures: { "MB/s": Math.round(rate) },
    target: ">= 300 MB/s",
    met: rate >= 300,
  };
}

async function smallWrites(connection: QuicConnection): Promise<BenchRow> {
  const message = new Uint8Array(100).fill(7);
  const count = 1_000_000;
  const rate = await median(async () => {
    const received = answer(connection);
    const stream = open(connection, false);
    const started = performance.now();
    for (let index = 0; index < count; ) {
      if (stream.write(message) === message.length) index++;
      else await stream.writable();
    }
    stream.finish();
    const bytes = await received;
    return bytes / message.length / ((performance.now() - started) / 1e3);
  });
  return {
    name: "100-byte writes, one stream",
    figures: { "per second": Math.round(rate) },
    target: ">= 1,000,000/s",
    met: rate >= 1e6,
  };
}

const roundTripCount = 2_000;

async function roundTrips(connection: QuicConnection, tcpMs: number): Promise<BenchRow> {
  const quicMs = await median(() => quicRoundTrip(connection));
  return {
    name: "round trip of 100 bytes (p50)",
    figures: { ms: quicMs.toFixed(4), "TCP ms": tcpMs.toFixed(4), "times TCP": (quicMs / tcpMs).toFixed(2) },
    target: "<= 2 x TCP",
    met: quicMs <= 2 * tcpMs,
  };
}

function quicRoundTrip(connection: QuicConnection): Promise<number> {
  const stream = open(connection, true);
  const message = new Uint8Array(100).fill(7);
  return new Promise((resolve) => {
    const times: number[] = [];
    let got = 0;
    let started = performance.now();
    stream.onReadable = () => {
      for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) got += chunk.length;
      if (got < message.length) return;
      got = 0;
      times.push(performance.now() - started);
      if (times.length === roundTripCount) {
        stream.finish();
        return resolve(times.sort((a, b) => a - b)[roundTripCount >> 1] as number);
      }
      started = performance.now();
      stream.write(message);
    };
    stream.write(message);
  });
}

async function tcpRoundTrip(port: number): Promise<number> {
  const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  const message = Buffer.alloc(100, 7);
  const times: number[] = [];
  await new Promise<void>((resolve) => {
    let got = 0;
    let started = performance.now();
    socket.on("data", (chunk) => {
      got += chunk.length;
      if (got < message.length) return;
      got = 0;
      times.push(performance.now() - started);
      if (times.length === roundTripCount) return resolve();
      started = performance.now();
      socket.write(message);
    });
    socket.write(message);
  });
  socket.destroy();
  return times.sort((a, b) => a - b)[roundTripCount >> 1] as number;
}

/** First byte at the peer and back through 50 ms each way: 100 ms with early data, 200 ms after a full handshake. */
async function zeroRoundTrips(endpoint: QuicEndpoint, port: number): Promise<BenchRow> {
  const relay = await UdpRelay.open({ host: "127.0.0.1", port }, { delayMs: 50 });
  try {
    const first = await endpoint.connect(relay.address);
    let ticket = await nextTicket(first);
    const fullMs = await firstEcho(endpoint, relay);
    const earlyMs = await median(async () => {
      const connection = await endpoint.connect(relay.address, { ticket });
      const ms = await echoOnce(connection);
      ticket = await nextTicket(connection);
      return ms;
    });
    return {
      name: "0-RTT through 50 ms each way",
      figures: { ms: earlyMs.toFixed(1), "full handshake ms": fullMs.toFixed(1) },
      target: "echo after <= 120 ms",
      met: earlyMs <= 120,
    };
  } finally {
    relay.close();
  }
}

function nextTicket(
  connection: QuicConnection,
): Promise<NonNullable<Parameters<NonNullable<QuicConnection["onTicket"]>>[0]>> {
  return new Promise((resolve) => {
    connection.onTicket = resolve;
  });
}

async function firstEcho(endpoint: QuicEndpoint, relay: UdpRelay): Promise<number> {
  const started = performance.now();
  const connection = await endpoint.connect(relay.address);
  await echoOnce(connection);
  connection.close(0);
  return performance.now() - started;
}

async function echoOnce(connection: QuicConnection): Promise<number> {
  const started = performance.now();
  const stream = open(connection, true);
  stream.write(new Uint8Array(100));
  while (stream.read() === undefined) await stream.readable();
  return performance.now() - started;
}

/** A thousand connections between two endpoints in this process. */
async function idleConnections(): Promise<BenchRow[]> {
  const count = 1_000;
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const options = { host: "127.0.0.1", trust: realm.trust, retryFrom: count };
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
