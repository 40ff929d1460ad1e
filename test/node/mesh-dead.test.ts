import { beforeEach, describe, expect, test } from "vitest";
import { atom, type Term, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { joined, memberIn, until } from "./support/mesh.ts";
import { next, run, start } from "./support/nodes.ts";
import { PeerProcess } from "./support/peer-process.ts";

/* What a program gets that has to do with a member which is dead: an answer, and one that says why. */

let a: MaculaNode;
let dead: PeerProcess;

beforeEach(async () => {
  a = await start({ name: "a@localhost:0" });
  // So that there is somebody by whom a way could lead.
  await joined(await start({ name: "b@localhost:0" }), a);
  dead = await PeerProcess.start();
  a.join(dead.name);
  await memberIn(a, "alive", dead.name);
});

describe("a member that was killed", () => {
  beforeEach(async () => {
    await dead.kill();
    await memberIn(a, "dead", dead.name);
    // A link is given up by its own heartbeats, in its own time.
    await until(() => !a.nodes().includes(dead.name));
  });

  test("connect gives false, ping says why", async () => {
    expect(await a.connect(dead.name)).toBe(false);
    await expect(a.ping(dead.name)).rejects.toMatchObject({
      code: expect.stringMatching(/^(TIMEOUT|REFUSED|PEER_UNREACHABLE)$/),
      message: expect.stringContaining(dead.name.slice(dead.name.lastIndexOf(":"))),
    });
  });

  test("rpc and spawnOn are PEER_UNREACHABLE, and name it", async () => {
    const failure = { code: "PEER_UNREACHABLE", message: expect.stringContaining(dead.name) };
    await expect(a.rpc(dead.name, "worker", "counters", [])).rejects.toMatchObject(failure);
    await expect(a.spawnOn(dead.name, "worker", "wait", [])).rejects.toMatchObject(failure);
  });

  test("a monitor is DOWN with noconnection", async () => {
    const ref = a.monitor({ name: "somebody", node: dead.name });
    const down = await next(a, "message");
    const object = tuple(atom("somebody"), atom(dead.name));
    expect(down).toEqual(tuple(atom("DOWN"), ref, atom("process"), object, atom("noconnection")));
  });

  test("trace says that it is dead", async () => {
    await expect(a.trace(dead.name)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringContaining(`${dead.name} is dead`),
    });
  });

  test("what is sent to it is no error, and leaves nothing behind", async () => {
    await run(a, async (self) => {
      for (let index = 0; index < 100; index++) self.send({ name: "somebody", node: dead.name }, index);
      const ref = self.monitor({ name: "somebody", node: dead.name });
      await self.receive(
        tuple(
          atom("DOWN"),
          ref,
          atom("process"),
          tuple(atom("somebody"), atom(dead.name)),
          atom("noconnection"),
        ),
      );
    });
    expect(a.nodes()).not.toContain(dead.name);
    expect(a.routes().map(({ node }) => node)).not.toContain(dead.name);
  });
});

describe("a member that is killed while it is asked", () => {
  test("a call is answered by PEER_UNREACHABLE, a linked process gets noconnection, the monitor DOWN", async () => {
    const asked: Promise<Term>[] = [];
    await run(a, async (self) => {
      self.trapExit = true;
      const pid = await self.spawnOn(dead.name, "worker", "wait", [], { link: true, monitor: true });
      asked.push(self.rpc(dead.name, "worker", "hang", [self.pid], { timeoutMs: 60_000 }));
      expect(await self.receive()).toBe("called");
      await dead.kill();
      const messages = [await self.receive(), await self.receive()];
      expect(messages).toContainEqual(tuple(atom("EXIT"), pid, atom("noconnection")));
      expect(messages).toContainEqual(
        tuple(atom("DOWN"), expect.anything() as unknown as Term, atom("process"), pid, atom("noconnection")),
      );
      await expect(asked[0]).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    });
    expect(a.nodes()).not.toContain(dead.name);
  });
});
