import type { QuicConnection, QuicStream } from "../../io/quic/index.ts";
import type { Lanes } from "../../link/index.ts";

/** What is handed to the engine in one call. */
const writeBytes = 262_144;

interface LaneStream {
  readonly stream: QuicStream;
  /** The engine takes no more at the moment. */
  blocked: boolean;
}

/** The lanes of a link on its streams: each gets one when it first has something to say. */
export class Outgoing {
  readonly #connection: QuicConnection;
  readonly #lanes: Lanes;
  readonly #onFlushable: () => void;
  readonly #onReset: () => void;
  readonly #streams: (LaneStream | undefined)[] = [];
  /** Lanes that got no stream for want of credit. */
  #streamless: number[] = [];

  /** @param onFlushable the engine takes bytes again; call `flush`. @param onReset the peer refuses a lane. */
  constructor(connection: QuicConnection, lanes: Lanes, onFlushable: () => void, onReset: () => void) {
    this.#connection = connection;
    this.#lanes = lanes;
    this.#onFlushable = onFlushable;
    this.#onReset = onReset;
  }

  /** Bytes that no stream has taken yet. */
  get queuedBytes(): number {
    return this.#lanes.queuedBytes;
  }

  /** There is credit for streams again: call `flush`. */
  onStreamsAvailable(): void {
    for (const number of this.#streamless) this.#lanes.again(number);
    this.#streamless = [];
  }

  /** Writes what waits, as far as the engine takes it. */
  flush(): void {
    const lanes = this.#lanes;
    for (let number = lanes.nextDirty(); number !== undefined; number = lanes.nextDirty()) {
      const lane = this.#streams[number] ?? this.#open(number);
      if (lane === undefined || lane.blocked) continue;
      for (
        let bytes = lanes.take(number, writeBytes);
        bytes !== undefined;
        bytes = lanes.take(number, writeBytes)
      ) {
        const taken = lane.stream.write(bytes);
        if (taken === bytes.length) continue;
        lane.blocked = true;
        lanes.putBack(number, bytes.subarray(taken));
        break;
      }
    }
  }

  /** Says on every lane that nothing more comes. Resolves when the peer has all of them to the end, or the connection is gone. */
  async finish(): Promise<void> {
    const streams = this.#streams.flatMap((lane) => (lane === undefined ? [] : [lane.stream]));
    for (const stream of streams) stream.finish();
    await Promise.allSettled(streams.map(({ finished }) => finished));
  }

  #open(number: number): LaneStream | undefined {
    const stream = this.#connection.openStream({ bidirectional: false });
    if (stream === undefined) {
      this.#streamless.push(number);
      return undefined;
    }
    const lane = { stream, blocked: false };
    this.#streams[number] = lane;
    stream.onWritable = () => {
      lane.blocked = false;
      this.#lanes.again(number);
      this.#onFlushable();
    };
    stream.onReset = this.#onReset;
    return lane;
  }
}
