import { createHash } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { type BeamNode, openWorld, type World } from "./support/beam-node.ts";
import { describeWithErlang } from "./support/erlang.ts";

describeWithErlang("Erlang nodes behind two Macula nodes", () => {
  let world: World;
  let left: MaculaNode;
  let right: MaculaNode;
  let one: BeamNode;
  let two: BeamNode;

  const portOf = (node: MaculaNode): string => node.name.split(":").at(-1) ?? "";

  beforeAll(async () => {
    world = openWorld();
    [left, right] = await Promise.all([world.macula(), world.macula()]);
    [one, two] = await Promise.all([
      world.beam(`one@localhost:${portOf(left)}`),
      world.beam(`two@localhost:${portOf(right)}`),
    ]);
  });

  afterAll(() => world.close());

  test("connect_node is true, and both list each other", async () => {
    expect(await two.connect(one)).toBe("true");
    expect(await two.eval("nodes()")).toBe(`['${one.name}']`);
    expect(await one.eval("nodes()")).toBe(`['${two.name}']`);
    expect(await two.eval(`net_adm:ping('${one.name}')`)).toBe("pong");
    expect(left.beam.nodes()).toEqual([one.name]);
  });

  test("messages to registered names, spawn, rpc and erpc work both ways", async () => {
    await one.eval("register(tester, self())");
    await two.eval(`{tester, '${one.name}'} ! {hello, self()}`);
    expect(await one.eval("receive {hello, From} -> From ! {back, node()}, node(From) end")).toBe(
      `'${two.name}'`,
    );
    expect(await two.eval("receive {back, N} -> N end")).toBe(`'${one.name}'`);
    expect(await two.eval(`rpc:call('${one.name}', erlang, node, [])`)).toBe(`'${one.name}'`);
    expect(await one.eval(`erpc:call('${two.name}', fun() -> node() end)`)).toBe(`'${two.name}'`);
    expect(
      await two.eval(
        `Me = self(), spawn('${one.name}', fun() -> Me ! {from, node()} end), receive {from, There} -> There end`,
      ),
    ).toBe(`'${one.name}'`);
  });

  test("links, monitors and exits travel", async () => {
    expect(
      await two.eval(
        `P1 = spawn('${one.name}', fun() -> receive stop -> exit(enough) end end), R1 = monitor(process, P1), P1 ! stop,
         receive {'DOWN', R1, process, P1, Why1} -> Why1 end`,
      ),
    ).toBe("enough");
    expect(
      await two.eval(
        `process_flag(trap_exit, true), P2 = spawn_link('${one.name}', fun() -> exit(bye) end),
         receive {'EXIT', P2, Why2} -> Why2 end`,
      ),
    ).toBe("bye");
    expect(
      await two.eval(
        `P3 = spawn('${one.name}', fun() -> receive never -> ok end end), R3 = monitor(process, P3), exit(P3, kill),
         receive {'DOWN', R3, process, P3, Why3} -> Why3 end`,
      ),
    ).toBe("killed");
  });

  test("1,000 links at once, and their exits", async () => {
    expect(
      await two.eval(
        `Linked = [spawn_link('${one.name}', fun() -> receive stop -> exit(done) end end) || _ <- lists:seq(1, 1000)],
         [L ! stop || L <- Linked], length([ok || L <- Linked, receive {'EXIT', L, done} -> true end])`,
      ),
    ).toBe("1000");
  });

  test("messages of 64 MiB arrive whole, both ways", async () => {
    const bytes = 64 * 1024 * 1024;
    const hash = createHash("md5").update(Buffer.alloc(bytes, 7)).digest("hex");
    for (const [from, to] of [
      [one, two],
      [two, one],
    ] as const) {
      await from.eval(
        `Collector = spawn('${to.name}', fun() -> receive {B, F} -> F ! {md5, erlang:md5(B)} end end),
         Collector ! {binary:copy(<<7>>, ${bytes}), self()}, ok`,
      );
      expect(await from.eval("receive {md5, Sum} -> binary:encode_hex(Sum) end")).toBe(
        `<<"${hash.toUpperCase()}">>`,
      );
    }
  });

  test("a third node joins: global, pg, and all three fully connected", async () => {
    const three = await world.beam(`three@localhost:${portOf(right)}`);
    expect(await three.connect(one)).toBe("true");
    const until = (condition: string): string =>
      `(fun W() -> case ${condition} of true -> ok; _ -> timer:sleep(20), W() end end)()`;
    // global connects the rest behind the scenes.
    for (const node of [one, two, three]) await node.eval(until("length(nodes()) =:= 2"));
    await three.eval("global:register_name(boss, self())");
    expect(await one.eval("node(global:whereis_name(boss))")).toBe(`'${three.name}'`);
    for (const node of [one, two, three]) await node.eval("pg:start(pg), pg:join(team, self())");
    for (const node of [one, two, three]) await node.eval(until("length(pg:get_members(team)) =:= 3"));
    await three.kill();
    for (const node of [one, two]) await node.eval(until("length(nodes()) =:= 1"));
    expect(await two.eval("nodes()")).toBe(`['${one.name}']`);
    await two.eval(until("global:whereis_name(boss) =:= undefined"));
    await two.eval(until("length(pg:get_members(team)) =:= 2"));
  });

  test("kill -9 of a node is a nodedown at once, and its name is free again", async () => {
    const victim = await world.beam(`victim@localhost:${portOf(left)}`);
    expect(await two.connect(victim)).toBe("true");
    await two.eval(`erlang:monitor_node('${victim.name}', true)`);
    await victim.kill();
    // Net ticks would take a minute.
    expect(await two.eval("receive {nodedown, V} -> V after 2000 -> late end")).toBe(`'${victim.name}'`);
    const again = await world.beam(victim.name);
    expect(await two.connect(again)).toBe("true");
    await again.kill();
  });

  test("a name that is taken is refused as Erlang does it", async () => {
    await expect(world.beam(one.name)).rejects.toThrow(
      `the name ${one.name} seems to be in use by another Erlang node`,
    );
  });

  test("a wrong cookie is found by Erlang's own handshake and told where it can be mended", async () => {
    const stranger = await world.beam(`stranger@localhost:${portOf(left)}`, { cookie: "wrong" });
    expect(await stranger.connect(two)).toBe("false");
    await two.printed(`Connection attempt from node '${stranger.name}' rejected. Invalid challenge reply.`);
    await stranger.kill();
  });

  test("why there is no connection is said on the node that wanted it", async () => {
    const nobody = `nobody@localhost:${portOf(left)}`;
    expect(await two.connect(nobody)).toBe("false");
    await two.printed(`macula: no connection to ${nobody}: there is no node ${nobody} at this Macula node`);
    expect(await two.connect("nobody@localhost:1")).toBe("false");
    await two.printed("no connection to nobody@localhost:1: the peer refuses the connection");
    expect(await two.connect("nobody@no-such-host.invalid:4433")).toBe("false");
    await two.printed("the name no-such-host.invalid has no address");
  });

  test("another realm is refused, and the reason told", async () => {
    const foreign = await world.macula({ realm: "elsewhere" });
    const stranger = await world.beam(`far@localhost:${portOf(foreign)}`);
    expect(await stranger.connect(one)).toBe("false");
    await stranger.printed("the certificates are not of the same realm");
    await stranger.kill();
  });

  test("a name of another port does not attach", async () => {
    await expect(world.beam("lost@localhost:99999")).rejects.toThrow("ends in a port that is none");
  });

  test("garbage on the local socket is told so, and harms nobody", async () => {
    const socket = connect(`${world.home}/beam/${portOf(left)}.sock`);
    socket.write("GET / HTTP/1.1\r\n\r\n");
    let answer = "";
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toContain("a packet of 18245 bytes");
    expect(await two.eval(`net_adm:ping('${one.name}')`)).toBe("pong");
  });

  test("a hidden node that does not listen connects, and others see it as hidden", async () => {
    const quiet = await world.beam(`quiet@localhost:${portOf(left)}`, { flags: ["-dist_listen", "false"] });
    expect(await quiet.connect(two)).toBe("true");
    expect(await two.eval("nodes(hidden)")).toBe(`['${quiet.name}']`);
    expect(left.beam.nodes()).not.toContain(quiet.name);
    await quiet.kill();
  });

  test("a sender is held back by a receiver that stands still, and goes on when that does", async () => {
    const slow = await world.beam(`slow@localhost:${portOf(left)}`);
    expect(await two.connect(slow)).toBe("true");
    await two.eval("erlang:system_monitor(self(), [busy_dist_port])");
    expect(
      await slow.eval(
        `Me = self(), Sink = spawn(fun F() -> receive {last, From} -> From ! arrived; _ -> F() end end), register(sink, Sink), ok`,
      ),
    ).toBe("ok");
    slow.process.kill("SIGSTOP");
    // Far more than all buffers on the way: the sender is suspended in the middle.
    await two.eval(
      `Self = self(), spawn(fun() -> B = binary:copy(<<1>>, 65536), [{sink, '${slow.name}'} ! B || _ <- lists:seq(1, 640)],
         {sink, '${slow.name}'} ! {last, Self} end), ok`,
    );
    expect(await two.eval("receive {monitor, _, busy_dist_port, _} -> busy end")).toBe("busy");
    slow.process.kill("SIGCONT");
    expect(await two.eval("receive arrived -> arrived end")).toBe("arrived");
    await slow.kill();
  });
});
