import { expect, test } from "vitest";
import type { MeshError } from "../../src/base/errors.ts";
import { type QuicConnection, VirtualQuicEndpoint } from "../../src/io/quic/index.ts";
import { TestRealm } from "./support/certificates.ts";

const delayMs = 1_000;

test("two endpoints on virtual time: seconds of delay pass in no time", async () => {
  const realm = await TestRealm.create();
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const base = { trust: realm.trust, wallClockMs: Date.now() };
  const client = new VirtualQuicEndpoint({ ...base, identity: a.identity });
  const server = new VirtualQuicEndpoint({ ...base, identity: b.identity });
  const addresses = new Map([
    [client, { host: "192.0.2.1", port: 1 }],
    [server, { host: "2001:db8::2", port: 4_433 }],
  ]);
  const to = (other: VirtualQuicEndpoint) => addresses.get(other) as { host: string; port: number };
  const echoed: string[] = [];
  server.onConnection = (connection) => {
    connection.onStream = (stream) => {
      stream.onReadable = () => void stream.write(stream.read() ?? new Uint8Array());
      stream.onReadable();
    };
  };
  const connection: QuicConnection = client.connect(to(server), { nodeId: b.nodeId });
  const stream = () => connection.openStream({ bidirectional: true });
  let opened: ReturnType<typeof stream>;

  const flights: { at: number; run: () => void }[] = [];
  let now = 0;
  while (now < 60_000 && echoed.length === 0) {
    for (const [from, target] of [
      [client, server],
      [server, client],
    ] as const) {
      for (const { bytes, host } of from.transmit(now)) {
        expect(host).toBe(to(target).host);
        const at = now + delayMs;
        flights.push({ at, run: () => target.receive([{ ...to(from), bytes }], at) });
      }
    }
    if (connection.handshakeComplete && opened === undefined) {
      opened = stream();
      opened?.write(new TextEncoder().encode("hello"));
      const reading = opened;
      if (opened !== undefined)
        opened.onReadable = () => echoed.push(new TextDecoder().decode(reading?.read()));
      continue;
    }
    const deadlines = [client.deadline(), server.deadline(), ...flights.map(({ at }) => at)];
    now = Math.max(now, Math.min(...deadlines.filter((at) => at !== undefined)));
    for (const flight of flights.filter(({ at }) => at <= now)) {
      flights.splice(flights.indexOf(flight), 1);
      flight.run();
    }
    client.tick(now);
    server.tick(now);
  }
  expect(echoed).toEqual(["hello"]);
  // A round trip for the handshake, one for the echo.
  expect(now).toBeGreaterThanOrEqual(4 * delayMs);
  expect(now).toBeLessThan(5 * delayMs);
  expect(connection.peerNodeId).toBe(b.nodeId);
});

test("threat: one host without a certificate begins handshakes and goes on with none of them", async () => {
  const realm = await TestRealm.create();
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const base = { trust: realm.trust, wallClockMs: Date.now() };
  const limits = { handshakesPerAddressMax: 8, handshakeTimeoutMs: 700 };
  const server = new VirtualQuicEndpoint({ ...base, ...limits, identity: b.identity });
  const target = { host: "192.0.2.2", port: 4_433 };
  const failures: MeshError[] = [];
  server.onIncomingFailed = (error) => failures.push(error);
  const dial = (host: string) => {
    const client = new VirtualQuicEndpoint({ ...base, identity: a.identity });
    const from = { host, port: 1_000 };
    const connection = client.connect(target, { nodeId: b.nodeId });
    const say = (now: number) => {
      for (const { bytes } of client.transmit(now)) server.receive([{ ...from, bytes }], now);
    };
    return { client, connection, say };
  };
  // Answers other than Retry (packet type 3) are lost on them.
  for (let index = 0; index < 40; index++) {
    const attacker = dial("192.0.2.66");
    attacker.say(0);
    for (const { bytes } of server.transmit(0)) {
      if ((bytes[0] ?? 0) >> 4 === 0xf) attacker.client.receive([{ ...target, bytes }], 0);
    }
    attacker.say(0);
  }
  expect(server.stats()).toMatchObject({ handshakes: 8, incomingRetried: 4, incomingRefused: 32 });

  const friend = dial("192.0.2.7");
  for (let turn = 0; turn < 4; turn++) {
    friend.say(1);
    for (const { bytes } of server.transmit(1)) friend.client.receive([{ ...target, bytes }], 1);
  }
  await expect(friend.connection.established).resolves.toBeUndefined();

  expect(server.deadline()).toBeLessThanOrEqual(701);
  server.tick(699);
  expect(failures).toEqual([]);
  server.tick(701);
  expect(server.stats()).toMatchObject({ handshakes: 0, incomingFailed: 8 });
  expect(failures.map(({ code }) => code)).toEqual(Array<string>(8).fill("TIMEOUT"));
  expect(failures[0]?.message).toContain("the handshake took too long");
});
