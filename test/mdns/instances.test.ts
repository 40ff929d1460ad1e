import { randomFillSync } from "node:crypto";
import type { Answer } from "dns-packet";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { after, at } from "../../src/base/time.ts";
import { type Heard, Instances } from "../../src/io/mdns/instances.ts";
import type { MdnsPacket } from "../../src/io/mdns/packets.ts";
import { decodePacket, encodeAnswers, encodeQuestions } from "../../src/io/mdns/packets.ts";
import { realmHash, Service, serviceName } from "../../src/io/mdns/service.ts";
import { service } from "./support.ts";

const now = at(0);
const lan: Heard = { address: "192.0.2.1", link: { contains: (address) => address.startsWith("192.0.2.") } };

function response(...answers: Answer[]): MdnsPacket {
  return { id: 0, isResponse: true, questions: [], answers, additionals: [] };
}

const instances = (own = "own"): Instances => new Instances(realmHash("test"), `${own}.${serviceName}`);
const peer = new Service(service("peer"));
const records = peer.records(["192.0.2.7"]);
const txt = (...data: string[]): Answer => ({
  type: "TXT",
  name: peer.instance,
  ttl: 120,
  data: data.map((text) => Buffer.from(text)),
});
const realm = `realm=${realmHash("test")}`;

/** As they arrive: strings of TXT records are bytes then. */
function received(answers: readonly Answer[]): Answer[] {
  return [...(decodePacket(encodeAnswers(answers))?.answers ?? [])];
}

describe("what is made of records", () => {
  test("one packet with all of them is a node, in any order and as additional ones, too", () => {
    const found = [expect.objectContaining({ host: "192.0.2.7", port: 4433, name: "peer@localhost:4433" })];
    const all = received(records);
    expect(instances().handle(response(...all), lan, now)).toEqual({ found, questions: [] });
    expect(instances().handle(response(...all.toReversed()), lan, now).found).toEqual(found);
    const [first, ...additionals] = all;
    const packet = { ...response(first as Answer), additionals };
    expect(instances().handle(packet, lan, now).found).toEqual(found);
  });

  test("what is missing is asked for, once in ten seconds", () => {
    const table = instances();
    const [pointer, , srv, facts, a] = received(records) as [Answer, Answer, Answer, Answer, Answer];
    const { instance: name, target } = peer;
    const questions = (answer: Answer, ms: number) => table.handle(response(answer), lan, at(ms)).questions;
    expect(questions(pointer, 0)).toEqual([
      { type: "SRV", name },
      { type: "TXT", name },
    ]);
    expect(questions(pointer, 9_999)).toEqual([]);
    expect(questions(srv, 10_000)).toEqual([
      { type: "TXT", name },
      { type: "A", name: target },
      { type: "AAAA", name: target },
    ]);
    expect(questions(facts, 20_000)).toEqual([
      { type: "A", name: target },
      { type: "AAAA", name: target },
    ]);
    expect(table.handle(response(a), lan, at(20_001)).found).toHaveLength(1);
  });

  test("records last as long as they say, goodbyes take them away, our own are not among them", () => {
    const table = instances();
    table.handle(response(...received(records)), lan, now);
    expect(table.known(at(119_999))).toHaveLength(1);
    expect(table.known(at(120_000))).toEqual([]);
    table.handle(response(...received(records)), lan, at(130_000));
    table.handle(response(...received(peer.records([], "leaving"))), lan, at(130_001));
    expect(table.known(at(130_001))).toEqual([]);
    const own = new Instances(realmHash("test"), peer.instance.toUpperCase());
    expect(own.handle(response(...received(records)), lan, now)).toEqual({ found: [], questions: [] });
  });

  test("nobody is believed for more than 75 minutes", () => {
    const table = instances();
    const eternal = received(records).map((record) => ({ ...record, ttl: 0xffff_ffff }) as Answer);
    table.handle(response(...eternal), lan, now);
    expect(table.known(at(4_499_999))).toHaveLength(1);
    expect(table.known(at(4_500_000))).toEqual([]);
  });

  test("of several addresses the one its node spoke from is told, else one of the link", () => {
    const host = (addresses: string[], heard = lan) =>
      instances().handle(response(...received(peer.records(addresses))), heard, now).found[0]?.host;
    expect(host(["192.0.2.1", "192.0.2.9", "198.51.100.1"])).toBe("192.0.2.1");
    expect(host(["192.0.2.9", "198.51.100.1", "2001:db8::1"])).toBe("192.0.2.9");
    expect(host(["2001:db8::1"])).toBe("2001:db8::1");
  });

  test("a new target forgets the addresses of the old one", () => {
    const table = instances();
    table.handle(response(...received(records)), lan, now);
    const moved: Answer = {
      type: "SRV",
      name: peer.instance,
      ttl: 120,
      data: { target: "new.local", port: 5 },
    };
    expect(table.handle(response(moved), lan, now).found).toEqual([]);
    const address: Answer = { type: "A", name: "NEW.local", ttl: 120, data: "192.0.2.8" };
    expect(table.handle(response(address), lan, now).found).toMatchObject([{ host: "192.0.2.8", port: 5 }]);
  });
});

