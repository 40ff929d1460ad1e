import { MeshError } from "../../base/errors.ts";
import type { QuicAddress, QuicConnection } from "./connection.ts";
import { QuicEndpoint, type QuicEndpointOptions } from "./endpoint.ts";
import type { QuicStream } from "./stream.ts";

/** The protocol of `macula echo`: every stream comes back; a one-way stream is swallowed; datagrams come back. */
export const echoAlpn = "macula-echo/1.0";

export interface EchoServer extends AsyncDisposable {
  readonly address: QuicAddress;
  close(): Promise<void>;
  readonly closed: Promise<Error | undefined>;
}

/** Serve echo until closed. `onEvent` is told what happens, one line each. */
export async function serveEcho(
  options: QuicEndpointOptions & { readonly onEvent?: (line: string) => void },
): Promise<EchoServer> {
  const tell = options.onEvent ?? (() => undefined);
  const endpoint = await QuicEndpoint.listen({ alpn: [echoAlpn], ...options });
  endpoint.onConnection = (connection) => {
    const { host, port } = connection.remoteAddress;
    tell(`connected ${host}:${port} ${connection.peerNodeId}`);
    connection.onStream = (stream) => {
      if (stream.bidirectional) sendBack(stream);
      else swallow(stream);
    };
    connection.onDatagram = (bytes) => {
      connection.sendDatagram(bytes);
    };
    void connection.closed.then((error) => tell(`closed ${host}:${port} ${error?.message ?? ""}`));
  };
  endpoint.onIncomingFailed = (error) => tell(`refused ${error.message}`);
  return endpoint;
}

/** What comes goes back, as fast as the peer takes it: what does not fit waits here, and nothing more is read. */
function sendBack(stream: QuicStream): void {
  let waiting: Uint8Array | undefined;
  const pump = () => {
    for (;;) {
      waiting ??= stream.read();
      if (waiting === undefined) {
        if (stream.readEnded) stream.finish();
        return;
      }
      const count = stream.write(waiting);
      if (count < waiting.length) {
        waiting = waiting.subarray(count);
        return;
      }
      waiting = undefined;
    }
  };
  stream.onReadable = pump;
  stream.onWritable = pump;
  pump();
}

function swallow(stream: QuicStream): void {
  const pump = () => {
    while (stream.read() !== undefined);
  };
  stream.onReadable = pump;
  pump();
}

/** One line of the echo client's report. */
export type EchoResult =
  | { readonly kind: "connected"; readonly nodeId: string; readonly handshakeMs: number }
  | { readonly kind: "roundTrip"; readonly count: number; readonly p50Ms: number; readonly p99Ms: number }
  | { readonly kind: "throughput"; readonly bytes: number; readonly megabytesPerSecond: number }
  | { readonly kind: "streams"; readonly count: number; readonly failed: number; readonly totalMs: number }
  | {
      readonly kind: "datagrams";
      readonly sent: number;
      readonly returned: number;
      readonly lostPercent: number;
    }
  | {
      readonly kind: "connection";
      readonly rttMs: number;
      readonly mtuBytes: number;
      readonly packetsSent: number;
      readonly packetsLost: number;
    };

export interface EchoClientOptions extends QuicEndpointOptions {
  readonly target: QuicAddress;
  /** Round trips of 100 bytes. Default 1000. */
  readonly roundTrips?: number;
  /** Bytes sent one way, for throughput. Default 64 MiB. */
  readonly bytes?: number;
  /** Streams opened, echoed and closed. Default 1000. */
  readonly streams?: number;
  /** Datagrams sent, one millisecond's worth at a time. Default 1000. */
  readonly datagrams?: number;
}

/** Measure round trip, throughput, many streams and loss against an echo server. */
export async function* runEchoClient(options: EchoClientOptions): AsyncIterable<EchoResult> {
  const endpoint = await QuicEndpoint.listen({ ...options, alpn: [echoAlpn] });
  try {
    const started = performance.now();
    const connection = await endpoint.connect(options.target);
    yield { kind: "connected", nodeId: connection.peerNodeId, handshakeMs: performance.now() - started };
    yield await measureRoundTrips(connection, options.roundTrips ?? 1_000);
    yield await measureThroughput(connection, options.bytes ?? 64 * 2 ** 20);
    yield await measureStreams(connection, options.streams ?? 1_000);
    yield await measureDatagrams(connection, options.datagrams ?? 1_000);
    const { rttMs, mtuBytes, packetsSent, packetsLost } = connection.stats();
    yield { kind: "connection", rttMs, mtuBytes, packetsSent, packetsLost };
    connection.close(0, "done");
  } finally {
    await endpoint.close();
  }
}

