import { afterAll, beforeAll, expect, test } from "vitest";
import { atom, type Pid, type Tuple, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { run } from "../node/support/nodes.ts";
import { type BeamNode, openWorld, type World } from "./support/beam-node.ts";
import { describeWithErlang } from "./support/erlang.ts";

/*
 * TypeScript processes and Erlang processes whose nodes run their distribution through Macula, as `macula beam` sets them up:
 * which way a name is reached, that nothing is lost or reordered while that is found out, and that a Macula node is a node
 * like any other to them.
 */
describeWithErlang("TypeScript nodes among Erlang nodes that use Macula", () => {
  let world: World;
  /** Has an Erlang node attached. */
  let there: MaculaNode;
  let erlang: BeamNode;
  let node: MaculaNode;

  beforeAll(async () => {
    world = openWorld();
    [there, node] = await Promise.all([world.macula(), world.macula({ beam: { attach: "off" } })]);
    erlang = await world.beam(`erlang@localhost:${there.name.split(":").at(-1)}`);
  });

  afterAll(() => world.close());

  test("a link finds another Macula node there, the Erlang node is asked for, and what waited arrives in order", async () => {
    await erlang.eval("register(here, self())");
    const here = { name: "here", node: erlang.name };
    // All of this is sent before anybody knows what that node is; one message is in many fragments.
    node.send(here, 1);
    node.send(here, "x".repeat(3 << 20));
    node.send(here, "text");
    node.send(here, Uint8Array.of(255, 2));
    const call = node.rpc(erlang.name, "erlang", "node", []);
    const spawned = run(node, async (self) => {
      const pid = await self.spawnOn(erlang.name, "erlang", "exit", [atom("done")], { monitor: true });
      return [pid.node, ((await self.receive()) as Tuple).elements[4]];
    });
    const connected = node.connect(erlang.name);
    for (let index = 0; index < 100; index++) node.send(here, tuple(atom("n"), index));
    expect(await connected).toBe(true);
    expect(await call).toBe(atom(erlang.name));
    expect(await spawned).toEqual([erlang.name, atom("done")]);
    expect(
      await erlang.eval(
        `R = fun() -> receive X -> X end end, First = [R(), byte_size(R()), R(), R()],
         First ++ [[N || {n, N} <- [R() || _ <- lists:seq(1, 100)]] =:= lists:seq(0, 99)]`,
      ),
    ).toBe('[1,3145728,<<"text">>,<<255,2>>,true]');
    expect(node.nodes()).toEqual([erlang.name]);
    expect(await erlang.eval("nodes()")).toBe(`['${node.name}']`);
    // The Macula node there is another node, with a link of its own.
    expect(await node.connect(there.name)).toBe(true);
    expect(node.nodes().sort()).toEqual([erlang.name, there.name].sort());
    expect(await node.ping(erlang.name)).toMatchObject({ rttMs: expect.any(Number) as unknown });
  });

  test("the Macula node that carries an Erlang node is a node to it, whoever connects first", async () => {
    there.exportModule("m", { same: (pid: Pid) => [pid, pid.node], add: (a: number, b: number) => a + b });
    expect(await erlang.eval(`net_adm:ping('${there.name}')`)).toBe("pong");
    expect(await erlang.eval(`lists:member('${there.name}', nodes())`)).toBe("true");
    expect(await erlang.eval(`rpc:call('${there.name}', m, add, [1, 2])`)).toBe("3");
    expect(
      await erlang.eval(`{badrpc, {'EXIT', {undef, _}}} = rpc:call('${there.name}', m, no, []), ok`),
    ).toBe("ok");
    expect(
      await erlang.eval(`[P, N] = rpc:call('${there.name}', m, same, [self()]), {P =:= self(), N}`),
    ).toBe(`{true,<<"${erlang.name}">>}`);
    expect(there.nodes()).toContain(erlang.name);
    expect(there.disconnect(erlang.name)).toBe(true);
    expect(await there.connect(erlang.name)).toBe(true);
    expect(await there.rpc(erlang.name, "erlang", "abs", [-3])).toBe(3);
  });

  test("an Erlang node that is killed is down at once: exits, monitors, nodedown", async () => {
    const other = await world.beam(`other@localhost:${there.name.split(":").at(-1)}`);
    const told = run(node, async (self) => {
      self.trapExit = true;
      const pid = await self.spawnOn(other.name, "timer", "sleep", [100_000], { link: true });
      self.monitorNode(other.name);
      const ref = self.monitor(pid);
      await other.kill();
      const messages: Tuple[] = [];
      while (messages.length < 3) messages.push((await self.receive()) as Tuple);
      return { pid, ref, messages };
    });
    const { pid, ref, messages } = await told;
    expect(messages).toContainEqual(tuple(atom("EXIT"), pid, atom("noconnection")));
    expect(messages).toContainEqual(tuple(atom("DOWN"), ref, atom("process"), pid, atom("noconnection")));
    expect(messages).toContainEqual(tuple(atom("nodedown"), atom(other.name)));
    expect(node.nodes()).not.toContain(other.name);
  });

  test("a name that neither is there nor is attached there is the wrong node, and everybody is told", async () => {
    const gone = `gone@${there.name.split("@")[1]}`;
    const told = run(node, async (self) => {
      self.monitorNode(gone);
      self.monitor({ name: "x", node: gone });
      return [(await self.receive()) as Tuple, (await self.receive()) as Tuple];
    });
    await expect(node.ping(gone)).rejects.toMatchObject({
      code: "WRONG_NODE",
      message: expect.stringMatching(/macula@.* and .*gone@/) as unknown,
    });
    expect((await told).map(({ elements: [tag] }) => tag)).toEqual([atom("DOWN"), atom("nodedown")]);
    await expect(node.rpc(gone, "m", "f", [])).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(await node.connect(gone)).toBe(false);
  });

  test("another Erlang cookie is refused by the side that is asked, and said on both", async () => {
    const stranger = await world.macula({ erlangCookie: "another" });
    expect(await stranger.connect(erlang.name)).toBe(false);
    expect(await erlang.connect(stranger.name)).toBe("false");
    expect(stranger.nodes()).not.toContain(erlang.name);
  });
});
