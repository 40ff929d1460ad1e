import { afterEach, describe, expect, test } from "vitest";
import { concat } from "../../src/base/bytes.ts";
import type { MeshError } from "../../src/base/errors.ts";
import {
  type QuicConnection,
  QuicEndpoint,
  type QuicStream,
  type SessionTicket,
} from "../../src/io/quic/index.ts";
import { TestRealm } from "./support/certificates.ts";
import { connectPair, createPair, echo, nextConnection, type Pair } from "./support/endpoints.ts";
import { UdpRelay } from "./support/relay.ts";

let pair: Pair | undefined;
const others: { close(): unknown }[] = [];
afterEach(async () => {
  await pair?.close();
  pair = undefined;
  for (const other of others.splice(0)) await other.close();
});

async function collect(stream: QuicStream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk.slice());
  return concat(chunks);
}

function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8)) & 255);
}

function open(connection: QuicConnection, bidirectional = true): QuicStream {
  const stream = connection.openStream({ bidirectional });
  if (stream === undefined) throw new Error("no stream");
  return stream;
}

function nextStream(connection: QuicConnection): Promise<QuicStream> {
  return new Promise((resolve) => {
    connection.onStream = resolve;
  });
}

function nextTicket(connection: QuicConnection): Promise<SessionTicket> {
  return new Promise((resolve) => {
    connection.onTicket = resolve;
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "no error",
    (error: MeshError) => error.code,
  );
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
    await client.established;
    expect(client.handshakeComplete && server.handshakeComplete).toBe(true);
  });

  test("bytes go both ways, small and large, and end", async () => {
    pair = await createPair();
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    const sent = pattern(3_000_001);
    const stream = open(client);
    const received = collect(stream);
    await stream.writeAll(sent.subarray(0, 10));
    await stream.writeAll(sent.subarray(10, 5_000));
    await stream.writeAll(sent.subarray(5_000));
    stream.finish();
    expect(Buffer.compare(await received, sent)).toBe(0);
    await stream.finished;
  });

  test("closing tells the peer code and reason, and is idempotent", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    client.close(42, "enough");
    client.close(43, "again");
    expect(await client.closed).toBeUndefined();
    expect((await server.closed)?.code).toBe("CLOSED");
    expect(server.applicationClose).toEqual({ code: 42, reason: "enough" });
    expect(client.openStream({ bidirectional: true })).toBeUndefined();
    expect(client.sendDatagram(new Uint8Array(1))).toBe(false);
    expect(client.stats().rttMs).toBe(0);
  });

  test("the end of a connection reaches those who wait on its streams", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    const stream = open(client);
    stream.write(new Uint8Array(1));
    const waiting = collect(stream);
    const serverStream = await nextStream(server);
    server.close(1);
    expect(await codeOf(waiting)).toBe("CLOSED");
    expect(await codeOf(stream.writeAll(new Uint8Array(1)))).toBe("CLOSED");
    expect(await codeOf(stream.finished)).toBe("CLOSED");
    expect(serverStream.write(new Uint8Array(1))).toBe(0);
  });

  test("it survives the closing and resetting of its streams", async () => {
    pair = await createPair();
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    for (let index = 0; index < 300; index++) {
      await until(() => {
        const stream = client.openStream({ bidirectional: true });
        if (stream === undefined) return false;
        stream.write(new Uint8Array(10));
        if (index % 3 === 0) stream.reset(1);
        if (index % 3 === 1) stream.finish();
        stream.stopReading(2);
        if (index % 3 === 2) stream.finish();
        return true;
      });
    }
    const last = open(client);
    const received = collect(last);
    await last.writeAll(pattern(1_000));
    last.finish();
    expect(await received).toEqual(pattern(1_000));
    expect(client.isClosed).toBe(false);
  });

  test("datagrams go both ways", async () => {
    pair = await createPair();
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    const returned = new Promise<Uint8Array>((resolve) => {
      client.onDatagram = resolve;
    });
    expect(client.datagramBytesMax).toBeGreaterThan(1_000);
    expect(client.sendDatagram(pattern(100))).toBe(true);
    expect(client.sendDatagram(new Uint8Array(70_000))).toBe(false);
    expect(new Uint8Array(await returned)).toEqual(pattern(100));
    const stats = client.stats();
    expect(stats.datagramsSent).toBe(1);
    expect(stats.rttMs).toBeGreaterThan(0);
  });
});

