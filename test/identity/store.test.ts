import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readCertificate, renewAt } from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import {
  type IdentityStore,
  nodeIdentity,
  openIdentityStore,
  readCookieFile,
  renewNodeIdentity,
} from "../../src/io/identity-store.ts";
import { testAuthority } from "./support.ts";

const day = 86_400_000;
const name = "node1@localhost:4433";

let folder: string;
let disk: IdentityStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "macula-store-"));
  disk = await openIdentityStore(folder);
});
afterEach(() => rm(folder, { recursive: true }));

const refused = expect.objectContaining({ code: "CONFIGURATION" });

describe("cookie", () => {
  test("a missing one is generated once, kept, and each realm has its own", async () => {
    const first = await disk.cookie("demo");
    expect(first).toEqual({ cookie: expect.stringMatching(/^[a-z2-7]{32}$/), generated: true });
    const again = await openIdentityStore(folder);
    expect(await again.cookie("demo")).toEqual({ cookie: first.cookie, generated: false });
    expect((await again.cookie("other")).cookie).not.toBe(first.cookie);
  });

  test("processes that start at the same time get the same one", async () => {
    const stores = await Promise.all(Array.from({ length: 10 }, () => openIdentityStore(folder)));
    const cookies = await Promise.all(stores.map((store) => store.cookie("demo")));
    expect(new Set(cookies.map(({ cookie }) => cookie)).size).toBe(1);
    expect(cookies.filter(({ generated }) => generated)).toHaveLength(1);
  });

  test("a file of the user's own loses one line end, and must be private", async () => {
    const path = join(folder, "mine");
    await writeFile(path, "my own cookie\r\n", { mode: 0o600 });
    expect(await readCookieFile(path)).toBe("my own cookie");
    await chmod(path, 0o640);
    await expect(readCookieFile(path)).rejects.toMatchObject({
      message: expect.stringContaining("chmod 600"),
    });
    await expect(readCookieFile(join(folder, "none"))).rejects.toEqual(refused);
  });

  test("in memory it lasts as long as the store", async () => {
    const store = await openIdentityStore(undefined);
    const { cookie } = await store.cookie("demo");
    expect(await store.cookie("demo")).toEqual({ cookie, generated: false });
    expect((await (await openIdentityStore(undefined)).cookie("demo")).cookie).not.toBe(cookie);
  });

  test.each(["", "..", "../demo", "a/b", ".x", "a b", "é", "x".repeat(64), "a\0"])(
    "no realm is called %j",
    async (realm) => {
      await expect(disk.cookie(realm)).rejects.toEqual(refused);
      await expect(disk.nodeKeys(realm, name)).rejects.toEqual(refused);
      await expect(nodeIdentity({ realm, name, store: disk })).rejects.toEqual(refused);
    },
  );
});

