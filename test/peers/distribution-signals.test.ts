import { expect, test } from "vitest";
import { atom, charlist, type Pid, type Term, type Tuple, tuple } from "../../src/etf/index.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { type Self, withSelf } from "../../src/process/index.ts";
import { deferred, next, run } from "../node/support/nodes.ts";
import { describeWithErlang } from "./support/erlang.ts";
import type { ErlangNode } from "./support/erlang-node.ts";
import { startErlang, startMacula, useErlangWorld } from "./support/erlang-world.ts";

/* A stock Erlang node and a Macula node, found by epmd: every signal, both ways. */

const erl = "erl@localhost";

async function both(): Promise<{ node: MaculaNode; erlang: ErlangNode }> {
  const [node, erlang] = await Promise.all([startMacula(), startErlang()]);
  return { node, erlang };
}

/** A process of `node` registered as `name` that passes on what it receives. */
function collector(node: MaculaNode, name: string): { pid: Pid; next: () => Promise<Term> } {
  const waiting: ((message: Term) => void)[] = [];
  const messages: Term[] = [];
  const pid = node.spawn(
    async (self) => {
      self.trapExit = true;
      for (;;) {
        const message = await self.receive();
        const taker = waiting.shift();
        if (taker === undefined) messages.push(message);
        else taker(message);
      }
    },
    { name },
  );
  const take = (): Promise<Term> =>
    messages.length > 0
      ? Promise.resolve(messages.shift())
      : new Promise((resolve) => {
          waiting.push(resolve);
        });
  return { pid, next: take };
}

/** A process in Erlang that sends what it receives to `shell` of `ts@localhost`, and exits when told. */
const echo = `spawn(fun L() -> receive {exit, R} -> exit(R); M -> {shell, 'ts@localhost'} ! {self(), M}, L() end end)`;

