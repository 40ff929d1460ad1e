import { expect, test } from "vitest";
import type { Term } from "../../src/etf/index.ts";
import { monotonicNow, wallNow } from "../../src/io/clock.ts";
import { coreCrypto } from "../../src/io/crypto.ts";
import { systemRandom } from "../../src/io/random.ts";
import { sealCrypto } from "../../src/io/seal-crypto.ts";
import { meshCapability } from "../../src/node/links/index.ts";
import { silentLog } from "../../src/node/log.ts";
import { MeshNode } from "../../src/node/mesh/mesh-node.ts";
import { testIdentity } from "../identity/support.ts";
import { LinkNode } from "./support/link-node.ts";

/** A node of links and mesh, without processes. */
async function meshNode(name: string): Promise<{ node: LinkNode; mesh: MeshNode }> {
  const identity = await testIdentity();
  const node = await LinkNode.start({
    name,
    identity,
    setup: { link: { capabilities: ["signals", meshCapability] } },
  });
  const mesh = new MeshNode({
    name: node.name,
    address: node.name.slice(node.name.indexOf("@") + 1),
    publicKey: identity.publicKey,
    crypto: coreCrypto(identity.privateKey),
    seal: sealCrypto(identity.privateKey),
    random: systemRandom,
    clock: monotonicNow,
    wallClock: wallNow,
    links: node.links,
    creation: 1,
    snapshot: undefined,
    onNews: () => {},
    onNames: () => {},
    log: silentLog,
  });
  return { node, mesh };
}

test("a link that is retired under traffic loses, doubles and reorders nothing, and nobody is told of an end", async () => {
  const all = await Promise.all(["a", "b", "relay"].map(meshNode));
  const [a, b, relay] = all.map(({ node }) => node) as [LinkNode, LinkNode, LinkNode];
  const mesh = all[0]?.mesh as MeshNode;
  for (const node of [a, b]) await node.links.connect(relay.name);
  await a.links.connect(b.name);
  const sent = { a: 0, b: 0 };
  const retirements = 25;
  let retired = 0;
  const count = (): number =>
    a.news.filter((each) => each.type === "down" && each.ending.code === "retired").length;
  while (retired < retirements) {
    for (let each = 0; each < 50; each++) {
      a.sendTo(b, sent.a++, each % 3);
      b.sendTo(a, sent.b++, 1);
    }
    if (a.links.isLinked(b.name)) {
      const before = count();
      a.links.retire(b.identity.nodeId);
      // While it ends, and when it has.
      for (let each = 0; each < 50; each++) a.sendTo(b, sent.a++, each % 3);
      await a.until(() => count() > before);
      retired++;
      for (let each = 0; each < 50; each++) b.sendTo(a, sent.b++, 1);
      if (retired % 2 === 0) await a.links.dial(b.name);
    } else await a.links.dial(b.name);
  }
  await b.until(() => b.messages().length === sent.a);
  await a.until(() => a.messages().length === sent.b);
  expect(a.messages()).toEqual(Array.from({ length: sent.b }, (_, index) => index));
  // Three lanes: each in its order.
  const arrived = b.messages() as number[];
  expect(arrived.toSorted((x, y) => x - y)).toEqual(Array.from({ length: sent.a }, (_, index) => index));
  const lanes: Record<number, Term[]> = { 0: [], 1: [], 2: [] };
  for (const value of arrived) lanes[(value % 50) % 3]?.push(value);
  for (const lane of Object.values(lanes)) expect(lane).toEqual((lane as number[]).toSorted((x, y) => x - y));
  for (const node of [a, b]) expect(node.news.filter(({ type }) => type === "sessionDown")).toEqual([]);
  expect(mesh.routes().length).toBe(2);
  await Promise.all(all.map(({ mesh: each }) => each.close()));
  await Promise.all(all.map(({ node }) => node[Symbol.asyncDispose]()));
});