describe("errors have codes on both sides", () => {
  async function failed(dial: Promise<QuicConnection>, server: QuicEndpoint): Promise<[string, string]> {
    const atServer = new Promise<string>((resolve) => {
      server.onIncomingFailed = (error) => resolve(error.code);
    });
    const connecting = dial.then((connection) => connection.established);
    return [await codeOf(connecting), await atServer];
  }

  test("wrong realm", async () => {
    pair = await createPair();
    const other = await TestRealm.create();
    const node = await other.issue();
    const stranger = await QuicEndpoint.listen({
      host: "127.0.0.1",
      trust: other.trust,
      identity: node.identity,
    });
    others.push(stranger);
    expect(await failed(stranger.connect(pair.target), pair.server)).toEqual(["WRONG_REALM", "WRONG_REALM"]);
  });

  test("wrong node", async () => {
    pair = await createPair();
    const dial = pair.client.connect(pair.target, { nodeId: pair.clientNode.nodeId });
    expect(await failed(dial, pair.server)).toEqual(["WRONG_NODE", "WRONG_NODE"]);
  });

  test("wrong ALPN", async () => {
    pair = await createPair();
    const dial = pair.client.connect(pair.target, { alpn: "other/1.0" });
    expect(await failed(dial, pair.server)).toEqual(["WRONG_ALPN", "WRONG_ALPN"]);
  });

  test("expired, at the server", async () => {
    pair = await createPair({ server: { wallClock: () => Date.now() + 60 * 86_400_000 } });
    expect(await failed(pair.client.connect(pair.target), pair.server)).toEqual([
      "CERTIFICATE_EXPIRED",
      "CERTIFICATE_EXPIRED",
    ]);
  });

  test("revoked while running", async () => {
    pair = await createPair();
    await connectPair(pair);
    pair.server.setTrust({ ...pair.realm.trust, revoked: [pair.clientNode.nodeId] });
    expect(await failed(pair.client.connect(pair.target), pair.server)).toEqual(["REVOKED", "REVOKED"]);
  });

  test("nobody listens: refused", async () => {
    pair = await createPair();
    await pair.server.close();
    const dial = pair.client.connect(pair.target, { timeoutMs: 5_000 });
    expect(await codeOf(dial)).toBe(process.platform === "linux" ? "REFUSED" : "TIMEOUT");
  });

  test("no answer: timeout, and abort", async () => {
    pair = await createPair();
    const silent = await UdpRelay.open(pair.target, { loss: 1 });
    others.push(silent);
    expect(await codeOf(pair.client.connect(silent.address, { timeoutMs: 50 }))).toBe("TIMEOUT");
    const abort = new AbortController();
    const dial = pair.client.connect(silent.address, { signal: abort.signal });
    setImmediate(() => abort.abort());
    expect(await codeOf(dial)).toBe("CLOSED");
    expect(await codeOf(pair.client.connect(silent.address, { signal: abort.signal }))).toBe("CLOSED");
  });

  test("a full server refuses", async () => {
    pair = await createPair({ server: { connectionsMax: 1 } });
    await connectPair(pair);
    expect(await codeOf(pair.client.connect(pair.target))).toBe("REFUSED");
    expect(pair.server.stats().incomingRefused).toBe(1);
  });

  test("wrong settings are named", async () => {
    const realm = await TestRealm.create();
    const node = await realm.issue();
    const listen = (extra: object) =>
      QuicEndpoint.listen({ host: "127.0.0.1", trust: realm.trust, identity: node.identity, ...extra });
    await expect(listen({ mtuMax: 10 })).rejects.toThrow(
      /mtuMax is a whole number from 1200 to 65527, not 10/,
    );
    await expect(listen({ identity: { ...node.identity, privateKey: new Uint8Array(3) } })).rejects.toThrow(
      /private key/,
    );
    await expect(listen({ trust: { authorities: [new Uint8Array(9)] } })).rejects.toThrow(/authority 0/);
    pair = await createPair();
    expect(await codeOf(listen({ port: pair.target.port }))).toBe("CONFIGURATION");
    expect(await codeOf(listen({ host: "not an address" }))).toBe("CONFIGURATION");
  });
});

