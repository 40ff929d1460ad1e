import { generateKeyPairSync } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import type { Authority } from "../../src/identity/authority.ts";
import { type NodeIdentity, ownAuthority } from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { nodeIdentity, openIdentityStore } from "../../src/io/identity-store.ts";
import { QuicEndpoint } from "../../src/io/quic/index.ts";
import { authorityPem } from "./own-authority-support.ts";
import { expiredIdentity, futureIdentity, strangerIdentity, testIdentity } from "./support.ts";

const endpoints: QuicEndpoint[] = [];
afterEach(async () => {
  await Promise.all(endpoints.splice(0).map((endpoint) => endpoint.close()));
});

async function listen(identity: NodeIdentity): Promise<QuicEndpoint> {
  const trust = { authorities: identity.authorities, realm: identity.realm };
  const endpoint = await QuicEndpoint.listen({ host: "127.0.0.1", port: 0, identity, trust });
  endpoints.push(endpoint);
  return endpoint;
}

/** What becomes of a dial, for the one who dials. */
async function meet(dialler: NodeIdentity, answerer: NodeIdentity) {
  const [from, to] = [await listen(dialler), await listen(answerer)];
  const connection = await from.connect(to.address, { timeoutMs: 20_000 });
  await connection.established;
  return connection;
}

async function memoryIdentity(authority: Authority): Promise<NodeIdentity> {
  const store = await openIdentityStore(undefined);
  return nodeIdentity({ realm: authority.realm, name: "a@b:1", store, authority });
}

// What rustls makes of our certificates; test/quic tries the rest of what an engine can meet.
describe("DESIGN §3: identities in the engine", () => {
  test("nodes that share realm and cookie meet, and know each other by their ids", async () => {
    const shared = { realm: "demo", cookie: "a cookie for the engine" };
    const [one, other] = [await testIdentity(shared), await testIdentity(shared)];
    const connection = await meet(one, other);
    expect(connection.peerNodeId).toBe(other.nodeId);
    expect(connection.peerPublicKey).toEqual(other.publicKey);
  });

  test("another cookie or another realm is WRONG_REALM", async () => {
    const one = await testIdentity({ realm: "demo", cookie: "a cookie for the engine" });
    const cookie = await testIdentity({ realm: "demo", cookie: "another" });
    const realm = await testIdentity({ realm: "other", cookie: "a cookie for the engine" });
    await expect(meet(one, cookie)).rejects.toMatchObject({ code: "WRONG_REALM" });
    await expect(meet(one, realm)).rejects.toMatchObject({ code: "WRONG_REALM" });
    await expect(meet(await testIdentity(), await strangerIdentity())).rejects.toMatchObject({
      code: "WRONG_REALM",
    });
  });

  test("a certificate out of its time is CERTIFICATE_EXPIRED, on either side", async () => {
    const right = await testIdentity();
    const wrong = [await expiredIdentity(), await futureIdentity()];
    for (const identity of wrong) {
      await expect(meet(right, identity)).rejects.toMatchObject({ code: "CERTIFICATE_EXPIRED" });
      // In TLS 1.3 the dialler is ready before the other side has seen its certificate: it may learn afterwards.
      const refused = meet(identity, right).then(({ closed }) => closed);
      const outcome = await refused.catch((error: unknown) => error);
      expect(outcome).toMatchObject({ code: "CERTIFICATE_EXPIRED" });
    }
  });

  test("nodes of one authority of the user's own meet, whatever its algorithm", async () => {
    const keys = [
      generateKeyPairSync("ec", { namedCurve: "prime256v1" }),
      generateKeyPairSync("ec", { namedCurve: "secp384r1" }),
      generateKeyPairSync("rsa", { modulusLength: 2_048 }),
    ];
    for (const pair of keys) {
      const authority = await ownAuthority("demo", await authorityPem(pair), identityCrypto);
      const [one, other] = [await memoryIdentity(authority), await memoryIdentity(authority)];
      expect((await meet(one, other)).peerNodeId).toBe(other.nodeId);
    }
  });

  test("one authority of the user's own for two realms keeps them apart", async () => {
    const pem = await authorityPem(generateKeyPairSync("ec", { namedCurve: "prime256v1" }));
    const demo = await memoryIdentity(await ownAuthority("demo", pem, identityCrypto));
    const other = await memoryIdentity(await ownAuthority("other", pem, identityCrypto));
    await expect(meet(demo, other)).rejects.toMatchObject({ code: "WRONG_REALM" });
  });

  test("after a renewal the node is the same", async () => {
    const one = await testIdentity();
    const keys = { privateKey: one.privateKey, publicKey: one.publicKey };
    const renewed = await testIdentity({ keys });
    const other = await testIdentity();
    expect((await meet(other, one)).peerNodeId).toBe(one.nodeId);
    expect((await meet(other, renewed)).peerNodeId).toBe(one.nodeId);
  });
});