/** A stream, waiting for the peer's permission when there is none now. */
async function openStream(connection: QuicConnection, bidirectional: boolean): Promise<QuicStream> {
  for (;;) {
    const stream = connection.openStream({ bidirectional });
    if (stream !== undefined) return stream;
    if (connection.isClosed)
      throw (await connection.closed) ?? new MeshError("CLOSED", "the connection was closed");
    await new Promise<void>((resolve) => {
      connection.onStreamsAvailable = () => resolve();
      void connection.closed.then(() => resolve());
    });
  }
}

/** Exactly `length` bytes, thrown away. */
async function skip(stream: QuicStream, length: number): Promise<void> {
  for (let rest = length; rest > 0; ) {
    const chunk = stream.read(rest);
    if (chunk !== undefined) rest -= chunk.length;
    else if (stream.readError !== undefined) throw stream.readError;
    else if (stream.readEnded) throw new MeshError("CLOSED", `the echo ended ${rest} bytes early`);
    else await stream.readable();
  }
}

async function measureRoundTrips(connection: QuicConnection, count: number): Promise<EchoResult> {
  const stream = await openStream(connection, true);
  const message = new Uint8Array(100);
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await stream.writeAll(message);
    await skip(stream, message.length);
    times.push(performance.now() - started);
  }
  stream.finish();
  await skipRest(stream);
  times.sort((a, b) => a - b);
  const at = (part: number) => times[Math.floor(part * (times.length - 1))] ?? 0;
  return { kind: "roundTrip", count, p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function skipRest(stream: QuicStream): Promise<void> {
  for await (const _ of stream);
}

async function measureThroughput(connection: QuicConnection, bytes: number): Promise<EchoResult> {
  const stream = await openStream(connection, false);
  const block = new Uint8Array(64 * 1024);
  const started = performance.now();
  for (let sent = 0; sent < bytes; sent += block.length) {
    await stream.writeAll(block.subarray(0, Math.min(block.length, bytes - sent)));
  }
  stream.finish();
  await stream.finished;
  const seconds = (performance.now() - started) / 1e3;
  return { kind: "throughput", bytes, megabytesPerSecond: bytes / 1e6 / seconds };
}

async function measureStreams(connection: QuicConnection, count: number): Promise<EchoResult> {
  const message = new Uint8Array(100);
  let failed = 0;
  const started = performance.now();
  const one = async (stream: QuicStream) => {
    try {
      await stream.writeAll(message);
      stream.finish();
      await skip(stream, message.length);
      await skipRest(stream);
    } catch {
      failed++;
    }
  };
  const running: Promise<void>[] = [];
  for (let index = 0; index < count; index++) running.push(one(await openStream(connection, true)));
  await Promise.all(running);
  return { kind: "streams", count, failed, totalMs: performance.now() - started };
}

/** How long to wait for the last datagrams, milliseconds. */
const lastDatagramsMs = 200;

async function measureDatagrams(connection: QuicConnection, count: number): Promise<EchoResult> {
  let sent = 0;
  let returned = 0;
  const all = new Promise<void>((resolve) => {
    connection.onDatagram = () => {
      if (++returned === count) resolve();
    };
  });
  const message = new Uint8Array(100);
  while (sent < count && !connection.isClosed) {
    for (let index = 0; index < 10 && sent < count; index++) if (connection.sendDatagram(message)) sent++;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([all, new Promise((resolve) => (timer = setTimeout(resolve, lastDatagramsMs)))]);
  clearTimeout(timer);
  connection.onDatagram = undefined;
  return { kind: "datagrams", sent, returned, lostPercent: (100 * (sent - returned)) / Math.max(1, sent) };
}