describe("back-pressure and resets", () => {
  test("a reader that stops: write returns 0, memory is bounded, and it goes on", async () => {
    pair = await createPair({
      server: { streamWindowBytes: 100_000 },
      client: { sendWindowBytes: 200_000 },
    });
    const { client, server } = await connectPair(pair);
    const stream = open(client);
    const block = new Uint8Array(1_000);
    let accepted = 0;
    const fill = () => {
      while (stream.write(block) === block.length) accepted += block.length;
    };
    stream.onWritable = fill;
    fill();
    const incoming = await nextStream(server);
    await until(() => server.stats().bytesReceived >= 100_000);
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    // Window, send window, and one batch of small writes.
    expect(accepted).toBeLessThanOrEqual(100_000 + 200_000 + 256 * 1024);
    expect(stream.write(block)).toBe(0);
    const before = accepted;
    let received = 0;
    incoming.onReadable = () => {
      for (let chunk = incoming.read(); chunk !== undefined; chunk = incoming.read())
        received += chunk.length;
    };
    incoming.onReadable();
    await until(() => accepted > before + 1_000_000);
    expect(received).toBeGreaterThan(before);
  });

  test("codes of resets and of stop arrive", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    const stream = open(client);
    const resets: [number, string][] = [];
    stream.onReset = (code, side) => resets.push([code, side]);
    stream.write(new Uint8Array(1));
    const incoming = await nextStream(server);
    incoming.onReset = (code, side) => resets.push([code + 1_000, side]);
    incoming.stopReading(5);
    incoming.reset(6);
    await until(() => resets.length === 2);
    expect(resets.sort(([a], [b]) => a - b)).toEqual([
      [5, "write"],
      [6, "read"],
    ]);
    expect(stream.writeError?.code).toBe("RESET");
    expect(stream.readError?.code).toBe("RESET");
    expect(await codeOf(stream.finished)).toBe("RESET");
  });

  test("the peer's limit of streams holds, and is given back", async () => {
    pair = await createPair({ server: { bidirectionalStreamsMax: 3 } });
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    const streams = [open(client), open(client), open(client)];
    expect(client.openStream({ bidirectional: true })).toBeUndefined();
    const available = new Promise<boolean>((resolve) => {
      client.onStreamsAvailable = resolve;
    });
    for (const stream of streams) {
      stream.finish();
      await collect(stream);
    }
    expect(await available).toBe(true);
    open(client);
  });

  test("as Node and Web streams", async () => {
    pair = await createPair();
    echo(pair.server);
    const client = await pair.client.connect(pair.target);
    const sent = pattern(1_000_000);
    const duplex = open(client).toNode();
    duplex.end(sent);
    const chunks: Uint8Array[] = [];
    for await (const chunk of duplex) chunks.push(chunk as Uint8Array);
    expect(Buffer.compare(concat(chunks), sent)).toBe(0);
    const { readable, writable } = open(client).toWeb();
    const writer = writable.getWriter();
    const written = writer.write(sent).then(() => writer.close());
    const web: Uint8Array[] = [];
    for await (const chunk of readable) web.push(chunk.slice());
    await written;
    expect(Buffer.compare(concat(web), sent)).toBe(0);
  });
});

