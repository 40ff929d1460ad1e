import { expect, test } from "vitest";
import { atom, charlist, format, type Pid, type Term, type Tuple, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import {
  GenServer,
  noReply,
  type ProcessExit,
  type Reply,
  type Self,
  withSelf,
} from "../../src/process/index.ts";
import { run } from "../node/support/nodes.ts";
import { describeWithErlang } from "./support/erlang.ts";
import type { ErlangNode } from "./support/erlang-node.ts";
import { startErlang, startMacula, useErlangWorld } from "./support/erlang-world.ts";

/* What OTP builds on signals: rpc, erpc, gen_server, I/O, global, pg. */

const erl = "erl@localhost";
const ts = "'ts@localhost'";

class Server extends GenServer {
  #asked: Parameters<GenServer["handleCall"]>[1] | undefined;

  override handleCall(request: Term, from: Parameters<GenServer["handleCall"]>[1]): Reply {
    if (request === atom("later")) {
      this.#asked = from;
      return noReply;
    }
    return tuple(atom("answered"), request);
  }

  override handleCast(request: Term): void {
    if (this.#asked !== undefined) this.reply(this.#asked, request);
  }
}

async function both(printed: string[] = []): Promise<{ node: MaculaNode; erlang: ErlangNode }> {
  const [node, erlang] = await Promise.all([
    startMacula({ print: (text) => printed.push(text) }),
    startErlang(),
  ]);
  return { node, erlang };
}

describeWithErlang("OTP between a stock Erlang node and a Macula node", () => {
  useErlangWorld();

  test("rpc:call and erpc:call: values, undef, exits, throws, time-outs", async () => {
    const { node, erlang } = await both();
    node.exportModule("math", {
      add: (a: number, b: number) => a + b,
      fail: () => {
        throw new RangeError("out of range");
      },
      throws: () => {
        throw atom("ball");
      },
      exits: withSelf((self: Self) => self.exit(tuple(atom("because"), 1))),
      never: () => new Promise(() => undefined),
    });
    const show = (expression: string): Promise<string> => erlang.show(expression);
    expect(await show(`rpc:call(${ts}, math, add, [1, 2])`)).toBe("3");
    expect(await show(`erpc:call(${ts}, math, add, [<<"a">>, <<"b">>], 5000)`)).toBe('<<"ab">>');
    expect(await show(`rpc:call(${ts}, math, add, [1, 2], 5000)`)).toBe("3");
    expect(await show(`rpc:call(${ts}, math, gone, [1])`)).toBe(
      "{badrpc,{'EXIT',{undef,[{math,gone,[1],[]}]}}}",
    );
    expect(await show(`try erpc:call(${ts}, gone, f, []) catch C:R -> {C, R} end`)).toBe(
      "{error,{exception,undef,[{gone,f,[],[]}]}}",
    );
    expect(
      await show(`{badrpc, {'EXIT', {error, {N, T, _}}}} = rpc:call(${ts}, math, fail, []), {N, T}`),
    ).toBe('{<<"RangeError">>,<<"out of range">>}');
    expect(await show(`rpc:call(${ts}, math, throws, [])`)).toBe("ball");
    expect(await show(`rpc:call(${ts}, math, exits, [])`)).toBe("{badrpc,{'EXIT',{because,1}}}");
    expect(await show(`rpc:call(${ts}, math, never, [], 10)`)).toBe("{badrpc,timeout}");
    expect(await show(`rpc:multicall([node(), ${ts}], erlang, abs, [-1])`)).toBe(
      "{[1,{badrpc,{'EXIT',{undef,[{erlang,abs,[-1],[]}]}}}],[]}",
    );
    expect(await show(`K = rpc:async_call(${ts}, math, add, [3, 4]), rpc:yield(K)`)).toBe("7");
    expect(await show(`rpc:block_call(${ts}, math, add, [3, 5])`)).toBe("8");
    expect(await show(`gen_server:call({rex, ${ts}}, {call, math, gone, [], group_leader()})`)).toBe(
      "{badrpc,{'EXIT',{undef,[{math,gone,[],[]}]}}}",
    );
    expect(
      await show(`{rex, ${ts}} ! {self(), {call, math, add, [5, 5], user}}, receive {rex, X} -> X end`),
    ).toBe("10");
  });

  test("rpc:cast runs a function, and nobody waits", async () => {
    const { node, erlang } = await both();
    node.exportModule("m", { tell: (to: Pid) => node.send(to, atom("told")) });
    expect(
      await erlang.show(`rpc:cast(${ts}, m, tell, [self()]), receive told -> ok after 5000 -> timeout end`),
    ).toBe("ok");
  });

  test("node.rpc on Erlang: values, NOT_EXPORTED for undef, the reason otherwise, TIMEOUT, PEER_UNREACHABLE", async () => {
    const { node } = await both();
    expect(await node.rpc(erl, "lists", "reverse", [[1, 2, 3]])).toEqual([3, 2, 1]);
    expect(await node.rpc(erl, "string", "uppercase", ["text"])).toBe("TEXT");
    expect(await node.rpc(erl, "erlang", "list_to_atom", [charlist("made")])).toBe(atom("made"));
    await expect(node.rpc(erl, "no", "such", [1])).rejects.toMatchObject({ code: "NOT_EXPORTED" });
    await expect(node.rpc(erl, "erlang", "exit", [atom("x")])).rejects.toMatchObject({
      code: "REMOTE",
      cause: { reason: atom("x") },
    });
    await expect(node.rpc(erl, "erlang", "throw", [atom("x")])).rejects.toMatchObject({
      cause: { reason: tuple(atom("nocatch"), atom("x")) },
    });
    const badarg = await node.rpc(erl, "erlang", "abs", [atom("x")]).catch((error: unknown) => error);
    expect(((badarg as Error).cause as ProcessExit).reason).toMatchObject({
      elements: [atom("badarg"), expect.any(Array) as unknown],
    });
    await expect(node.rpc(erl, "timer", "sleep", [60_000], { timeoutMs: 10 })).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await expect(node.rpc(erl, "erlang", "halt", [])).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    await expect(node.rpc("nobody@localhost", "m", "f", [])).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
  });

  test("gen_server:call and cast on a TypeScript server; an answer too late is dropped by its alias", async () => {
    const { node, erlang } = await both();
    await GenServer.start(node, Server, [], { name: "server" });
    const show = (expression: string): Promise<string> => erlang.show(expression);
    expect(await show(`gen_server:call({server, ${ts}}, {any, <<"term">>})`)).toBe(
      '{answered,{any,<<"term">>}}',
    );
    expect(await show(`catch gen_server:call({server, ${ts}}, later, 10)`)).toBe(
      "{'EXIT',{timeout,{gen_server,call,[{server,ts@localhost},later,10]}}}".replace(
        "ts@localhost",
        "ts@localhost",
      ),
    );
    // The late answer comes before the next, and is not in the mailbox then.
    await erlang.eval(`gen_server:cast({server, ${ts}}, late)`);
    expect(await show(`gen_server:call({server, ${ts}}, next)`)).toBe("{answered,next}");
    expect(await show("receive M -> M after 0 -> nothing end")).toBe("nothing");
    expect(await show(`gen_server:multi_call([${ts}], server, many, 5000)`)).toBe(
      "{[{ts@localhost,{answered,many}}],[]}",
    );
    expect(await show(`catch gen_server:call({nobody, ${ts}}, x)`)).toContain("noproc");
    expect(await show(`gen_server:stop({server, ${ts}})`)).toBe("ok");
  });

  test("GenServer.call and cast on an Erlang gen_server", async () => {
    const { node } = await both();
    // One that every node has.
    const kernel = { name: "net_kernel", node: erl };
    expect(await GenServer.call(node, kernel, tuple(atom("is_auth"), atom("me")))).toBe(atom("yes"));
    await expect(GenServer.call(node, { name: "nobody", node: erl }, 1)).rejects.toMatchObject({
      code: "NO_PROCESS",
    });
    GenServer.cast(node, kernel, atom("whatever"));
    expect(await GenServer.call(node, kernel, tuple(atom("is_auth"), atom("me")))).toBe(atom("yes"));
  });

  test("what an Erlang process prints that was spawned from here is printed here, formatted and in order", async () => {
    const printed: string[] = [];
    const { node } = await both(printed);
    await node.rpc(erl, "io", "format", [charlist("~p and ~ts~n"), [tuple(atom("a"), 1), "straße"]]);
    await node.rpc(erl, "io", "put_chars", [charlist("plain\n")]);
    await node.rpc(erl, "io", "format", [charlist("~s~n"), [[charlist("deep"), "er"]]]);
    expect(printed.join("")).toBe("{a,1} and straße\nplain\ndeeper\n");
  });

  test("what a TypeScript process prints that was spawned from Erlang is printed there", async () => {
    const { node, erlang } = await both();
    node.exportModule("printer", {
      run: withSelf(async (self: Self, to: Pid) => {
        await self.print("hello from TypeScript: ß\n");
        self.send(to, atom("printed"));
      }),
    });
    await erlang.eval(`spawn(${ts}, printer, run, [self()])`);
    expect(await erlang.show("receive printed -> ok after 5000 -> timeout end")).toBe("ok");
    await erlang.eval('io:format("end of output~n")');
    await expect.poll(() => erlang.output).toContain("end of output");
    expect(erlang.output).toMatch(/hello from TypeScript: .+\n/);
  });

  test("a group leader over there can be given to a process here, and the other way round", async () => {
    const printed: string[] = [];
    const { node, erlang } = await both(printed);
    const pid = (await erlang.eval(
      'P = spawn(fun() -> receive {print, F} -> io:format("~ts", [<<"at the other">>]), F ! printed end end)',
    )) as Pid;
    node.setGroupLeader(node.self.whereis("user") as Pid, pid);
    const done = await run(node, async (self) => {
      self.send(pid, tuple(atom("print"), self.pid));
      return self.receive();
    });
    expect(done).toBe(atom("printed"));
    expect(printed).toEqual(["at the other"]);
    const ours = node.spawn((self) => self.receive());
    node.registerName("ours", ours);
    await erlang.eval(`net_adm:ping(${ts})`);
    node.send(pid, ours);
    await erlang.eval(`register(here, self())`);
    node.send({ name: "here", node: erl }, ours);
    await erlang.eval(
      "O = receive X when is_pid(X) -> X end, group_leader(self(), O), monitor(process, O), O ! end_",
    );
    expect(await erlang.show("receive {'DOWN', _, process, O, R} -> R after 5000 -> timeout end")).toBe(
      "normal",
    );
  });

  test("global: sync does not hang, names are registered and found, locks are free of us, ours can have names", async () => {
    const [node, a, b] = await Promise.all([
      startMacula(),
      startErlang("a@localhost"),
      startErlang("b@localhost"),
    ]);
    await a.eval(`pong = net_adm:ping(${ts}), pong = net_adm:ping('b@localhost')`);
    expect(await a.show("global:sync()")).toBe("ok");
    expect(await b.show(`net_adm:ping(${ts}), global:sync()`)).toBe("ok");
    expect(await a.show("global:register_name(one, self())")).toBe("yes");
    expect(await b.show("node(global:whereis_name(one))")).toBe("a@localhost");
    expect(await b.show("global:set_lock({some, self()}, [node() | nodes()], 1)")).toBe("true");
    expect(await a.show(`global:set_lock({some, self()}, [${ts}], 0)`)).toBe("false");
    expect(await b.show("global:del_lock({some, self()}, [node() | nodes()])")).toBe("true");
    expect(await a.show(`global:set_lock({some, self()}, [${ts}], 0)`)).toBe("true");
    expect(await a.show("[node() | lists:sort(nodes())]")).toBe("[a@localhost,b@localhost,ts@localhost]");
    // A process of ours under a global name, registered from here.
    const ours = node.spawn(async (self) => self.exit(await self.receive()), { name: "ours" });
    expect(await node.rpc("a@localhost", "global", "register_name", [atom("ours"), ours])).toBe(atom("yes"));
    expect(await b.show("P = global:whereis_name(ours), node(P)")).toBe("ts@localhost");
    expect(await node.rpc("b@localhost", "global", "whereis_name", [atom("ours")])).toEqual(ours);
    await b.eval("M = monitor(process, P), global:send(ours, stop)");
    expect(await b.show("receive {'DOWN', M, process, _, R} -> R after 5000 -> timeout end")).toBe("stop");
    // Our going down cuts nobody off from anybody (prevent_overlapping_partitions).
    await b.eval(`erlang:monitor_node(${ts}, true)`);
    await node.close();
    expect(await b.show(`receive {nodedown, ${ts}} -> ok after 5000 -> timeout end`)).toBe("ok");
    expect(await a.show("global:sync(), nodes()")).toBe("[b@localhost]");
    expect(await b.show("global:sync(), nodes()")).toBe("[a@localhost]");
  });

  test("two Macula nodes can talk as if both were Erlang", async () => {
    const [one, two] = await Promise.all([startMacula(), startMacula({ name: "other@localhost:0" })]);
    two.exportModule("m", {
      add: (a: number, b: number) => a + b,
      exit: withSelf((self: Self) => self.exit(atom("done"))),
    });
    await GenServer.start(two, Server, [], { name: "server" });
    const other = "other@localhost";
    expect(await one.rpc(other, "m", "add", [1, 2])).toBe(3);
    await expect(one.rpc(other, "m", "gone", [])).rejects.toMatchObject({ code: "NOT_EXPORTED" });
    expect(await GenServer.call(one, { name: "server", node: other }, 1)).toEqual(tuple(atom("answered"), 1));
    const reason = await run(one, async (self) => {
      self.trapExit = true;
      await self.spawnOn(other, "m", "exit", [], { link: true });
      return ((await self.receive()) as Tuple).elements[2];
    });
    expect(reason).toBe(atom("done"));
    expect(await one.ping(other)).toMatchObject({ rttMs: expect.any(Number) as unknown });
    expect(two.nodes()).toEqual(["ts@localhost"]);
  });

  test("pg works among Erlang nodes with us connected", async () => {
    const [, a, b] = await Promise.all([
      startMacula(),
      startErlang("a@localhost"),
      startErlang("b@localhost"),
    ]);
    for (const erlang of [a, b]) await erlang.eval(`pong = net_adm:ping(${ts}), pg:start_link()`);
    await a.eval("pong = net_adm:ping('b@localhost'), pg:join(group, self())");
    await b.eval("L = fun L() -> case pg:get_members(group) of [_] -> ok; _ -> erlang:yield(), L() end end");
    expect(await b.show("L()")).toBe("ok");
  });

  test("two Erlang nodes and we are fully connected, and talk", async () => {
    const [node, a, b] = await Promise.all([
      startMacula(),
      startErlang("a@localhost"),
      startErlang("b@localhost"),
    ]);
    await a.eval(`pong = net_adm:ping(${ts}), pong = net_adm:ping('b@localhost')`);
    const relay = node.spawn(
      async (self) => {
        const [to, message] = ((await self.receive()) as Tuple).elements;
        self.send(to as Pid, message);
      },
      { name: "relay" },
    );
    // b knows the process of a and ours by their pids alone; a pid that came through us is the pid that it was.
    await b.eval("register(b, self())");
    await a.eval("{b, 'b@localhost'} ! self()");
    const pidOfA = (await b.eval("A = receive P when is_pid(P) -> P end")) as Pid;
    expect(format(pidOfA)).toContain("a@localhost");
    await b.eval(`{relay, ${ts}} ! {A, {from_b, self()}}`);
    expect(
      await a.show("receive {from_b, B} -> B ! {from_a, self()}, node(B) after 5000 -> timeout end"),
    ).toBe("b@localhost");
    expect(await b.show("receive {from_a, A} -> ok after 5000 -> timeout end")).toBe("ok");
    expect(node.nodes().sort()).toEqual(["a@localhost", "b@localhost"]);
    expect(relay.node).toBe(node.name);
  });
});
