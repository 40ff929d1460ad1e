import { webcrypto } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cookieAuthority, type KeyPair, type NodeIdentity, nodeIdOf } from "../../src/identity/index.ts";
import {
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "../../src/identity/x509.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { openIdentityStore } from "../../src/io/identity-store.ts";
import { QuicEndpoint } from "../../src/io/quic/index.ts";
import { systemRandom } from "../../src/io/random.ts";
import type { Log, LogFields } from "../../src/node/log.ts";
import { keepRenewed, type WallClock } from "../../src/node/renewal.ts";
import { expiredIdentity, testIdentity } from "../identity/support.ts";
import { deferred, realm, start } from "./support/nodes.ts";

const hour = 3_600_000;
const day = 24 * hour;

/** A clock on the wall that stands still until told. */
class ManualClock implements WallClock {
  #now: number;
  readonly #timers = new Set<{ readonly due: number; readonly action: () => void }>();

  constructor(now: number) {
    this.#now = now;
  }

  now = (): number => this.#now;

  after(waitMs: number, action: () => void): () => void {
    // What setTimeout takes; more than that it makes 1.
    expect(waitMs).toBeLessThan(2 ** 31);
    const timer = { due: this.#now + waitMs, action };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get running(): number {
    return this.#timers.size;
  }

  /** Lets the next timer go off, if it is due by then; what it starts comes to an end before the next one does. */
  async advanceTo(time: number): Promise<void> {
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > time) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      next.action();
      await settled();
    }
    this.#now = Math.max(this.#now, time);
  }
}

/** Promises that wait for nothing outside have come to their end. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function recordingLog() {
  const lines: Array<{ readonly event: string; readonly fields: LogFields }> = [];
  const write = (fields: LogFields, event: string) => void lines.push({ event, fields });
  const log: Log = { debug: write, info: write, warn: write, error: write };
  return { log, lines, count: (event: string) => lines.filter((line) => line.event === event).length };
}

/** An identity in which nothing but the validity counts. */
const validity = (notBefore: number, notAfter: number) => ({ notBefore, notAfter }) as NodeIdentity;

function keep(identity: NodeIdentity, renew: (clock: ManualClock) => Promise<NodeIdentity>, now = 0) {
  const clock = new ManualClock(now);
  const { log, lines, count } = recordingLog();
  const used: NodeIdentity[] = [];
  const renewals: number[] = [];
  const stop = keepRenewed({
    identity,
    renew: () => {
      renewals.push(clock.now());
      return renew(clock);
    },
    use: (renewed) => void used.push(renewed),
    log,
    clock,
  });
  return { clock, lines, count, used, renewals, stop };
}

describe("DESIGN §3: a certificate is renewed in time", () => {
  test.each([
    ["30 days", 30 * day],
    ["of more than the 2^31 ms that a timer takes", 400 * day],
    ["shorter than the gap between two looks", 20 * 60_000],
  ])("%s: between 7/12 and 8/12 of its life, again and again", async (_, life) => {
    const { clock, used, renewals, count } = keep(validity(0, life), async ({ now }) =>
      validity(now(), now() + life),
    );
    await clock.advanceTo((life * 7) / 12 - 1);
    expect(renewals).toEqual([]);
    await clock.advanceTo((life * 8) / 12 + 1);
    expect(renewals).toHaveLength(1);
    await clock.advanceTo(5 * life);
    expect(renewals.length).toBeGreaterThanOrEqual(7);
    expect(used).toHaveLength(renewals.length);
    expect(count("certificate.renewed")).toBe(renewals.length);
    expect(clock.running).toBe(1);
  });

  test("one that fails is told and tried again, at least every hour", async () => {
    let working = false;
    const renew = async ({ now }: ManualClock) => {
      if (!working) throw new Error("the disk is full");
      return validity(now(), now() + 30 * day);
    };
    const { clock, lines, used, renewals } = keep(validity(0, 30 * day), renew);
    await clock.advanceTo(20 * day + 10 * hour);
    expect(renewals.length).toBeGreaterThanOrEqual(10);
    expect(renewals.length).toBeLessThanOrEqual(2.5 * 24 + 11);
    expect(used).toEqual([]);
    const told = { event: "certificate.renewal_failed", fields: { error: "the disk is full" } };
    expect(lines).toEqual(renewals.map(() => told));
    working = true;
    await clock.advanceTo(20 * day + 12 * hour);
    expect(used).toHaveLength(1);
    expect(lines.at(-1)?.event).toBe("certificate.renewed");
  });

  test("of a short life several attempts fit into the rest, but not one a second", async () => {
    const { clock, renewals } = keep(validity(0, 2 * hour), () => Promise.reject(new Error("no")));
    await clock.advanceTo(2 * hour);
    expect(renewals.length).toBeGreaterThan(5);
    expect(renewals.length).toBeLessThan(50);
  });

  test("an authority about to end, whose certificates are due at once, is not asked without end", async () => {
    const { clock, renewals } = keep(validity(-day, hour), async () => validity(-day, hour));
    await clock.advanceTo(hour);
    expect(renewals.length).toBeLessThan(60);
  });

  test("a clock set forward is noticed within the hour", async () => {
    let now = 0;
    const waits: number[] = [];
    const ahead: WallClock = { now: () => now, after: (waitMs) => (waits.push(waitMs), () => {}) };
    keepRenewed({
      identity: validity(0, 30 * day),
      renew: () => Promise.reject(new Error("not yet")),
      use: () => {},
      log: recordingLog().log,
      clock: ahead,
    });
    now = 25 * day;
    expect(waits).toEqual([hour]);
  });
});