describe("addresses", () => {
  test("a transfer outlives 20 changes of the peer's address", async () => {
    pair = await createPair({ client: { loopbackMtuMax: 1_452 }, server: { loopbackMtuMax: 1_452 } });
    const relay = await UdpRelay.open(pair.target, { loss: 0.005 });
    others.push(relay);
    const incoming = nextConnection(pair.server);
    const client = await pair.client.connect(relay.address);
    const server = await incoming;
    let changes = 0;
    server.onAddressChange = () => changes++;
    const arriving = nextStream(server).then(collect);
    const sent = pattern(6_000_000);
    const stream = open(client, false);
    for (let part = 0; part < 20; part++) {
      await stream.writeAll(sent.subarray(part * 300_000, (part + 1) * 300_000));
      await relay.switchPort();
    }
    stream.finish();
    expect(Buffer.compare(await arriving, sent)).toBe(0);
    expect(changes).toBeGreaterThan(0);
    expect(relay.dropped).toBeGreaterThan(0);
  });

  test("foreign datagrams share the socket", async () => {
    pair = await createPair();
    const got = new Promise<[number, string]>((resolve) => {
      (pair as Pair).server.onForeignDatagram = (from, bytes) =>
        resolve([from.port, Buffer.from(bytes).toString("hex")]);
    });
    const { host, port } = pair.target;
    const bytes = Uint8Array.of(0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42);
    expect(pair.client.sendForeign([{ host, port, bytes }])).toBe(1);
    expect(await got).toEqual([pair.client.address.port, "000100002112a442"]);
    expect(pair.server.stats().foreignReceived).toBe(1);
  });

  test("a virtual address: the path below may change without QUIC noticing", async () => {
    pair = await createPair();
    const { server, client } = pair;
    const virtualServer = { host: "fd00:6d61:6375:6c61::1", port: 1 };
    const virtualClient = { host: "fd00:6d61:6375:6c61::2", port: 1 };
    // First by hand, as a relay would: what goes to the one comes out at the other.
    client.onVirtualDatagram = (_, bytes) => server.receiveFrom([{ ...virtualClient, bytes }]);
    server.onVirtualDatagram = (_, bytes) => client.receiveFrom([{ ...virtualServer, bytes }]);
    echo(server);
    const connection = await client.connect(virtualServer, { nodeId: pair.serverNode.nodeId });
    let changes = 0;
    connection.onAddressChange = () => changes++;
    const stream = open(connection);
    const received = collect(stream);
    await stream.writeAll(pattern(200_000));
    // Then straight through the sockets.
    client.mapAddress(virtualServer, server.address);
    server.mapAddress(virtualClient, client.address);
    client.onVirtualDatagram = undefined;
    server.onVirtualDatagram = undefined;
    await stream.writeAll(pattern(200_000));
    stream.finish();
    expect((await received).length).toBe(400_000);
    expect(connection.remoteAddress).toEqual(virtualServer);
    expect(changes).toBe(0);
  });
});

describe("early data", () => {
  test("a ticket opens a connection at once, and the server sees that the data is early", async () => {
    pair = await createPair();
    const first = await pair.client.connect(pair.target);
    const ticket = await nextTicket(first);
    expect(ticket.nodeId).toBe(pair.serverNode.nodeId);
    const early = new Promise<[boolean, boolean, string]>((resolve) => {
      (pair as Pair).server.onConnection = (connection) => {
        connection.onStream = (stream) =>
          resolve([connection.handshakeComplete, stream.early, connection.peerNodeId]);
      };
    });
    const connection = await pair.client.connect(pair.target, { ticket });
    expect(connection.earlyData).toBe("offered");
    expect(connection.peerNodeId).toBe(pair.serverNode.nodeId);
    open(connection).write(pattern(100));
    expect(await early).toEqual([false, true, pair.clientNode.nodeId]);
    await connection.established;
    expect(connection.earlyData).toBe("accepted");
  });

  test("a server that forgot: the streams are lost and said to be, new ones work", async () => {
    pair = await createPair();
    const ticket = await nextTicket(await pair.client.connect(pair.target));
    await pair.server.close();
    const again = await QuicEndpoint.listen({
      host: "127.0.0.1",
      trust: pair.realm.trust,
      identity: pair.serverNode.identity,
    });
    others.push(again);
    echo(again);
    const connection = await pair.client.connect(again.address, { ticket });
    const lost = open(connection);
    lost.write(pattern(100));
    const rejected = new Promise<void>((resolve) => {
      connection.onEarlyRejected = resolve;
    });
    await rejected;
    expect(connection.earlyData).toBe("rejected");
    expect(lost.writeError?.code).toBe("RESET");
    expect(lost.write(new Uint8Array(1))).toBe(0);
    const stream = open(connection);
    const received = collect(stream);
    stream.write(pattern(10));
    stream.finish();
    expect(await received).toEqual(pattern(10));
  });
});