describeWithErlang("signals between a stock Erlang node and a Macula node", () => {
  useErlangWorld();

  test("Erlang connects: ping is pong, both are in nodes(), nodeup and nodedown come once", async () => {
    const { node, erlang } = await both();
    const up = next(node, "nodeUp");
    await erlang.eval("net_kernel:monitor_nodes(true)");
    expect(await erlang.show("net_adm:ping('ts@localhost')")).toBe("pong");
    expect(await erlang.show("nodes()")).toBe("[ts@localhost]");
    expect(await erlang.show("receive {nodeup, N} -> N after 5000 -> timeout end")).toBe("ts@localhost");
    expect((await up).node).toBe(erl);
    expect(node.nodes()).toEqual([erl]);
    await erlang.eval("erlang:monitor_node('ts@localhost', true)");
    await node.close();
    expect(await erlang.show("receive {nodedown, A} -> A after 5000 -> timeout end")).toBe("ts@localhost");
    expect(await erlang.show("receive {nodedown, B} -> B after 5000 -> timeout end")).toBe("ts@localhost");
    expect(await erlang.show("receive M -> M after 0 -> nothing end")).toBe("nothing");
    expect(await erlang.show("nodes()")).toBe("[]");
  });

  test("Macula connects by name, pings, disconnects, and is told when the node is killed", async () => {
    const { node, erlang } = await both();
    expect(await node.connect(erl)).toBe(true);
    expect((await node.ping(erl)).rttMs).toBeGreaterThan(0);
    expect(await erlang.show("nodes()")).toBe("[ts@localhost]");
    await erlang.eval("net_kernel:monitor_nodes(true)");
    expect(node.disconnect(erl)).toBe(true);
    expect(await erlang.show("receive {nodedown, N} -> N after 5000 -> timeout end")).toBe("ts@localhost");
    const watched = run(node, async (self) => {
      self.monitorNode(erl);
      return self.receive();
    });
    expect(await node.connect(erl)).toBe(true);
    const down = next(node, "nodeDown");
    erlang.signal("SIGKILL");
    expect(await watched).toEqual(tuple(atom("nodedown"), atom(erl)));
    expect((await down).node).toBe(erl);
    expect(node.nodes()).toEqual([]);
    expect(await node.connect(erl)).toBe(false);
    await expect(node.ping(erl)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });

  test("messages to registered names and to pids, both ways; text is text", async () => {
    const { node, erlang } = await both();
    const shell = collector(node, "shell");
    await erlang.eval(
      '{shell, \'ts@localhost\'} ! {hello, self(), <<"text">>, [1,2,3], #{<<"k">> => <<255>>}, "list"}',
    );
    const [hello, from, text, list, map, characters] = ((await shell.next()) as Tuple).elements;
    expect([hello, text, list, characters]).toEqual([atom("hello"), "text", [1, 2, 3], charlist("list")]);
    expect(map).toEqual({ k: Uint8Array.of(255) });
    expect((from as Pid).node).toBe(erl);
    node.send(from as Pid, tuple(atom("answer"), "straße", { a: 1 }, null, undefined, 1.5));
    expect(
      await erlang.show("receive {answer, T, M2, null, undefined, 1.5} -> {T, M2} after 5000 -> timeout end"),
    ).toBe('{<<"straße"/utf8>>,#{<<"a">> => 1}}');
    await erlang.eval("register(here, self())");
    node.send({ name: "here", node: erl }, shell.pid);
    expect(await erlang.show("receive P when is_pid(P) -> P ! back, node(P) after 5000 -> timeout end")).toBe(
      "ts@localhost",
    );
    expect(await shell.next()).toBe(atom("back"));
    // A pid of ours that went there and came back is the one that it was.
    await erlang.eval("{shell, 'ts@localhost'} ! P");
    expect(await shell.next()).toEqual(shell.pid);
    // Nobody there is no error, also under a name that is no Atom here.
    await erlang.eval(
      "{nobody, 'ts@localhost'} ! x, {undefined, 'ts@localhost'} ! x, {true, 'ts@localhost'} ! x",
    );
    expect(await erlang.show("net_adm:ping('ts@localhost')")).toBe("pong");
  });

  test("links: an exit on either side reaches the other, with its reason", async () => {
    const { node, erlang } = await both();
    const shell = collector(node, "shell");
    await erlang.eval("process_flag(trap_exit, true)");
    const pid = (await erlang.eval(`E = ${echo}`)) as Pid;
    await run(node, (self) => {
      self.send(pid, tuple(atom("go")));
    });
    await shell.next();
    const linked = deferred();
    const ended = run(node, async (self) => {
      self.trapExit = true;
      self.link(pid);
      self.send(pid, atom("linked"));
      linked.resolve();
      return self.receive();
    });
    await linked.promise;
    await shell.next();
    await erlang.eval("E ! {exit, {because, 1}}");
    expect(await ended).toEqual(tuple(atom("EXIT"), pid, tuple(atom("because"), 1)));
    // The other way round.
    const victim = node.spawn(async (self) => self.exit(await self.receive()), { name: "victim" });
    await erlang.eval("net_adm:ping('ts@localhost')");
    node.send({ name: "shell", node: node.name }, victim);
    await erlang.eval("register(here, self())");
    node.send({ name: "here", node: erl }, victim);
    await erlang.eval("V = receive Pv when is_pid(Pv) -> Pv end, link(V), V ! done");
    expect(await erlang.show("receive {'EXIT', V, R} -> R after 5000 -> timeout end")).toBe("done");
    // Linking with the dead is an exit signal.
    await erlang.eval("link(V)");
    expect(await erlang.show("receive {'EXIT', V, R2} -> R2 after 5000 -> timeout end")).toBe("noproc");
  });

  test("unlink: no exit comes through afterwards; exit/2 with kill ends a process on either side", async () => {
    const { node, erlang } = await both();
    await erlang.eval("process_flag(trap_exit, true), register(here, self())");
    const victim = node.spawn((self) => self.receive());
    node.send({ name: "here", node: erl }, victim);
    await erlang.eval(
      "V = receive P when is_pid(P) -> P end, link(V), unlink(V), M = monitor(process, V), exit(V, kill)",
    );
    expect(await erlang.show("receive {'DOWN', M, process, V, R} -> R after 5000 -> timeout end")).toBe(
      "killed",
    );
    expect(await erlang.show("receive X -> X after 0 -> nothing end")).toBe("nothing");
    const pid = (await erlang.eval("E = spawn(fun() -> receive never -> ok end end)")) as Pid;
    const reason = run(node, async (self) => {
      self.link(pid);
      self.unlink(pid);
      self.monitor(pid);
      self.exit(pid, atom("kill"));
      return ((await self.receive()) as Tuple).elements[4];
    });
    expect(await reason).toBe(atom("killed"));
  });

  test("monitors by pid and by name, both ways; demonitor; nobody there is noproc", async () => {
    const { node, erlang } = await both();
    node.spawn(async (self) => self.exit(await self.receive()), { name: "named" });
    await erlang.eval("M = monitor(process, {named, 'ts@localhost'}), {named, 'ts@localhost'} ! over");
    expect(await erlang.show("receive {'DOWN', M, process, O, R} -> {O, R} after 5000 -> timeout end")).toBe(
      "{{named,ts@localhost},over}",
    );
    await erlang.eval("N = monitor(process, {named, 'ts@localhost'})");
    expect(await erlang.show("receive {'DOWN', N, process, _, R2} -> R2 after 5000 -> timeout end")).toBe(
      "noproc",
    );
    await erlang.eval("register(there, spawn(fun() -> receive R3 -> exit(R3) end end))");
    const told = await run(node, async (self) => {
      const dropped = self.monitor({ name: "there", node: erl });
      const ref = self.monitor({ name: "there", node: erl });
      self.demonitor(dropped);
      self.send({ name: "there", node: erl }, atom("over"));
      const down = (await self.receive()) as Tuple;
      const missing = self.monitor({ name: "nobody", node: erl });
      const second = (await self.receive()) as Tuple;
      return [
        down.elements[1],
        ref,
        down.elements[3],
        down.elements[4],
        second.elements[1],
        missing,
        second.elements[4],
      ];
    });
    expect(told[0]).toEqual(told[1]);
    expect(told.slice(2, 4)).toEqual([tuple(atom("there"), atom(erl)), atom("over")]);
    expect(told[4]).toEqual(told[5]);
    expect(told[6]).toBe(atom("noproc"));
  });

  test("spawn, spawn_link, spawn_monitor and spawn_request of exported functions", async () => {
    const { node, erlang } = await both();
    node.exportModule("worker", {
      run: withSelf(async (self: Self, to: Pid, what: Term) => {
        self.send(to, tuple(self.pid, what));
        self.exit(await self.receive());
      }),
      plain: (to: Pid) => node.send(to, atom("plain")),
    });
    await erlang.eval("process_flag(trap_exit, true)");
    await erlang.eval("P = spawn('ts@localhost', worker, run, [self(), <<\"hi\">>])");
    expect(await erlang.show("receive {P, W} -> W after 5000 -> timeout end")).toBe('<<"hi">>');
    await erlang.eval(
      "L = spawn_link('ts@localhost', worker, run, [self(), 1]), receive {L, 1} -> L ! oops end",
    );
    expect(await erlang.show("receive {'EXIT', L, R} -> R after 5000 -> timeout end")).toBe("oops");
    await erlang.eval(
      "{Q, M} = spawn_monitor('ts@localhost', worker, run, [self(), 2]), receive {Q, 2} -> Q ! normal end",
    );
    expect(await erlang.show("receive {'DOWN', M, process, Q, R2} -> R2 after 5000 -> timeout end")).toBe(
      "normal",
    );
    await erlang.eval("I = spawn_request('ts@localhost', worker, plain, [self()], [monitor])");
    expect(
      await erlang.show("receive {spawn_reply, I, ok, S} when is_pid(S) -> ok after 5000 -> timeout end"),
    ).toBe("ok");
    expect(await erlang.show("receive plain -> ok after 5000 -> timeout end")).toBe("ok");
    expect(await erlang.show("receive {'DOWN', I, process, _, R3} -> R3 after 5000 -> timeout end")).toBe(
      "normal",
    );
  });

  test("spawning what is not exported gives a process that exits with undef, as in Erlang", async () => {
    const { node, erlang } = await both();
    expect(node.nodes()).toEqual([]);
    await erlang.eval("process_flag(trap_exit, true), L = spawn_link('ts@localhost', no, such, [1])");
    expect(await erlang.show("receive {'EXIT', L, R} -> R after 5000 -> timeout end")).toBe(
      "{undef,[{no,such,[1],[]}]}",
    );
    // A fun is code, and code does not travel.
    await erlang.eval("{_, M} = spawn_monitor('ts@localhost', fun() -> ok end)");
    expect(
      await erlang.show(
        "receive {'DOWN', M, _, _, {undef, [{erlang, apply, _, _}]}} -> ok after 5000 -> timeout end",
      ),
    ).toBe("ok");
  });

  test("spawnOn runs a function in Erlang, linked and monitored", async () => {
    const { node, erlang } = await both();
    const told = await run(node, async (self) => {
      self.trapExit = true;
      const ref = self.makeReference();
      const pid = await self.spawnOn(erl, "erlang", "exit", [atom("bye")], { link: true, monitor: ref });
      const messages = [(await self.receive()) as Tuple, (await self.receive()) as Tuple];
      const tags = messages.map(({ elements: [tag] }) => (tag as { name: string }).name).sort();
      return [pid.node, tags, messages.map(({ elements }) => elements[elements.length - 1])];
    });
    expect(told).toEqual([erl, ["DOWN", "EXIT"], [atom("bye"), atom("bye")]]);
    expect(await erlang.show("nodes()")).toBe("[ts@localhost]");
  });

  test("1,000 links at once end together", async () => {
    const { node, erlang } = await both();
    await erlang.eval("process_flag(trap_exit, true), register(here, self())");
    node.exportModule("worker", { wait: withSelf((self: Self) => self.receive()) });
    await erlang.eval("Ps = [spawn_link('ts@localhost', worker, wait, []) || _ <- lists:seq(1, 1000)]");
    expect(await erlang.show("length(lists:usort(Ps))")).toBe("1000");
    await node.close();
    expect(
      await erlang.show(
        "[receive {'EXIT', P, R} -> R after 5000 -> timeout end || P <- Ps] =:= lists:duplicate(1000, noconnection)",
      ),
    ).toBe("true");
  });

  test("64 MiB go over whole, both ways", async () => {
    const { node, erlang } = await both();
    const shell = collector(node, "shell");
    const bytes = new Uint8Array(64 << 20).fill(0xf8);
    await erlang.eval(
      "register(here, self()), {shell, 'ts@localhost'} ! binary:copy(<<16#f8>>, 64 bsl 20), ok",
    );
    expect(((await shell.next()) as Uint8Array).length).toBe(bytes.length);
    node.send({ name: "here", node: erl }, bytes);
    expect(
      await erlang.show(
        "receive B when is_binary(B) -> {byte_size(B), binary:last(B)} after 20000 -> timeout end",
      ),
    ).toBe("{67108864,248}");
  });
});
