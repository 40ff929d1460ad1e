import {
  type QuicConnection,
  QuicEndpoint,
  type QuicIdentity,
  type QuicStream,
  type QuicTrust,
} from "../../src/io/quic/index.ts";
import { median } from "./numbers.ts";

/** The engine, on a socket like that of a node, without anything of ours above it: what the figures of messages are compared with. */
export interface BareSetup {
  readonly identity: QuicIdentity;
  readonly trust: QuicTrust;
}

/** Echoes bidirectional streams; of others it reads all, and then says so. Returns its port. */
export async function serveBare({ identity, trust }: BareSetup): Promise<number> {
  const endpoint = await QuicEndpoint.listen({ identity, trust });
  endpoint.onConnection = (connection) => {
    connection.onStream = (stream) => {
      if (stream.bidirectional) echo(stream);
      else drain(stream, connection);
    };
  };
  return endpoint.address.port;
}

function echo(stream: QuicStream): void {
  const read = (): void => {
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) stream.write(chunk);
    if (stream.readEnded) stream.finish();
  };
  stream.onReadable = read;
  read();
}

function drain(stream: QuicStream, connection: QuicConnection): void {
  const read = (): void => {
    let chunk = stream.read();
    while (chunk !== undefined) chunk = stream.read();
    if (stream.readEnded) connection.openStream({ bidirectional: false })?.finish();
  };
  stream.onReadable = read;
  read();
}

export class BareClient {
  readonly #endpoint: QuicEndpoint;
  readonly #connection: QuicConnection;

  private constructor(endpoint: QuicEndpoint, connection: QuicConnection) {
    this.#endpoint = endpoint;
    this.#connection = connection;
  }

  static async connect({ identity, trust }: BareSetup, port: number): Promise<BareClient> {
    const endpoint = await QuicEndpoint.listen({ identity, trust });
    return new BareClient(endpoint, await endpoint.connect({ host: "127.0.0.1", port }));
  }

  /** Median round trip of 100 bytes, milliseconds. */
  roundTrip(rounds: number): Promise<number> {
    const stream = this.#open(true);
    const message = new Uint8Array(100);
    return new Promise((resolve) => {
      const times: number[] = [];
      let got = 0;
      let started = performance.now();
      stream.onReadable = () => {
        for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) got += chunk.length;
        if (got < message.length) return;
        got = 0;
        times.push(performance.now() - started);
        if (times.length === rounds) {
          stream.finish();
          resolve(median(times));
          return;
        }
        started = performance.now();
        stream.write(message);
      };
      stream.write(message);
    });
  }

  /** Writes `count` blocks to one stream; MB/s until the other end has read them all. */
  async throughput(blockBytes: number, count: number): Promise<number> {
    const block = new Uint8Array(blockBytes);
    const done = new Promise<void>((resolve) => {
      this.#connection.onStream = () => resolve();
    });
    const started = performance.now();
    const stream = this.#open(false);
    for (let index = 0; index < count; index++) await stream.writeAll(block);
    stream.finish();
    await done;
    return (blockBytes * count) / 1e3 / (performance.now() - started);
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }

  #open(bidirectional: boolean): QuicStream {
    const stream = this.#connection.openStream({ bidirectional });
    if (stream === undefined) throw new Error("the peer allows no stream");
    return stream;
  }
}