describe("an endpoint", () => {
  test("a callback that throws is reported and disturbs nothing", async () => {
    pair = await createPair();
    const errors: string[] = [];
    pair.server.onError = (error) => {
      errors.push(error.message);
      throw new Error("and this one too");
    };
    pair.server.onConnection = (connection) => {
      connection.onStream = (stream) => {
        stream.onReadable = () => {
          for (let chunk = stream.read(); chunk !== undefined; chunk = stream.read()) stream.write(chunk);
          throw new Error("in onReadable");
        };
        throw new Error("in onStream");
      };
      throw new Error("in onConnection");
    };
    const client = await pair.client.connect(pair.target);
    const stream = open(client);
    stream.write(pattern(10));
    await until(() => errors.includes("in onStream"));
    stream.write(pattern(10));
    await stream.readable();
    expect(errors.slice(0, 2)).toEqual(["in onConnection", "in onStream"]);
    expect(pair.server.stats().callbackErrors).toBeGreaterThanOrEqual(2);
  });

  test("close is idempotent, tells the peers, and calls after it are harmless", async () => {
    pair = await createPair();
    const { client, server } = await connectPair(pair);
    const stream = open(client);
    await Promise.all([pair.client.close({ code: 7, reason: "bye" }), pair.client.close()]);
    expect((await server.closed)?.code).toBe("CLOSED");
    expect(server.applicationClose).toEqual({ code: 7, reason: "bye" });
    expect(await pair.client.closed).toBeUndefined();
    expect(await client.closed).toBeUndefined();
    expect(await codeOf(pair.client.connect(pair.target))).toBe("CLOSED");
    expect(stream.write(new Uint8Array(1))).toBe(0);
    expect(stream.read()).toBeUndefined();
    stream.reset(1);
    stream.finish();
    client.close(1);
    expect(pair.client.sendForeign([])).toBe(0);
    pair.client.receiveFrom([]);
    pair.client.setTrust(pair.realm.trust);
    expect(pair.client.stats().connections).toBe(1);
  });

  test("a renewed identity serves new connections, the old ones go on", async () => {
    pair = await createPair();
    const old = await connectPair(pair);
    const renewed = await pair.realm.issue();
    pair.server.setIdentity(renewed.identity);
    const connection = await pair.client.connect(pair.target, { nodeId: renewed.nodeId });
    expect(connection.peerNodeId).toBe(renewed.nodeId);
    const stream = open(old.client);
    stream.write(pattern(10));
    expect((await nextStream(old.server)).id).toBe(stream.id);
  });

  test("the key log has the lines of SSLKEYLOGFILE", async () => {
    const lines: string[] = [];
    pair = await createPair({ client: { keyLog: (line) => lines.push(line) } });
    await connectPair(pair);
    expect(lines.some((line) => /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/.test(line))).toBe(true);
  });

  test("a thousand connections come and go, and nothing stays", async () => {
    pair = await createPair({ server: { handshakesPerAddressMax: 256 } });
    for (let round = 0; round < 10; round++) {
      const all = await Promise.all(
        Array.from({ length: 100 }, () => (pair as Pair).client.connect((pair as Pair).target)),
      );
      for (const connection of all) connection.close(0);
    }
    const gone = (endpoint: QuicEndpoint) => endpoint.stats().connections === 0;
    await until(() => gone((pair as Pair).client) && gone((pair as Pair).server));
    expect(pair.server.stats().incoming).toBe(1_000);
    expect(pair.server.stats().handshakes).toBe(0);
  });
});
