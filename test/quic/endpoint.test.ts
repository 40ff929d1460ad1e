import { afterEach, describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import { QuicEndpoint, type QuicStream } from "../../src/io/quic/index.ts";
import { TestRealm } from "./support/certificates.ts";
import { connectPair, createPair, echo, nextConnection, type Pair } from "./support/endpoints.ts";

let pair: Pair | undefined;
afterEach(async () => {
  await pair?.close();
  pair = undefined;
});

async function collect(stream: QuicStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk.slice());
  return concat(chunks);
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255);
}

describe("a connection", () => {
  test("both sides know each other", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    expect(client.peerNodeId).toBe(pair.serverNode.nodeId);
    expect(server.peerNodeId).toBe(pair.clientNode.nodeId);
    expect(client.peerCertificates.map((der) => Buffer.from(der).toString("hex"))).toEqual(
      pair.serverNode.identity.certificateChain.map((der) => Buffer.from(der).toString("hex")),
    );
    expect(server.peerCertificates).toHaveLength(1);
    expect([client.alpn, server.alpn]).toEqual(["macula/1.0", "macula/1.0"]);
    expect(client.remoteAddress).toEqual(pair.target);
    expect(server.remoteAddress.port).toBe(pair.client.address.port);
    expect(client.handshakeComplete && server.handshakeComplete).toBe(true);
  });

  test("bytes go both ways, small and large, and end", async () => {
    pair = await createPair();
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    const sent = pattern(3_000_001);
    const stream = client.openStream({ bidirectional: true });
    if (stream === undefined) throw new Error("no stream");
    const received = collect(stream);
    await stream.writeAll(sent.subarray(0, 10));
    await stream.writeAll(sent.subarray(10, 5_000));
    await stream.writeAll(sent.subarray(5_000));
    stream.finish();
    expect(Buffer.compare(await received, sent)).toBe(0);
    await stream.finished;
  });

  test("closing tells the peer code and reason", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    client.close(42, "enough");
    expect(await client.closed).toBeUndefined();
    expect((await server.closed)?.code).toBe("CLOSED");
    expect(server.applicationClose).toEqual({ code: 42, reason: "enough" });
    client.close(43, "again");
  });
});