describe("DESIGN §3: a node's identity", () => {
  const own = async (extra: { now?: number; store?: IdentityStore; name?: string } = {}) => ({
    realm: "demo",
    name,
    store: disk,
    authority: await testAuthority("demo"),
    ...extra,
  });

  test("stays the same from start to start, and differs by node name and realm", async () => {
    const first = await nodeIdentity(await own());
    const again = await nodeIdentity(await own({ store: await openIdentityStore(folder) }));
    expect(again).toEqual(first);
    expect((await nodeIdentity(await own({ name: "node2@localhost:4433" }))).nodeId).not.toBe(first.nodeId);
    const elsewhere = { ...(await own()), realm: "other", authority: await testAuthority("other") };
    expect((await nodeIdentity(elsewhere)).nodeId).not.toBe(first.nodeId);
  });

  test("several starts at once agree on the key", async () => {
    const identities = await Promise.all(Array.from({ length: 8 }, async () => nodeIdentity(await own())));
    expect(new Set(identities.map(({ nodeId }) => nodeId)).size).toBe(1);
  });

  test("a certificate is kept for two thirds of its life, then renewed without a new identity", async () => {
    const now = Date.now();
    const first = await nodeIdentity(await own({ now }));
    expect(first.notAfter - now).toBeGreaterThan(29 * day);
    expect(first.notBefore).toBeLessThan(now - 5 * 60_000);
    const due = renewAt(first.notBefore, first.notAfter);
    expect(await nodeIdentity(await own({ now: due - 1 }))).toEqual(first);
    const renewed = await nodeIdentity(await own({ now: due }));
    expect(renewed.nodeId).toBe(first.nodeId);
    expect(renewed.publicKey).toEqual(first.publicKey);
    expect(renewed.certificateChain).not.toEqual(first.certificateChain);
    expect(renewed.notAfter).toBeGreaterThan(first.notAfter);
    expect(await nodeIdentity(await own({ now: due }))).toEqual(renewed);
  });

  test("also on demand, in memory too", async () => {
    const store = await openIdentityStore(undefined);
    const first = await nodeIdentity(await own({ store }));
    const renewed = await renewNodeIdentity(await own({ store }));
    expect(renewed.nodeId).toBe(first.nodeId);
    expect(renewed.certificateChain).not.toEqual(first.certificateChain);
  });

  test("a clock that was wrong gets a new certificate, not one from the future", async () => {
    const now = Date.now();
    const early = await nodeIdentity(await own({ now: now + 10 * day }));
    const right = await nodeIdentity(await own({ now }));
    expect(right.notBefore).toBeLessThan(now);
    expect(right.nodeId).toBe(early.nodeId);
  });

  test("with another cookie the same node gets a certificate of another authority", async () => {
    const of = (cookie: string) => nodeIdentity({ realm: "demo", name, store: disk, cookie });
    const [first, other] = [await of("one cookie"), await of("another")];
    expect(other.nodeId).toBe(first.nodeId);
    expect(other.authorities).not.toEqual(first.authorities);
    expect(other.certificateChain).not.toEqual(first.certificateChain);
  });

  test("without cookie and authority the kept cookie counts", async () => {
    const identity = await nodeIdentity({ realm: "demo", name, store: disk });
    const { cookie, generated } = await disk.cookie("demo");
    expect(generated).toBe(false);
    expect(await nodeIdentity({ realm: "demo", name, store: disk, cookie })).toEqual(identity);
  });

  test("a cookie and an authority are one too many", async () => {
    await expect(nodeIdentity({ ...(await own()), cookie: "x" })).rejects.toEqual(refused);
    await expect(nodeIdentity({ ...(await own()), realm: "other" })).rejects.toEqual(refused);
  });

  test("a broken certificate is replaced, a broken key is not", async () => {
    const first = await nodeIdentity(await own());
    const file = join(folder, "realms", "demo", "nodes", "node1@localhost%3a4433");
    await writeFile(
      `${file}.certificate.pem`,
      "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
    );
    expect((await nodeIdentity(await own())).nodeId).toBe(first.nodeId);
    expect(await readFile(`${file}.certificate.pem`, "utf8")).toContain("BEGIN CERTIFICATE");
    await writeFile(`${file}.key.pem`, "");
    await expect(nodeIdentity(await own())).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining(file),
    });
  });

  test("the certificate on disk is the node's", async () => {
    const { nodeId } = await nodeIdentity(await own());
    const [kept] = (await disk.certificates("demo", name)) ?? [];
    expect(readCertificate(kept as Uint8Array, identityCrypto).nodeId).toBe(nodeId);
  });

  test.each(["realms", "realms/demo", "realms/demo/nodes"])(
    "threat: nothing is read from %s once others can write to it",
    async (open) => {
      await nodeIdentity({ realm: "demo", name, store: disk });
      const path = join(folder, open);
      await chmod(path, 0o777);
      const again = await openIdentityStore(folder);
      const told = { code: "CONFIGURATION", message: `others can write to ${path}: chmod 700 ${path}` };
      await expect(again.nodeKeys("demo", name)).rejects.toMatchObject(told);
      await expect(again.certificates("demo", name)).rejects.toMatchObject(told);
      if (open !== "realms/demo/nodes") await expect(again.cookie("demo")).rejects.toMatchObject(told);
      await chmod(path, 0o755);
      expect((await again.cookie("demo")).generated).toBe(false);
    },
  );

  test("no secret is left where another user could read it", async () => {
    await nodeIdentity({ realm: "demo", name, store: disk });
    const { stdout } = await promisify(execFile)("find", [folder, "-type", "f", "-perm", "/077"]);
    expect(stdout).toBe("");
  });
});
