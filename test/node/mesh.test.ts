import { describe, expect, test } from "vitest";
import { atom, type Pid, type Term, type Tuple, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import type { Self } from "../../src/process/index.ts";
import { withSelf } from "../../src/process/index.ts";
import { next, run, start } from "./support/nodes.ts";

/** A node that others cannot dial, as behind a home router: its name leads nowhere. */
function hidden(name: string): Promise<MaculaNode> {
  return start({ name: `${name}@127.0.0.1:1`, port: 0 });
}

/** Resolves as soon as `condition` holds, which is looked at after each piece of news that one of the nodes has. */
async function until(nodes: readonly MaculaNode[], condition: () => boolean): Promise<void> {
  const events = ["memberUp", "memberSuspect", "memberDown", "memberChanged", "nodeUp", "nodeDown"] as const;
  while (!condition()) {
    await Promise.race(nodes.flatMap((node) => events.map((event) => next(node, event))));
  }
}

/** Whether `node` can get messages to the other. */
function reaches(node: MaculaNode, { name }: MaculaNode): boolean {
  return node.routes().some((route) => route.node === name && route.way !== "none");
}

function stateOf(node: MaculaNode, { name }: MaculaNode): string | undefined {
  return node.members().find((member) => member.name === name)?.state;
}

/** Two nodes that cannot dial each other, and one between them that both have dialled. */
async function apart(): Promise<{ a: MaculaNode; relay: MaculaNode; b: MaculaNode }> {
  const relay = await start({ name: "relay@localhost:0" });
  const [a, b] = await Promise.all([hidden("a"), hidden("b")]);
  expect(await a.connect(relay.name)).toBe(true);
  expect(await b.connect(relay.name)).toBe(true);
  await until([a, b], () => reaches(a, b) && reaches(b, a));
  return { a, relay, b };
}

/** Receives `count` numbers and returns them. */
async function numbers(self: Self, count: number): Promise<Term[]> {
  const received: Term[] = [];
  while (received.length < count) received.push(await self.receive());
  return received;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe("two nodes without a link talk through a third", () => {
  test("calls, spawns, links and monitors work as over a link", async () => {
    const { a, relay, b } = await apart();
    b.exportModule("calc", {
      add: (x, y) => (x as number) + (y as number),
      wait: withSelf(async (self) => {
        await self.receive();
      }),
    });
    expect(await a.rpc(b.name, "calc", "add", [1, 2])).toBe(3);
    expect(a.nodes().sort()).toEqual([b.name, relay.name].sort());
    expect(a.stats().links.map(({ name }) => name)).toEqual([relay.name]);
    const pid = await a.spawnOn(b.name, "calc", "wait", []);
    const down = run(a, async (self) => {
      const ref = self.monitor(pid);
      self.send(pid, atom("go"));
      return [await self.receive(), ref];
    });
    const [message, ref] = (await down) as [Tuple, Term];
    expect(message).toEqual(tuple(atom("DOWN"), ref, atom("process"), pid, atom("normal")));
    const linked = run(a, async (self) => {
      self.trapExit = true;
      const other = await self.spawnOn(b.name, "calc", "wait", [], { link: true });
      self.exit(other, atom("enough"));
      const exit = (await self.receive()) as Tuple;
      return [exit.elements[0], exit.elements[2], (exit.elements[1] as Pid).node];
    });
    expect(await linked).toEqual([atom("EXIT"), atom("enough"), b.name]);
  });

  test("what one process sends another arrives in order, long messages too", async () => {
    const { a, b } = await apart();
    const received = run(b, (self) => numbers(self, 5_002), { name: "sink" });
    await run(a, async (self) => {
      const sink = { name: "sink", node: b.name };
      const long = new Uint8Array(2_000_000).fill(7);
      for (const value of [...upTo(2_500), long, ...upTo(2_500), long]) {
        if (!self.send(sink, value)) await self.drained(sink);
      }
    });
    const all = await received;
    expect(all.filter((each) => typeof each === "number")).toEqual([...upTo(2_500), ...upTo(2_500)]);
    expect((all[2_500] as Uint8Array).length).toBe(2_000_000);
    expect((all.at(-1) as Uint8Array).length).toBe(2_000_000);
  });

  test("a receiver that does not read holds its sender back, and nobody else", async () => {
    const { a, relay, b } = await apart();
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const total = 2_000;
    const received = run(
      b,
      async (self) => {
        await released;
        return await numbers(self, total);
      },
      { name: "sleeper", mailboxHighWater: 100 },
    );
    const sleeper = { name: "sleeper", node: b.name };
    let blocked = (): void => {};
    const isBlocked = new Promise<void>((resolve) => {
      blocked = resolve;
    });
    const sent = run(a, async (self) => {
      const filling = new Uint8Array(20_000);
      for (const value of upTo(total)) {
        if (self.send(sleeper, [value, filling])) continue;
        blocked();
        await self.drained(sleeper);
      }
    });
    await isBlocked;
    relay.exportModule("here", { echo: (term) => term });
    expect(await a.rpc(relay.name, "here", "echo", [1])).toBe(1);
    expect(await b.rpc(relay.name, "here", "echo", [2])).toBe(2);
    release();
    await sent;
    expect((await received).map((each) => (each as Term[])[0])).toEqual(upTo(total));
  });

  test("when the way is gone, both are told once, and a new session begins when there is one again", async () => {
    const { a, relay, b } = await apart();
    b.exportModule("calc", { add: (x, y) => (x as number) + (y as number) });
    expect(await a.rpc(b.name, "calc", "add", [1, 2])).toBe(3);
    const downs: string[] = [];
    a.on("nodeDown", ({ node }) => downs.push(node));
    await relay.close();
    await until([a, b], () => stateOf(a, relay) === "left" && stateOf(b, relay) === "left");
    await expect(a.rpc(b.name, "calc", "add", [3, 4])).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(downs).toEqual([relay.name, b.name]);
    const another = await start({ name: "another@localhost:0" });
    expect(await a.connect(another.name)).toBe(true);
    expect(await b.connect(another.name)).toBe(true);
    await until([a, b], () => reaches(a, b) && reaches(b, a));
    expect(await a.rpc(b.name, "calc", "add", [5, 6])).toBe(11);
  });

  test("ping and trace tell how it is reached", async () => {
    const { a, relay, b } = await apart();
    expect((await a.ping(b.name)).rttMs).toBeGreaterThan(0);
    const { hops, rttMs } = await a.trace(b.name);
    expect(hops.map(({ node }) => node)).toEqual([a.name, relay.name, b.name]);
    expect(rttMs).toBeGreaterThan(0);
    await expect(a.trace("nobody@localhost:9")).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });
});

describe("traffic", () => {
  test("moves from the mesh to a link once it warrants one, in order", async () => {
    const nodes = await Promise.all(["a", "b", "c"].map((name) => start({ name: `${name}@localhost:0` })));
    const [a, b, c] = nodes as [MaculaNode, MaculaNode, MaculaNode];
    await a.connect(b.name);
    await c.connect(b.name);
    await until([a, c], () => reaches(a, c) && reaches(c, a));
    await a.connect(c.name);
    // From now on neither makes a link to the other for the ring's sake.
    const gone = [next(a, "nodeDown"), next(c, "nodeDown")];
    a.disconnect(c.name);
    await Promise.all(gone);
    const total = 20_000;
    const received = run(c, (self) => numbers(self, total), { name: "sink" });
    const linked = (): boolean => a.stats().links.some(({ name }) => name === c.name);
    expect(linked()).toBe(false);
    let byMesh = 0;
    await run(a, async (self) => {
      const sink = { name: "sink", node: c.name };
      for (const value of upTo(total)) {
        if (!linked()) byMesh++;
        if (!self.send(sink, value)) await self.drained(sink);
        if (value % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    });
    expect(await received).toEqual(upTo(total));
    expect(byMesh).toBeGreaterThan(0);
    expect(linked()).toBe(true);
  });
});

describe("discovery and names", () => {
  test("nodes find each other by bootstrap addresses, and go on trying until somebody is there", async () => {
    const first = await start({ name: "first@localhost:0" });
    const { port } = first.address;
    await first.close();
    const named = await start({ name: "named@localhost:0", bootstrap: [`first@localhost:${port}`] });
    const bare = await start({ name: "bare@localhost:0", bootstrap: [`localhost:${port}`] });
    expect(named.members().length + bare.members().length).toBe(2);
    const again = await start({ name: `first@localhost:${port}`, port });
    const all = [named, bare, again];
    await until(all, () => all.every((node) => node.members().filter(isAlive).length === 3));
  });

  test("a name registered globally is found everywhere, and given up with its process", async () => {
    const a = await start({ name: "a@localhost:0" });
    const b = await start({ name: "b@localhost:0", bootstrap: [a.name] });
    await until([a, b], () => reaches(a, b) && reaches(b, a));
    const pid = a.spawn(async (self) => {
      await self.receive();
    });
    await a.registerGlobalName("printer", pid);
    expect(await b.whereis("printer")).toEqual(pid);
    expect(await a.whereis("printer")).toEqual(pid);
    const other = b.spawn(async (self) => {
      await self.receive();
    });
    await expect(b.registerGlobalName("printer", other)).rejects.toMatchObject({ code: "NAME_TAKEN" });
    a.send(pid, atom("stop"));
    await expect.poll(() => b.whereis("printer"), { timeout: 20_000 }).toBeUndefined();
    await b.registerGlobalName("printer", other);
    expect(await a.whereis("printer")).toEqual(other);
  });
});

function isAlive({ state }: { readonly state: string }): boolean {
  return state === "alive";
}
