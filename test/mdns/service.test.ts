import type { Answer, Question } from "dns-packet";
import { describe, expect, test } from "vitest";
import { decodePacket, encodeAnswers, type MdnsPacket } from "../../src/io/mdns/packets.ts";
import { realmHash, Service, serviceName } from "../../src/io/mdns/service.ts";
import { service } from "./support.ts";

const facts = service("node1");
const own = new Service(facts);
const id16 = facts.nodeId.slice(0, 16);

function query(questions: readonly Question[], answers: readonly Answer[] = []): MdnsPacket {
  return { id: 0, isResponse: false, questions, answers, additionals: [] };
}

describe("the records of a node", () => {
  test("say where it is and which it is, not the realm's name", () => {
    const name = `node1-${id16}.${serviceName}`;
    const target = `macula-${id16}.local`;
    const txt = ["v=1", `realm=${realmHash("test")}`, `id=${facts.nodeId}`, "name=node1@localhost:4433"];
    expect(own.records(["192.0.2.1", "2001:db8::1"])).toEqual([
      { type: "PTR", name: serviceName, ttl: 120, data: name },
      { type: "PTR", name: "_services._dns-sd._udp.local", ttl: 120, data: serviceName },
      { type: "SRV", name, ttl: 120, flush: true, data: { target, port: 4433, priority: 0, weight: 0 } },
      { type: "TXT", name, ttl: 120, flush: true, data: txt },
      { type: "A", name: target, ttl: 120, flush: true, data: "192.0.2.1" },
      { type: "AAAA", name: target, ttl: 120, flush: true, data: "2001:db8::1" },
    ]);
    expect(encodeAnswers(own.records(["192.0.2.1"])).length).toBeLessThan(600);
  });

  test("of any node name fit into packets", () => {
    const long = new Service(service("n", { name: `${"x.".repeat(60)}y@${"h".repeat(120)}:4433` }));
    expect(long.instance.split(".")).toHaveLength(4);
    const { answers } = decodePacket(encodeAnswers(long.records(["192.0.2.1"]))) as MdnsPacket;
    expect(answers.map(({ type }) => type)).toEqual(["PTR", "PTR", "SRV", "TXT", "A"]);
    // A name of more than 250 bytes does not fit beside "name=".
    const longest = new Service(service("n", { name: `${"x".repeat(240)}@hhhhh:4433` }));
    expect(longest.records([]).find(({ type }) => type === "TXT")).toMatchObject({ data: { length: 3 } });
  });

  test("the hash of a realm stays what it is: nodes of all versions find each other by it", () => {
    expect(realmHash("default")).toBe("blxxdokt622vzd7q3u4n5xpiedxy5w654wqbf2mkai24xdjcqd2a");
  });
});

describe("who is answered", () => {
  const pointer = (ttl: number): Answer => ({ type: "PTR", name: serviceName, ttl, data: own.instance });

  test.each<[string, Question[], Answer[]]>([
    ["all instances", [{ type: "PTR", name: serviceName }], []],
    ["in capitals", [{ type: "PTR", name: serviceName.toUpperCase() }], []],
    ["all services", [{ type: "PTR", name: "_services._dns-sd._udp.local" }], []],
    ["this instance", [{ type: "TXT", name: own.instance }], []],
    ["this host", [{ type: "AAAA", name: own.target }], []],
    [
      "several",
      [
        { type: "A", name: "other.local" },
        { type: "SRV", name: own.instance },
      ],
      [],
    ],
    ["who knows it for a little while", [{ type: "PTR", name: serviceName }], [pointer(59)]],
    [
      "who knows another",
      [{ type: "PTR", name: serviceName }],
      [{ ...pointer(120), data: "x.local" } as Answer],
    ],
  ])("%s", (_, questions, known) => {
    expect(own.isAskedFor(query(questions, known))).toBe(true);
  });

  test.each<[string, Question[], Answer[]]>([
    ["nothing", [], []],
    ["another service", [{ type: "PTR", name: "_http._tcp.local" }], []],
    ["another instance", [{ type: "SRV", name: `x.${serviceName}` }], []],
    ["another type", [{ type: "A", name: serviceName }], []],
    ["who knows it (RFC 6762 §7.1)", [{ type: "PTR", name: serviceName }], [pointer(60)]],
  ])("not: %s", (_, questions, known) => {
    expect(own.isAskedFor(query(questions, known))).toBe(false);
  });
});
