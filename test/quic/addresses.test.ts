import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { QuicEndpoint } from "../../src/io/quic/index.ts";
import { createPair } from "./support/endpoints.ts";

/** A server at 127.0.0.1, and a client for which "host.test" has `addresses`. */
async function pairWith(addresses: readonly string[], host = "127.0.0.1") {
  const pair = await createPair({ client: { host, lookup: async () => addresses } });
  onTestFinished(() => pair.close());
  return { ...pair, named: { host: "host.test", port: pair.target.port } };
}

test("RFC 8305 §5: a refused address is followed by the next at once", async () => {
  const { client, named } = await pairWith(["::1", "127.0.0.2", "127.0.0.1"], "::");
  const connection = await client.connect(named);
  expect(connection.remoteAddress.host).toBe("127.0.0.1");
});

test("RFC 8305 §5: an address that says nothing does not hold up the next", async () => {
  const { client, named } = await pairWith(["127.0.0.2", "127.0.0.1"]);
  const silent = createSocket("udp4").bind(named.port, "127.0.0.2");
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  const connection = await client.connect(named);
  expect(connection.remoteAddress.host).toBe("127.0.0.1");
  expect(client.stats().connections).toBeLessThanOrEqual(2);
});

test("the first address that answers is the only one that is dialled", async () => {
  const { client, named, realm } = await pairWith(["127.0.0.1", "127.0.0.2"]);
  const { identity } = await realm.issue();
  const other = await QuicEndpoint.listen({
    host: "127.0.0.2",
    port: named.port,
    identity,
    trust: realm.trust,
  });
  onTestFinished(() => other.close());
  const connection = await client.connect(named);
  await connection.established;
  expect(connection.remoteAddress.host).toBe("127.0.0.1");
  expect(other.stats().datagramsReceived).toBe(0);
});

test("when all fail, one error names each address", async () => {
  const { client } = await pairWith(["127.0.0.2", "127.0.0.3"]);
  const dial = client.connect({ host: "host.test", port: 1 });
  await expect(dial).rejects.toMatchObject({
    code: "REFUSED",
    message: expect.stringMatching(/127\.0\.0\.2: .*; 127\.0\.0\.3: /),
  });
});

test("addresses of a family that the socket cannot reach are not tried", async () => {
  const { client, named } = await pairWith(["::1", "127.0.0.1"]);
  expect((await client.connect(named)).remoteAddress.host).toBe("127.0.0.1");
  const none = await pairWith(["::1"]);
  await expect(none.client.connect(none.named)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
});

test("aborting ends all attempts", async () => {
  const { client } = await pairWith(["127.0.0.2", "127.0.0.3"]);
  const silent = createSocket("udp4").bind(0, "127.0.0.2");
  onTestFinished(() => void silent.close());
  await once(silent, "listening");
  const abort = new AbortController();
  silent.once("message", () => abort.abort());
  const dial = client.connect({ host: "host.test", port: silent.address().port }, { signal: abort.signal });
  await expect(dial).rejects.toMatchObject({ code: "CLOSED" });
});
