import { Duplex } from "node:stream";
import { toError } from "../../base/errors.ts";
import type { QuicStream } from "./stream.ts";

/** The code with which a stream ends that was destroyed or cancelled through an adapter. */
const abandonedCode = 0;

/** `stream` as Node's Duplex, with its back-pressure both ways. A one-way stream is a Duplex with one side ended. */
export function toNodeStream(stream: QuicStream): Duplex {
  let wanted = false;
  const duplex = new Duplex({
    allowHalfOpen: true,
    read() {
      wanted = true;
      pull();
    },
    write(chunk: Uint8Array, _encoding, done) {
      void writeThrough(stream, chunk, done);
    },
    final(done) {
      stream.finish();
      done();
    },
    destroy(error, done) {
      stream.onReadable = undefined;
      stream.stopReading(abandonedCode);
      if (error !== null) stream.reset(abandonedCode);
      else stream.finish();
      done(error);
    },
  });
  function pull(): void {
    while (wanted) {
      const chunk = stream.read();
      if (chunk === undefined) {
        if (stream.readError !== undefined && !duplex.destroyed && duplex.readable)
          duplex.destroy(stream.readError);
        else if (stream.readEnded) duplex.push(null);
        wanted &&= !stream.readEnded;
        return;
      }
      wanted = duplex.push(chunk);
    }
  }
  stream.onReadable = pull;
  if (!stream.canRead) duplex.push(null);
  if (!stream.canWrite) duplex.end();
  return duplex;
}

async function writeThrough(
  stream: QuicStream,
  chunk: Uint8Array,
  done: (error?: Error | null) => void,
): Promise<void> {
  let failure: Error | null = null;
  try {
    await stream.writeAll(chunk);
  } catch (error) {
    failure = toError(error);
  }
  done(failure);
}

/** `stream` as a pair of Web streams. Cancelling the one stops reading, aborting the other resets. */
export function toWebStreams(stream: QuicStream): {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
} {
  const chunks = stream[Symbol.asyncIterator]();
  const readable = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await chunks.next();
          if (next.done === true) controller.close();
          else controller.enqueue(next.value);
        } catch (error) {
          controller.error(toError(error));
        }
      },
      cancel() {
        stream.stopReading(abandonedCode);
      },
    },
    { highWaterMark: 0 },
  );
  const writable = new WritableStream<Uint8Array>({
    write: (chunk) => stream.writeAll(chunk),
    close: () => stream.finish(),
    abort: () => stream.reset(abandonedCode),
  });
  return { readable, writable };
}
