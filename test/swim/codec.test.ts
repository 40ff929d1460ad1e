import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { hex } from "../../src/base/text.ts";
import { standInCrypto } from "../../src/sim/index.ts";
import { isSignedBy, readAccusation, signAccusation } from "../../src/swim/accusation.ts";
import { memberStates } from "../../src/swim/member.ts";
import { decodePacket, encodePacket, type PacketHead } from "../../src/swim/packet.ts";
import { RecordCache, readRecord, signRecord } from "../../src/swim/record.ts";
import { decodeSync, encodeSync, type SyncMessage } from "../../src/swim/sync-messages.ts";
import { Person } from "./support.ts";

const ids = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(nodeIdFromBytes);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const incarnations = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const heads: fc.Arbitrary<PacketHead> = fc.oneof(
  fc.record({ kind: fc.constantFrom("ping" as const, "ack" as const, "nack" as const), sequence: u32 }),
  fc.record({ kind: fc.constant("pingRequest" as const), sequence: u32, target: ids }),
  fc.record({ kind: fc.constant("gossip" as const) }),
);
const news = fc.array(
  fc.record({
    kind: fc.constantFrom("record" as const, "accusation" as const),
    bytes: fc.uint8Array({ maxLength: 300 }),
  }),
  { maxLength: 5 },
);
const messages: fc.Arbitrary<SyncMessage> = fc.oneof(
  fc.record({ kind: fc.constant("offer" as const), count: u32, hash: fc.tuple(u32, u32) }),
  fc.constant({ kind: "same" as const }),
  fc.record({
    kind: fc.constant("list" as const),
    entries: fc.array(
      fc.record({
        id: ids,
        incarnation: incarnations,
        fingerprint: u32,
        state: fc.constantFrom(...memberStates),
      }),
    ),
  }),
  fc.record({
    kind: fc.constant("records" as const),
    isLast: fc.boolean(),
    records: fc.array(fc.uint8Array({ maxLength: 300 })),
  }),
  fc.record({ kind: fc.constant("wants" as const), wanted: fc.array(ids), disputed: fc.array(ids) }),
);

describe("PROBE packets", () => {
  test("decode to what was encoded", () => {
    fc.assert(
      fc.property(heads, news, (head, items) => {
        expect(decodePacket(encodePacket(head, items))).toEqual({ head, news: items });
      }),
    );
  });

  test("are laid out as docs/wire-protocol.md draws them", () => {
    const target = nodeIdFromBytes(new Uint8Array(32).fill(7));
    const bytes = encodePacket({ kind: "pingRequest", sequence: 0x01020304, target }, [
      { kind: "record", bytes: Uint8Array.of(0xaa) },
      { kind: "accusation", bytes: Uint8Array.of(0xbb, 0xcc) },
    ]);
    expect(hex(bytes)).toBe(`0301020304${"07".repeat(32)}010001aa020002bbcc`);
    expect(hex(encodePacket({ kind: "gossip" }, []))).toBe("05");
  });

  test("pass over news of a kind that a later version may have", () => {
    expect(decodePacket(Uint8Array.of(5, 9, 0, 1, 0, 1, 0, 1, 3)).news).toEqual([
      { kind: "record", bytes: Uint8Array.of(3) },
    ]);
  });

  test.each([[[]], [[0]], [[6, 0, 0, 0, 0]], [[1, 0, 0]], [[3, 0, 0, 0, 0, 1]], [[5, 1, 0, 9, 1]]])(
    "%j is none",
    (bytes) => {
      expect(() => decodePacket(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: "DECODE" }));
    },
  );
});

