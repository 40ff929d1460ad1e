import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import { atom, type Pid, type Tuple, tuple } from "../../src/etf/index.ts";
import { epmdLookUp } from "../../src/io/epmd.ts";
import { connectTcp } from "../../src/io/tcp.ts";
import type { BeamCarrier } from "../../src/node/erlang/types.ts";
import { run } from "../node/support/nodes.ts";
import { describeWithErlang } from "./support/erlang.ts";
import { startErlang, startMacula, useErlangWorld } from "./support/erlang-world.ts";

/*
 * BEAM nodes behind Macula nodes, with a carrier that brings bytes to their listeners by TCP: which way a name is reached,
 * and that nothing is lost or reordered while that is found out.
 */

/** Knows where the listener of every stock node of these tests is. */
class TcpCarrier implements BeamCarrier {
  onLocal: BeamCarrier["onLocal"];
  readonly opened: string[] = [];
  readonly attached: string[] = [];

  nodes(): readonly string[] {
    return this.attached;
  }

  async open(node: string, options: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    this.opened.push(node);
    const [name = ""] = node.split("@");
    return connectTcp("127.0.0.1", await epmdLookUp(name), options.signal);
  }
}

describeWithErlang("a BEAM node behind another Macula node", () => {
  useErlangWorld();

  test("the link finds another Macula node there, the carrier is asked, and what waited arrives in order", async () => {
    const carrier = new TcpCarrier();
    const [there, node] = await Promise.all([
      startMacula({ name: "macula@localhost:0", epmd: false }),
      startMacula({ epmd: false, carrier }),
    ]);
    const port = there.address.port;
    const beam = `beam@localhost:${port}`;
    const erlang = await startErlang(beam);
    await erlang.eval("register(here, self())");
    const here = { name: "here", node: beam };
    // All of this is sent before anybody knows what that node is; one message is in many fragments.
    const big = "x".repeat(3 << 20);
    node.send(here, 1);
    node.send(here, big);
    node.send(here, "text");
    node.send(here, Uint8Array.of(255, 2));
    const call = node.rpc(beam, "erlang", "node", []);
    const spawned = run(node, async (self) => {
      const pid = await self.spawnOn(beam, "erlang", "exit", [atom("done")], { monitor: true });
      return [pid.node, ((await self.receive()) as Tuple).elements[4]];
    });
    const connected = node.connect(beam);
    for (let index = 0; index < 100; index++) node.send(here, tuple(atom("n"), index));
    expect(await connected).toBe(true);
    expect(await call).toBe(atom(beam));
    expect(await spawned).toEqual([beam, atom("done")]);
    expect(carrier.opened).toEqual([beam]);
    expect(
      await erlang.show(
        "R = fun() -> receive X -> X after 5000 -> timeout end end, [R(), byte_size(R()), R(), R()] ++ [[N || {n, N} <- [R() || _ <- lists:seq(1, 100)]] =:= lists:seq(0, 99)]",
      ),
    ).toBe('[1,3145728,<<"text">>,<<255,2>>,true]');
    expect(node.nodes()).toEqual([beam]);
    // The Macula node there is another node, with a link of its own.
    expect(await node.connect(there.name)).toBe(true);
    expect(node.nodes().sort()).toEqual([beam, there.name].sort());
    expect(await node.ping(beam)).toMatchObject({ rttMs: expect.any(Number) as unknown });
  });

  test("a BEAM node attached here is reached without a dial; one without a port is called with 4433 here", async () => {
    const carrier = new TcpCarrier();
    const node = await startMacula({ epmd: false, carrier });
    const erlang = await startErlang("plain@localhost");
    carrier.attached.push("plain@localhost");
    node.exportModule("m", { same: (pid: Pid) => [pid, pid.node] });
    expect(await node.connect("plain@localhost")).toBe(true);
    expect(node.nodes()).toEqual(["plain@localhost:4433"]);
    // The node is nobody but plain@localhost to itself: its pids come back as they were.
    expect(await erlang.show("nodes()")).toBe(`['${node.name}']`);
    expect(await erlang.show(`[P, N] = rpc:call('${node.name}', m, same, [self()]), {P =:= self(), N}`)).toBe(
      '{true,<<"plain@localhost:4433">>}',
    );
    const pid = (await node.rpc("plain@localhost", "erlang", "self", [])) as Pid;
    expect(pid.node).toBe("plain@localhost:4433");
    expect(await node.rpc(pid.node, "erlang", "node", [pid])).toBe(atom("plain@localhost"));
    expect(node.disconnect("no name")).toBe(false);
    expect(node.disconnect("plain@localhost")).toBe(true);
    expect(node.nodes()).toEqual([]);
  });

  test("whom the carrier does not reach either is unreachable, and everybody is told", async () => {
    const carrier = new TcpCarrier();
    carrier.open = () => Promise.reject(new MeshError("PEER_UNREACHABLE", "no such BEAM node there"));
    const [there, node] = await Promise.all([
      startMacula({ name: "macula@localhost:0", epmd: false }),
      startMacula({ epmd: false, carrier }),
    ]);
    const beam = `gone@localhost:${there.address.port}`;
    const told = run(node, async (self) => {
      self.monitorNode(beam);
      const ref = self.monitor({ name: "x", node: beam });
      const messages = [(await self.receive()) as Tuple, (await self.receive()) as Tuple];
      return { ref, messages };
    });
    await expect(node.ping(beam)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: "no such BEAM node there",
    });
    const { messages } = await told;
    expect(messages.map(({ elements: [tag] }) => tag)).toEqual([atom("DOWN"), atom("nodedown")]);
    await expect(node.rpc(beam, "m", "f", [])).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(await node.connect(beam)).toBe(false);
  });
});
