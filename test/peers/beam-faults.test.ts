import { afterAll, beforeAll, expect, test } from "vitest";
import { startNode } from "../cli/command.ts";
import { UdpRelay } from "../quic/support/relay.ts";
import { freePort } from "../support/free-port.ts";
import { type BeamNode, openWorld, type World } from "./support/beam-node.ts";
import { describeWithErlang } from "./support/erlang.ts";

/* What a network, a machine and an operator do to Erlang nodes whose distribution Macula carries. */

/** Erlang that returns `ok` as soon as `condition` holds. */
const until = (condition: string): string =>
  `(fun W() -> case ${condition} of true -> ok; _ -> timer:sleep(20), W() end end)()`;

/** Erlang for the packets that have come from `node`, ticks included. */
const packetsFrom = (node: BeamNode): string =>
  `(fun() -> {_, Port} = lists:keyfind('${node.name}', 1, erlang:system_info(dist_ctrl)), {ok, [{_, Count}]} = inet:getstat(Port, [recv_cnt]), Count end)()`;

describeWithErlang("Erlang nodes behind Macula nodes, and what happens to them", () => {
  let world: World;
  let ports: readonly string[];

  beforeAll(async () => {
    world = openWorld();
    const maculas = await Promise.all([world.macula(), world.macula(), world.macula()]);
    ports = maculas.map(({ name }) => name.split(":").at(-1) ?? "");
  });

  afterAll(() => world.close());

  function beams(name: string, count: number, flags: readonly string[]): Promise<BeamNode[]> {
    return Promise.all(
      Array.from({ length: count }, (_, index) =>
        world.beam(`${name}${index}@localhost:${ports[index]}`, { flags }),
      ),
    );
  }

  test("net_ticktime: ticks keep an idle connection, and a node that stands still is given up", async () => {
    const [one, two] = (await beams("tick", 2, ["-kernel", "net_ticktime", "1"])) as [BeamNode, BeamNode];
    expect(await one.eval("net_kernel:get_net_ticktime()")).toBe("1");
    expect(await two.connect(one)).toBe("true");
    await two.eval("net_kernel:monitor_nodes(true, [nodedown_reason])");
    // A tick each quarter of the time, and nothing else: three times as long as silence may last.
    await two.eval(`Before = ${packetsFrom(one)}`);
    await two.eval(until(`${packetsFrom(one)} >= Before + 12`));
    expect(await two.eval("receive {nodedown, _, _} = Down -> Down after 0 -> nodes() end")).toBe(
      `['${one.name}']`,
    );
    one.process.kill("SIGSTOP");
    expect(await two.eval("receive {nodedown, N, [{nodedown_reason, Why}]} -> {N, Why} end")).toBe(
      `{'${one.name}',net_tick_timeout}`,
    );
    one.process.kill("SIGCONT");
    // It has to hear of its loss first.
    await one.eval(until("nodes() =:= []"));
    expect(await two.connect(one)).toBe("true");
    await Promise.all([one.close(), two.close()]);
  });

  test("-connect_all false: the nodes of a node stay unconnected", async () => {
    type Three = [BeamNode, BeamNode, BeamNode];
    const stars = (await beams("star", 3, ["-connect_all", "false"])) as Three;
    const usual = (await beams("usual", 3, [])) as Three;
    for (const [centre, left, right] of [stars, usual]) {
      expect(await left.connect(centre)).toBe("true");
      expect(await right.connect(centre)).toBe("true");
    }
    // Those that began later are all connected by now.
    for (const node of usual) await node.eval(until("length(nodes()) =:= 2"));
    const [centre, left, right] = stars;
    for (const leaf of [left, right]) expect(await leaf.eval("nodes()")).toBe(`['${centre.name}']`);
    expect(await centre.eval("length(nodes())")).toBe("2");
    await Promise.all([...stars, ...usual].map((node) => node.close()));
  });

  test("changes of address under a live connection: nothing is lost, and no node notices", async () => {
    const inner = await freePort();
    const relay = await UdpRelay.open({ host: "127.0.0.1", port: inner });
    try {
      const { port } = relay.address;
      const there = await world.macula({ name: `macula@127.0.0.1:${port}`, port: inner });
      const one = await world.beam(`one@127.0.0.1:${port}`);
      const two = await world.beam(`two@localhost:${ports[0]}`);
      expect(await two.connect(one)).toBe("true");
      for (const node of [one, two]) await node.eval("net_kernel:monitor_nodes(true)");
      await one.eval("register(echo, spawn(fun F() -> receive {P, M} -> P ! M, F() end end))");
      for (let round = 0; round < 5; round++) {
        // In the middle of it the peer's packets begin to come from another port.
        const echoed = two.eval(
          `[begin {echo, '${one.name}'} ! {self(), {N, binary:copy(<<N:32>>, 10000)}}, N end || N <- lists:seq(1, 100)] =:=
             [receive {N, <<N:32, _/binary>>} -> N end || N <- lists:seq(1, 100)]`,
        );
        await relay.switchPort();
        expect(await echoed).toBe("true");
      }
      for (const node of [one, two]) {
        expect(await node.eval("receive {nodedown, _} = Down -> Down after 0 -> none end")).toBe("none");
      }
      await Promise.all([one.close(), two.close()]);
      await there.close();
    } finally {
      relay.close();
    }
  });

  test("kill -9 of the user's own Macula node: nodedown, and all attach again when he starts it again", async () => {
    const port = await freePort();
    const args = ["--name", `own@localhost:${port}`];
    const home = { path: world.home, remove: () => {} };
    const own = await startNode(home, args, world.environment);
    const one = await world.beam(`one@localhost:${port}`);
    const two = await world.beam(`two@localhost:${ports[0]}`);
    expect(await two.connect(one)).toBe("true");
    for (const node of [one, two]) await node.eval("net_kernel:monitor_nodes(true)");
    await own.kill();
    expect(await one.eval("receive {nodedown, N} -> N after 2000 -> late end")).toBe(`'${two.name}'`);
    expect(await two.eval("receive {nodedown, N} -> N after 10000 -> late end")).toBe(`'${one.name}'`);
    // It was not theirs to start.
    await one.printed(`macula: no Macula node is running for UDP port ${port}`);
    const again = await startNode(home, args, world.environment);
    try {
      await one.printed("is attached to a Macula node again");
      expect(await two.connect(one)).toBe("true");
      await Promise.all([one.close(), two.close()]);
    } finally {
      await again.stop();
    }
  });
});
