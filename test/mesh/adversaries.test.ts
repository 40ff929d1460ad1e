import { describe, expect, test } from "vitest";
import { WholeMesh, type WholeNode } from "../../sim/whole-mesh.ts";
import { nodeIdBytes } from "../../src/base/node-id.ts";
import { encodePacket as encodeForward, packetProtocol } from "../../src/routing/index.ts";
import type { HostOutput } from "../../src/sim/index.ts";
import { standInCrypto } from "../../src/sim/index.ts";
import { standInPublicKey } from "../../src/sim/stand-in-crypto.ts";
import { signAccusation } from "../../src/swim/accusation.ts";
import { encodePacket as encodeProbe, type NewsItem } from "../../src/swim/packet.ts";
import { signRecord } from "../../src/swim/record.ts";
import { encodeFrame, frameType } from "../../src/wire/index.ts";

// One node of the mesh is hostile, and has all that a member has: links, a key, a signed record.

function meshOf(
  count: number,
  seed: number,
  options?: ConstructorParameters<typeof WholeMesh>[1],
): WholeMesh {
  const mesh = new WholeMesh({ seed, network: { lossRate: 0.01 } }, options);
  mesh.addAcquainted(count);
  mesh.simulation.run({ forMs: 10_000 });
  return mesh;
}

function honest(mesh: WholeMesh, hostile: WholeNode): WholeNode[] {
  return mesh.nodes.filter((node) => node !== hostile);
}

/** Messages between random honest nodes. */
function talk(mesh: WholeMesh, among: readonly WholeNode[], count: number, gapMs: number): void {
  const pick = () => among[mesh.simulation.random.integer(among.length)] as WholeNode;
  for (let sent = 0; sent < count; sent++) {
    mesh.send(pick(), pick());
    mesh.simulation.run({ forMs: gapMs });
  }
}

function gossip(to: WholeNode, news: readonly NewsItem[]): HostOutput {
  const payload = encodeProbe({ kind: "gossip" }, news);
  return { type: "datagram", to: to.id, bytes: encodeFrame(frameType.probe, payload) };
}

// In the mesh of 20 with seed 5 all links of some nodes towards half of all ids end at the hostile one.
test.each([
  [20, 5],
  [60, 1],
])(
  "of %i nodes one that passes nothing on loses nothing for others: messages take other ways",
  (count, seed) => {
    const mesh = meshOf(count, seed);
    const hostile = mesh.nodes[0] as WholeNode;
    const own = nodeIdBytes(hostile.id);
    let swallowed = 0;
    hostile.host.mischief = (type, payload) => {
      const isOthers = type === frameType.forward && own.some((byte, index) => payload[4 + index] !== byte);
      if (isOthers) swallowed++;
      return isOthers;
    };
    talk(mesh, honest(mesh, hostile), 1_500, 20);
    mesh.simulation.run({ forMs: 30_000 });
    const { sent, delivered, silent } = mesh.ledger.count(() => true);
    expect(swallowed).toBeGreaterThan(100);
    expect({ delivered, silent }).toEqual({ delivered: sent, silent: 0 });
    expect(mesh.falsePositives).toBe(0);
    expect(mesh.ledger.disordered).toBe(0);
  },
);

test("a node that accuses all others, again and again, has nobody given up, and is not believed any more", () => {
  const mesh = meshOf(24, 2);
  const hostile = mesh.nodes[0] as WholeNode;
  const others = honest(mesh, hostile);
  for (let round = 0; round < 25; round++) {
    hostile.act((host) => {
      for (const { id } of others) {
        const incarnation = host.swim.recordOf(id)?.incarnation ?? 0;
        const { bytes } = signAccusation(id, incarnation, hostile.id, host.context.crypto);
        for (const to of others) host.say(gossip(to, [{ kind: "accusation", bytes }]));
      }
    });
    mesh.simulation.run({ forMs: 1_000 });
  }
  talk(mesh, others, 200, 20);
  mesh.simulation.run({ forMs: 20_000 });
  expect(mesh.falsePositives).toBe(0);
  expect(mesh.agrees()).toBe(true);
  expect(others.every(({ host }) => host.swim.counters.disbelieved > 0)).toBe(true);
  const { sent, delivered } = mesh.ledger.count(() => true);
  expect(delivered).toBe(sent);
});

test("100,000 invented members from one node are bounded, and those that are there go on as before", () => {
  const membersMax = 200;
  const mesh = meshOf(8, 3, { swim: { membersMax } });
  const { simulation } = mesh;
  const hostile = mesh.nodes[0] as WholeNode;
  const others = honest(mesh, hostile);
  const invent = (number: number): NewsItem => {
    const publicKey = standInPublicKey(simulation.random);
    const address = `192.0.2.1:${1 + (number % 60_000)}`;
    const content = {
      name: `n${number}@${address}`,
      address,
      metadata: new Uint8Array(0),
      incarnation: 0,
      hasLeft: false,
    };
    return { kind: "record", bytes: signRecord(content, publicKey, standInCrypto(publicKey)).bytes };
  };
  for (let first = 0; first < 100_000; first += 1_000) {
    hostile.act((host) => {
      for (let number = first; number < first + 1_000; number += 4) {
        const news = Array.from({ length: 4 }, (_, index) => invent(number + index));
        host.say(gossip(others[number % others.length] as WholeNode, news));
      }
    });
    talk(mesh, others, 2, 50);
  }
  for (const { host } of others) expect(host.swim.members().length).toBeLessThanOrEqual(1.01 * membersMax);
  talk(mesh, others, 500, 20);
  simulation.run({ forMs: 60_000 });
  for (const { host } of others) {
    for (const { id } of others) {
      if (id !== host.mesh.id) expect(host.swim.member(id)?.state).toBe("alive");
    }
  }
  expect(mesh.falsePositives).toBe(0);
  const { sent, delivered } = mesh.ledger.count(() => true);
  expect(delivered).toBe(sent);
});

describe("packets in others' names", () => {
  test("are opened by nobody, and end no session", () => {
    const mesh = meshOf(30, 4);
    const hostile = mesh.nodes[0] as WholeNode;
    const others = honest(mesh, hostile);
    const { simulation } = mesh;
    talk(mesh, others, 300, 10);
    for (let round = 0; round < 200; round++) {
      hostile.act((host) => {
        for (const link of host.linked) {
          const [source, target] = [0, 1].map(
            () => others[simulation.random.integer(others.length)] as WholeNode,
          );
          if (source === undefined || target === undefined) continue;
          for (const protocol of Object.values(packetProtocol)) {
            const payload = simulation.random.bytes(20 + simulation.random.integer(200));
            // As channels begin: OPEN, ACCEPT, START, DATA, ACK.
            if (protocol === packetProtocol.channel) payload[0] = 1 + simulation.random.integer(5);
            const packet = {
              protocol,
              variant: 0,
              visited: [],
              target: target.id,
              source: source.id,
              payload,
            };
            const bytes = encodeFrame(frameType.forward, encodeForward(packet));
            host.say({ type: "message", to: link, bytes });
          }
        }
      });
      talk(mesh, others, 5, 5);
    }
    simulation.run({ forMs: 20_000 });
    const forged = others.reduce((sum, { host }) => sum + host.mesh.counters.forged, 0);
    expect(forged).toBeGreaterThan(100);
    expect(mesh.ledger.count(() => true)).toEqual({
      sent: mesh.ledger.messages.length,
      delivered: mesh.ledger.messages.length,
      silent: 0,
    });
    expect(mesh.ledger.disordered).toBe(0);
    expect(mesh.falsePositives).toBe(0);
  });
});