describe("TXT", () => {
  const [, , srv, , a] = records as [Answer, Answer, Answer, Answer, Answer];
  const found = (...data: string[]) => instances().handle(response(srv, txt(...data), a), lan, now).found;

  test.each([
    ["v=1", realm],
    ["V=1", realm, "v=2"],
    ["something", "=x", realm, "v=1", "more=2"],
  ])("%j is for us, name and id being of use, not needed", (...data) => {
    expect(found(...data)).toEqual([{ host: "192.0.2.7", port: 4433 }]);
  });

  test.each([
    [[]],
    [["v=1"]],
    [["v=2", realm]],
    [["v=1", "realm=test"]],
    [["v=1", realm, "id=short"]],
    [["v=1", realm, "name=x"]],
    [["v=1", realm, "name=a@b\u001b[31m:1"]],
    [["v=1", realm, `name=${"x".repeat(249)}`]],
  ])("%j is not", (data) => {
    expect(found(...data)).toEqual([]);
  });

  test("another's is not asked after again", () => {
    const table = instances();
    table.handle(response(txt("v=1", "realm=other")), lan, now);
    expect(table.handle(response(records[0] as Answer), lan, at(20_000)).questions).toEqual([]);
  });
});

describe("hostile records", () => {
  test.each([
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "0.0.0.0",
    "::",
    "224.0.0.251",
    "255.255.255.255",
    "fe80::1",
    "ff02::1",
    "::ffff:127.0.0.1",
  ])("the address %s of a node on the network is none", (address) => {
    expect(instances().handle(response(...received(peer.records([address]))), lan, now).found).toEqual([]);
  });

  test.each([
    { target: ".", port: 1 },
    { target: "", port: 1 },
    { target: "a.local", port: 0 },
  ])("the target %j is none", (data) => {
    const srv: Answer = { type: "SRV", name: peer.instance, ttl: 120, data };
    const address: Answer = { type: "A", name: data.target, ttl: 120, data: "192.0.2.7" };
    expect(instances().handle(response(srv, txt("v=1", realm), address), lan, now).found).toEqual([]);
  });

  test("256 instances are remembered, those heard of last; each that answers is told of all the same", () => {
    const table = instances();
    let told = 0;
    for (let index = 0; index < 1_000; index++) {
      const one = new Service(service(`node${index}`)).records(["192.0.2.7"]);
      told += table.handle(response(...received(one)), lan, after(now, index)).found.length;
    }
    expect(told).toBe(1_000);
    const names = table.known(at(1_000)).map(({ name }) => name);
    expect(names).toHaveLength(256);
    expect(names.at(0)).toBe("node744@localhost:4433");
  });

  test("8 addresses of one instance are", () => {
    const table = instances();
    const address = (index: number, ttl: number): Answer => ({
      type: "A",
      name: peer.target,
      ttl,
      data: `198.51.100.${index}`,
    });
    table.handle(response(...received(peer.records([]))), lan, now);
    for (let index = 0; index < 100; index++) table.handle(response(address(index, 120)), lan, now);
    expect(table.known(now)).toMatchObject([{ host: "198.51.100.99" }]);
    for (let index = 92; index < 100; index++) table.handle(response(address(index, 0)), lan, now);
    expect(table.known(now)).toEqual([]);
  });

  test("random bytes are nothing or a packet, mangled records never an error", () => {
    const query: MdnsPacket = { ...response(), questions: [{ type: "PTR", name: serviceName }] };
    const whole = Buffer.from(encodeAnswers(records, query));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        decodePacket(bytes);
      }),
    );
    const table = instances();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }), (changes) => {
        const mangled = Uint8Array.from(whole);
        for (const [offset, value] of changes) mangled[offset] = value;
        const packet = decodePacket(mangled);
        if (packet === undefined) return;
        const { found, questions } = table.handle(packet, lan, now);
        expect(decodePacket(encodeQuestions(questions))?.questions).toHaveLength(questions.length);
        for (const { host, port } of found) {
          expect(port).toBeGreaterThan(0);
          expect(host).not.toBe("");
        }
        peer.isAskedFor(packet);
        for (const written of [encodeAnswers(records, packet), encodeQuestions(packet.questions)]) {
          expect(decodePacket(written)?.questions.map(({ name }) => name)).toEqual(
            packet.questions.map(({ name }) => name),
          );
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test.each(["\ufffd".repeat(22), "x".repeat(64), "", "x\n"])("the label %j is not asked after", (label) => {
    const pointer: Answer = { type: "PTR", name: serviceName, ttl: 120, data: `${label}.${serviceName}` };
    expect(instances().handle(response(pointer), lan, now).questions).toEqual([]);
    const srv: Answer = {
      type: "SRV",
      name: peer.instance,
      ttl: 120,
      data: { target: `${label}.local`, port: 1 },
    };
    expect(instances().handle(response(srv), lan, now).questions).toEqual([]);
  });

  test("a header that promises more than the packet holds is refused before anything is allocated for it", () => {
    const header = new Uint8Array(12).fill(255);
    expect(decodePacket(header)).toBeUndefined();
    const padded = new Uint8Array(60_000);
    padded.set([0, 0, 0x84, 0, 0, 0, 0x02, 0x01]);
    expect(decodePacket(padded)).toBeUndefined();
    expect(decodePacket(randomFillSync(new Uint8Array(11)))).toBeUndefined();
  });
});