describe("MEMBERS messages", () => {
  test("decode to what was encoded", () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeSync(encodeSync(message), 1_000)).toEqual(message);
      }),
    );
  });

  test("that promise more entries than there are bytes, or than are allowed, are none", () => {
    expect(() => decodeSync(Uint8Array.of(3, 0xff, 0xff, 0xff, 0xff), 2 ** 32)).toThrow(
      "4294967295 entries in 0 bytes",
    );
    const wanted = Array.from({ length: 11 }, (_, index) => nodeIdFromBytes(new Uint8Array(32).fill(index)));
    const bytes = encodeSync({ kind: "wants", wanted, disputed: [] });
    expect(() => decodeSync(bytes, 10)).toThrow("at most 10 are allowed");
  });

  test("are read or refused with DECODE, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const decode of [decodePacket, (input: Uint8Array) => decodeSync(input, 100)]) {
          try {
            decode(bytes);
          } catch (error) {
            expect(error).toMatchObject({ code: "DECODE" });
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("records", () => {
  const publicKey = seededRandom(1).bytes(91);
  const crypto = standInCrypto(publicKey);

  test("say what their member said", () => {
    fc.assert(
      fc.property(
        fc.record({
          name: fc.constantFrom("a@host:1", "node.b@[::1]:65535"),
          address: fc.constantFrom("host:1", "[::1]:4433"),
          metadata: fc.uint8Array({ maxLength: 512 }),
          incarnation: incarnations,
          hasLeft: fc.boolean(),
        }),
        (content) => {
          const record = signRecord(content, publicKey, crypto);
          expect(record).toMatchObject(content);
          expect(record.id).toBe(nodeIdFromBytes(crypto.sha256(publicKey)));
          expect(readRecord(record.bytes, crypto)).toEqual(record);
        },
      ),
    );
  });

  test("with a real key: each bit of it counts", () => {
    const { record, crypto: real } = new Person("alice");
    expect(readRecord(record.bytes, real)).toMatchObject({ name: "alice@host:4433" });
    for (let offset = 0; offset < record.bytes.length; offset++) {
      const changed = record.bytes.slice();
      changed[offset] = (changed[offset] as number) ^ 1;
      expect(readRecord(changed, real)).toBeTypeOf("string");
    }
  });

  test.each([
    [{ address: "no\nlines:1" }],
    [{ address: "" }],
    [{ metadata: new Uint8Array(517) }],
    [{ name: "no name" }],
    [{ incarnation: 2 ** 53 }],
  ])("cannot be made of %j", (wrong) => {
    const content = {
      name: "a@host:1",
      address: "host:1",
      metadata: new Uint8Array(),
      incarnation: 0,
      hasLeft: false,
    };
    expect(() => signRecord({ ...content, ...wrong }, publicKey, crypto)).toThrow("no record can be made");
  });

  test("are checked once, also when what they came in is used again, and forgotten when there are too many", () => {
    let checks = 0;
    const counting = {
      ...crypto,
      verify: (...args: Parameters<typeof crypto.verify>) => {
        checks++;
        return crypto.verify(...args);
      },
    };
    const [one, two] = [0, 1].map((incarnation) =>
      signRecord(
        { name: "a@host:1", address: "host:1", metadata: new Uint8Array(), incarnation, hasLeft: false },
        publicKey,
        crypto,
      ),
    );
    if (one === undefined || two === undefined) throw new Error("no records");
    const cache = new RecordCache(1);
    const buffer = one.bytes.slice();
    const read = cache.read(buffer, counting);
    buffer.fill(0);
    expect(cache.read(one.bytes, counting)).toBe(read);
    expect(checks).toBe(1);
    cache.read(two.bytes, counting);
    cache.read(one.bytes, counting);
    expect(checks).toBe(3);
    const damaged = one.bytes.slice();
    damaged[1] = 1;
    expect(cache.read(damaged, counting)).toBeTypeOf("string");
  });
});

describe("accusations", () => {
  test("are read back, and count only with the signature of their accuser", () => {
    const [alice, bob, carol] = [new Person("alice"), new Person("bob"), new Person("carol")];
    const accusation = alice.accuse(bob);
    expect(readAccusation(accusation.bytes)).toEqual(accusation);
    expect(isSignedBy(accusation, alice.publicKey, carol.crypto)).toBe(true);
    expect(isSignedBy(accusation, bob.publicKey, carol.crypto)).toBe(false);
    // Bob's signature under Alice's name.
    const forged = signAccusation(carol.id, 0, alice.id, bob.crypto);
    expect(isSignedBy(forged, alice.publicKey, carol.crypto)).toBe(false);
    const replayed = accusation.bytes.slice();
    replayed[39] = 1;
    const changed = readAccusation(replayed);
    expect(changed).toMatchObject({ incarnation: 1 });
    expect(typeof changed === "object" && isSignedBy(changed, alice.publicKey, carol.crypto)).toBe(false);
  });

  test("of oneself, or of another length, are none", () => {
    const alice = new Person("alice");
    expect(readAccusation(signAccusation(alice.id, 0, alice.id, alice.crypto).bytes)).toBe("malformed");
    expect(readAccusation(new Uint8Array(135))).toBe("malformed");
  });
});
