// The other process of bench/quic.ts: a QUIC and a plain TCP server. Told what to be over IPC.
import { createServer } from "node:net";
import { QuicEndpoint, type QuicIdentity, type QuicStream, type QuicTrust } from "../src/io/quic/index.ts";

process.on("message", (given: { identity: QuicIdentity; trust: QuicTrust }) => {
  void serve(given.identity, given.trust);
});
process.on("disconnect", () => process.exit(0));

async function serve(identity: QuicIdentity, trust: QuicTrust): Promise<void> {
  const tcp = createServer({ noDelay: true }, (socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
  const quic = await QuicEndpoint.listen({ host: "127.0.0.1", identity, trust });
  quic.onConnection = (connection) => {
    connection.onStream = (stream) => {
      if (stream.bidirectional) echo(stream);
      else count(stream, () => connection.openStream({ bidirectional: false }));
    };
  };
  process.send?.({ tcp: (tcp.address() as { port: number }).port, quic: quic.address.port });
}

function echo(stream: QuicStream): void {
  stream.onReadable = () => {
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) stream.write(chunk);
    if (stream.readEnded) stream.finish();
  };
  stream.onReadable();
}

/** Counts what comes; at the end the count goes back. */
function count(stream: QuicStream, open: () => QuicStream | undefined): void {
  let bytes = 0;
  stream.onReadable = () => {
    for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) bytes += chunk.length;
    if (!stream.readEnded) return;
    const answer = open();
    answer?.write(new TextEncoder().encode(String(bytes)));
    answer?.finish();
  };
  stream.onReadable();
}