describe("stop", () => {
  test("leaves no timer", async () => {
    const { clock, renewals, stop } = keep(validity(0, 30 * day), async () => validity(0, 60 * day));
    expect(clock.running).toBe(1);
    await clock.advanceTo(5 * hour);
    expect(clock.running).toBe(1);
    stop();
    expect(clock.running).toBe(0);
    stop();
    await clock.advanceTo(60 * day);
    expect(renewals).toEqual([]);
  });

  test.each(["succeeds", "fails"])("nor does a renewal at work that %s afterwards", async (outcome) => {
    const { promise, resolve } = deferred<void>();
    const { clock, lines, used, renewals, stop } = keep(validity(0, 30 * day), async () => {
      await promise;
      if (outcome === "fails") throw new Error("too late");
      return validity(0, 60 * day);
    });
    await clock.advanceTo(20 * day);
    expect(renewals).toHaveLength(1);
    stop();
    resolve();
    await settled();
    expect(clock.running).toBe(0);
    expect(used).toEqual([]);
    expect(lines).toEqual([]);
  });
});

describe("new connections show the renewed certificate", () => {
  test("an endpoint whose certificate has ended is let in again", async () => {
    const expired = await expiredIdentity();
    const keys = { privateKey: expired.privateKey, publicKey: expired.publicKey };
    const other = await testIdentity();
    const options = (identity: NodeIdentity) => ({
      host: "127.0.0.1",
      port: 0,
      identity,
      trust: { authorities: identity.authorities, realm: identity.realm },
    });
    await using endpoint = await QuicEndpoint.listen(options(expired));
    await using peer = await QuicEndpoint.listen(options(other));
    const dial = async () => {
      const connection = await peer.connect(endpoint.address, { timeoutMs: 20_000 });
      await connection.established;
      return connection.peerNodeId;
    };
    await expect(dial()).rejects.toMatchObject({ code: "CERTIFICATE_EXPIRED" });

    const clock = new ManualClock(expired.notBefore);
    const renewed = deferred<void>();
    const stop = keepRenewed({
      identity: expired,
      renew: () => testIdentity({ keys }),
      use: (identity) => {
        endpoint.setIdentity(identity);
        renewed.resolve();
      },
      log: recordingLog().log,
      clock,
    });
    await clock.advanceTo(expired.notAfter);
    await renewed.promise;
    stop();
    expect(await dial()).toBe(expired.nodeId);
  });

  describe("a node", () => {
    let stateDir: string;
    beforeEach(async () => {
      stateDir = await mkdtemp(join(tmpdir(), "macula-renewal-"));
    });
    afterEach(async () => {
      vi.restoreAllMocks();
      await rm(stateDir, { recursive: true });
    });

    test("renews the certificate it kept, and can then be dialled", async () => {
      // As early as jitter makes it: what the node finds is not due at the start without jitter, and at once with it.
      vi.spyOn(systemRandom, "float").mockReturnValue(0.999);
      const name = "node@localhost:0";
      const store = await openIdentityStore(stateDir);
      const keys = await store.nodeKeys(realm.realm, name);
      await store.saveCertificates(realm.realm, name, [await uselessCertificate(keys)]);

      const renewed = deferred();
      const onEvent = (_: LogFields, event: string): void => {
        if (event === "certificate.renewed") renewed.resolve();
      };
      const logger: Log = { debug: onEvent, info: onEvent, warn: onEvent, error: onEvent };
      const node = await start({ name, stateDir, logger });
      await renewed.promise;
      const other = await start();
      expect(await other.connect(node.name)).toBe(true);
      expect(nodeIdOf(keys.publicKey, identityCrypto)).toBe(node.nodeId);
    });
  });
});

/**
 * A certificate of the realm's authority that is due in a moment and that no peer takes, as it is not for servers: a node
 * that is reached has shown another one.
 */
async function uselessCertificate(keys: KeyPair): Promise<Uint8Array> {
  const { issuer } = await cookieAuthority(realm.realm, realm.cookie, identityCrypto);
  if (issuer === undefined) throw new Error("a cookie's authority signs");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pkcs8 = new Uint8Array(issuer.keys.privateKey);
  const nodeId = nodeIdOf(keys.publicKey, identityCrypto);
  const certificate = await X509CertificateGenerator.create(
    {
      issuer: new X509Certificate(new Uint8Array(issuer.certificate)).subjectName,
      notBefore: new Date(Date.now() - 7 * day),
      notAfter: new Date(Date.now() + 4.5 * day),
      publicKey: new Uint8Array(keys.publicKey),
      signingKey: await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
      signingAlgorithm: algorithm,
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([{ type: "url", value: `macula:${realm.realm}/${nodeId}` }]),
      ],
    },
    webcrypto as Parameters<typeof X509CertificateGenerator.create>[1],
  );
  return new Uint8Array(certificate.rawData);
}
