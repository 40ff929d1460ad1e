import { createSocket } from "node:dgram";
import { once } from "node:events";
import { decode, encode, type SrvAnswer } from "dns-packet";
import { afterEach, describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { SrvResolver, srvOrder } from "../../src/io/dns/srv.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A DNS server that answers each question with these records, or with none and `rcode`; `undefined` answers nothing. */
async function server(
  records: readonly SrvAnswer["data"][] | undefined,
  rcode = 0,
): Promise<{ readonly address: string; readonly asked: Promise<unknown> }> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  closers.push(() => socket.close());
  await once(socket, "listening");
  const asked = once(socket, "message");
  socket.on("message", (bytes, from) => {
    const { id = 0, questions = [] } = decode(bytes);
    const [question] = questions;
    if (records === undefined || question === undefined) return;
    const answers = records.map((data) => ({ type: "SRV" as const, name: question.name, ttl: 60, data }));
    socket.send(
      encode({ type: "response", id, flags: 0x180 | rcode, questions, answers }),
      from.port,
      from.address,
    );
  });
  return { address: `127.0.0.1:${socket.address().port}`, asked };
}

function resolver(address: string, timeoutMs = 5_000): SrvResolver {
  return new SrvResolver({ servers: [address], timeoutMs, random: seededRandom(1) });
}

describe("look-ups", () => {
  test("give host and port, by priority; what is no host name is left out", async () => {
    const { address } = await server([
      { target: "second.example.org", port: 2, priority: 20, weight: 0 },
      { target: "first.example.org", port: 1, priority: 10, weight: 0 },
      { target: ".", port: 3, priority: 5, weight: 0 },
      { target: "zero.example.org", port: 0, priority: 5, weight: 0 },
      { target: "odd\u001b[31m.example.org", port: 4, priority: 5, weight: 0 },
    ]);
    expect(await resolver(address).lookUp("_macula._udp.example.org")).toEqual([
      { host: "first.example.org", port: 1 },
      { host: "second.example.org", port: 2 },
    ]);
  });

  test.each([
    ["no such name", [], 3, "ENOTFOUND"],
    ["no such records", [], 0, "ENODATA"],
    ["a server that fails", [], 2, "ESERVFAIL"],
    ["only the record that says there is none", [{ target: ".", port: 0 }], 0, "no usable host"],
  ])("%s", async (_, records, rcode, reason) => {
    const { address } = await server(records, rcode);
    await expect(resolver(address).lookUp("_macula._udp.example.org")).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringContaining(reason),
    });
  });

  test("a server that says nothing: TIMEOUT; given up: CLOSED", async () => {
    const { address } = await server(undefined);
    await expect(resolver(address, 50).lookUp("_macula._udp.example.org")).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    const second = await server(undefined);
    const asking = resolver(second.address, 60_000);
    const lookingUp = asking.lookUp("_macula._udp.example.org");
    await second.asked;
    asking.cancel();
    await expect(lookingUp).rejects.toMatchObject({ code: "CLOSED" });
  });
});

describe("RFC 2782: order of targets", () => {
  const record = (priority: number, weight: number) => ({ priority, weight });

  test("by priority, and all of them", () => {
    const ordered = srvOrder([record(3, 0), record(1, 0), record(2, 9), record(1, 5)], seededRandom(1));
    expect(ordered.map(({ priority }) => priority)).toEqual([1, 1, 2, 3]);
    expect(srvOrder([], seededRandom(1))).toEqual([]);
  });

  test("by chance among equals, a chance that is the weight", () => {
    const random = seededRandom(7);
    const runs = 10_000;
    const first = new Map<number, number>();
    for (let run = 0; run < runs; run++) {
      const weight = srvOrder([record(1, 0), record(1, 10), record(1, 30)], random)[0]?.weight ?? -1;
      first.set(weight, (first.get(weight) ?? 0) + 1);
    }
    expect((first.get(30) ?? 0) / runs).toBeCloseTo(30 / 41, 1);
    expect((first.get(10) ?? 0) / runs).toBeCloseTo(10 / 41, 1);
    expect(first.get(0)).toBeGreaterThan(0);
  });
});
