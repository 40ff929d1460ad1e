import { createSocket } from "node:dgram";
import { once } from "node:events";
import { decode, encode } from "dns-packet";
import { afterEach, describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { monotonicNow } from "../../src/io/clock.ts";
import {
  type Candidate,
  Discovery,
  type DiscoverySettings,
  type DiscoverySurroundings,
} from "../../src/node/discovery/index.ts";
import type { LogFields } from "../../src/node/log.ts";
import { freeMdnsPort, loopback, service } from "../mdns/support.ts";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()));
});

/** A discovery, what it found and what it warned of. */
class World {
  readonly found: Candidate[] = [];
  readonly warnings: { readonly event: string; readonly fields: LogFields }[] = [];
  readonly discovery: Discovery;
  #onNews: (() => void) | undefined;

  constructor(settings: Partial<DiscoverySettings> = {}, surroundings: Partial<DiscoverySurroundings> = {}) {
    const ignore = (): void => undefined;
    const news = (): void => this.#onNews?.();
    this.discovery = new Discovery(
      {
        self: service("own"),
        address: { host: "::", port: 4433 },
        bootstrap: [],
        mdns: false,
        dnsDomain: null,
        ...settings,
      },
      {
        found: (candidate) => {
          this.found.push(candidate);
          news();
        },
        isReached: () => false,
        log: {
          debug: ignore,
          info: ignore,
          error: ignore,
          warn: (fields, event) => {
            this.warnings.push({ fields, event });
            news();
          },
        },
        clock: monotonicNow,
        random: seededRandom(1),
        ...surroundings,
      },
    );
    closers.push(() => this.discovery.close());
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
  }
}

/** A DNS server that names nodes, in this order. */
async function dnsServer(...targets: readonly string[]): Promise<string> {
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  closers.push(() => socket.close());
  await once(socket, "listening");
  socket.on("message", (bytes, from) => {
    const { id = 0, questions = [] } = decode(bytes);
    const name = questions[0]?.name ?? "";
    const answers =
      name === "_macula._udp.example.org"
        ? targets.map((target, priority) => {
            const data = { target, port: 7, priority, weight: 0 };
            return { type: "SRV" as const, name, ttl: 60, data };
          })
        : [];
    socket.send(encode({ type: "response", id, flags: 0x180, questions, answers }), from.port, from.address);
  });
  return `127.0.0.1:${socket.address().port}`;
}

describe("discovery", () => {
  test("all strategies side by side", async () => {
    const port = await freeMdnsPort();
    const mdns = { port, interfaces: loopback };
    const other = service("other", { port: 5 });
    const neighbour = new World({ self: other, address: { host: "::", port: 5 }, mdns });
    neighbour.discovery.start();
    const world = new World({
      bootstrap: ["boot@localhost:1", "localhost:2"],
      mdns,
      dnsDomain: "example.org",
      dnsServers: [await dnsServer("node.example.org")],
    });
    world.discovery.start();
    await world.until(() => new Set(world.found.map(({ source }) => source)).size === 3);
    expect(world.found).toEqual(
      expect.arrayContaining([
        { host: "localhost", port: 1, name: "boot@localhost:1", source: "bootstrap" },
        { host: "localhost", port: 2, source: "bootstrap" },
        { host: "127.0.0.1", port: 5, name: "other@localhost:4433", nodeId: other.nodeId, source: "mdns" },
        { host: "node.example.org", port: 7, source: "dns" },
      ]),
    );
    expect(world.warnings).toEqual([]);
  });

  test("what fails hinders nothing else and is logged", async () => {
    const world = new World({
      bootstrap: ["boot@localhost:1"],
      mdns: { port: await freeMdnsPort(), interfaces: () => ({}) },
      dnsDomain: "nowhere.example",
      dnsServers: [await dnsServer("x")],
    });
    world.discovery.start();
    await world.until(() => world.warnings.length === 2);
    expect(world.warnings).toEqual([
      { event: "discovery.mdns_unavailable", fields: { interface: undefined, error: expect.any(String) } },
      {
        event: "discovery.dns_failed",
        fields: {
          domain: "nowhere.example",
          code: "PEER_UNREACHABLE",
          error: "DNS has no nodes at _macula._udp.nowhere.example: ENODATA",
        },
      },
    ]);
    await world.until(() => world.found.length >= 2);
    expect(world.found.map(({ source }) => source)).toContain("bootstrap");
  });

  test("this node itself, what is reached and what is named twice is left out", async () => {
    const self = service("own");
    const bootstrap = ["own@localhost", "localhost", "up@localhost:1", "a@localhost:2", "a@localhost:2"];
    const isReached = ({ name }: Candidate): boolean => name === "up@localhost:1";
    const world = new World({ self, bootstrap }, { isReached });
    world.discovery.start();
    expect(world.found.map(({ name }) => name)).toEqual(["a@localhost:2"]);
    const moved = { ...self, name: "own@localhost:7" };
    const dnsServers = [await dnsServer("localhost", "else.example.org")];
    const named = new World({ self: moved, dnsDomain: "example.org", dnsServers });
    named.discovery.start();
    await named.until(() => named.found.length > 0);
    expect(named.found).toEqual([{ host: "else.example.org", port: 7, source: "dns" }]);
  });

  test("a wrong bootstrap address", () => {
    expect(() => new World({ bootstrap: ["x@"] })).toThrow(
      expect.objectContaining({ code: "CONFIGURATION" }),
    );
  });

  test("close: twice, before start, in the middle of a look-up; nothing is found any more", async () => {
    const silent = createSocket("udp4").bind(0, "127.0.0.1");
    closers.push(() => silent.close());
    await once(silent, "listening");
    const world = new World({
      bootstrap: ["a@localhost:1"],
      mdns: { port: await freeMdnsPort(), interfaces: loopback },
      dnsDomain: "example.org",
      dnsServers: [`127.0.0.1:${silent.address().port}`],
    });
    world.discovery.start();
    await once(silent, "message");
    await Promise.all([world.discovery.close(), world.discovery.close()]);
    const { length } = world.found;
    world.discovery.start();
    expect(world.found).toHaveLength(length);
    expect(world.warnings).toEqual([]);
    const unused = new World({ bootstrap: ["a@localhost:1"] });
    await unused.discovery.close();
    unused.discovery.start();
    expect(unused.found).toEqual([]);
  });
});
