import {
  type QuicConnection,
  QuicEndpoint,
  type QuicIdentity,
  type QuicStream,
  type QuicTrust,
} from "../../src/io/quic/index.ts";
import { median } from "./numbers.ts";

/** The engine without anything of ours above it: for its own figures, and for those of messages to be compared with. */
export interface BareSetup {
  readonly identity: QuicIdentity;
  readonly trust: QuicTrust;
  /** Default: that of a node, every address of the machine. */
  readonly host?: string;
}

/** Echoes bidirectional streams; of others it reads all, and then tells how many bytes that were. Returns its port. */
export async function serveBare(setup: BareSetup): Promise<number> {
  const endpoint = await QuicEndpoint.listen(setup);
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
  let bytes = 0;
  const read = (): void => {
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) bytes += chunk.length;
    if (!stream.readEnded) return;
    const answer = openStream(connection, false);
    answer.write(new TextEncoder().encode(String(bytes)));
    answer.finish();
  };
  stream.onReadable = read;
  read();
}

export function openStream(connection: QuicConnection, bidirectional: boolean): QuicStream {
  const stream = connection.openStream({ bidirectional });
  if (stream === undefined) throw new Error("the peer allows no stream");
  return stream;
}

export class BareClient {
  readonly #endpoint: QuicEndpoint;
  readonly #connection: QuicConnection;

  private constructor(endpoint: QuicEndpoint, connection: QuicConnection) {
    this.#endpoint = endpoint;
    this.#connection = connection;
  }

  static async connect(setup: BareSetup, port: number): Promise<BareClient> {
    const endpoint = await QuicEndpoint.listen(setup);
    return new BareClient(endpoint, await endpoint.connect({ host: "127.0.0.1", port }));
  }

  /** Median round trip of 100 bytes, milliseconds. */
  roundTrip(rounds: number): Promise<number> {
    const stream = openStream(this.#connection, true);
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

  /** Writes `count` blocks to one stream, waiting for each; MB/s until the other end has read them all. */
  async throughput(blockBytes: number, count: number): Promise<number> {
    const block = new Uint8Array(blockBytes).fill(7);
    const seconds = await this.#transfer(block.length * count, async (stream) => {
      for (let index = 0; index < count; index++) await stream.writeAll(block);
    });
    return (blockBytes * count) / 1e6 / seconds;
  }

  /** Writes `count` messages to one stream as fast as it takes them; messages per second until the other end has read them all. */
  async messages(messageBytes: number, count: number): Promise<number> {
    const message = new Uint8Array(messageBytes).fill(7);
    const seconds = await this.#transfer(message.length * count, async (stream) => {
      for (let index = 0; index < count; ) {
        if (stream.write(message) === message.length) index++;
        else await stream.writable();
      }
    });
    return count / seconds;
  }

  close(): Promise<void> {
    return this.#endpoint.close();
  }

  /** Seconds until the other end has read all that `write` writes, which must be `bytes`. */
  async #transfer(bytes: number, write: (stream: QuicStream) => Promise<void>): Promise<number> {
    const answered = new Promise<string>((resolve, reject) => {
      this.#connection.onStream = (stream) => void readText(stream).then(resolve, reject);
    });
    const stream = openStream(this.#connection, false);
    const started = performance.now();
    await write(stream);
    stream.finish();
    const received = Number(await answered);
    if (received !== bytes) throw new Error(`${received} of ${bytes} bytes arrived`);
    return (performance.now() - started) / 1e3;
  }
}

async function readText(stream: QuicStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += new TextDecoder().decode(chunk);
  return text;
}
