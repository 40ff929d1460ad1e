import { expect, test } from "vitest";
import { type EchoResult, runEchoClient, serveEcho } from "../../src/io/quic/index.ts";
import { TestRealm } from "./support/certificates.ts";

test("the echo client measures what the echo server sends back", async () => {
  const realm = await TestRealm.create();
  const [a, b] = await Promise.all([realm.issue(), realm.issue()]);
  const lines: string[] = [];
  const base = { host: "127.0.0.1", trust: realm.trust };
  const server = await serveEcho({ ...base, identity: a.identity, onEvent: (line) => lines.push(line) });
  const results: EchoResult[] = [];
  const options = { ...base, identity: b.identity, target: server.address };
  for await (const result of runEchoClient({
    ...options,
    roundTrips: 20,
    bytes: 1_000_000,
    streams: 300,
    datagrams: 20,
  })) {
    results.push(result);
  }
  await server.close();
  expect(results.map(({ kind }) => kind)).toEqual([
    "connected",
    "roundTrip",
    "throughput",
    "streams",
    "datagrams",
    "connection",
  ]);
  expect(results[0]).toMatchObject({ nodeId: a.nodeId });
  expect(results[2]).toMatchObject({ bytes: 1_000_000 });
  expect(results[3]).toMatchObject({ count: 300, failed: 0 });
  expect(results[4]).toMatchObject({ sent: 20 });
  expect(lines[0]).toContain(`connected 127.0.0.1`);
  expect(lines[0]).toContain(b.nodeId);
});
