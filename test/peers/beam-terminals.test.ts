import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { type BeamNode, openWorld, type World } from "./support/beam-node.ts";
import { describeWithErlang } from "./support/erlang.ts";
import { Terminal } from "./support/terminal.ts";

const run = promisify(execFile);

describeWithErlang("Erlang nodes that start their Macula nodes themselves", () => {
  let world: World;
  const terminals: Terminal[] = [];
  const beams: BeamNode[] = [];

  beforeAll(() => {
    world = openWorld();
  });

  afterAll(async () => {
    await Promise.all(terminals.map((terminal) => terminal.close()));
    await Promise.all(beams.map((beam) => beam.close()));
    // The Macula nodes end by themselves a second after their last BEAM node.
    for (const port of started) await gone(port);
    await world.close();
  });

  const started = new Set<number>();
  const socketOf = (port: number): string => join(world.home, "beam", `${port}.sock`);
  const logOf = (port: number): string => readFileSync(join(world.home, "beam", `${port}.log`), "utf8");

  async function newPort(): Promise<number> {
    const port = await freePort();
    started.add(port);
    return port;
  }

  /** Resolves when the Macula node of the port has removed its socket. */
  async function gone(port: number): Promise<void> {
    while (existsSync(socketOf(port))) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  function terminal(command: string): Terminal {
    const opened = new Terminal(command, world.environment);
    terminals.push(opened);
    return opened;
  }

  /** Process of the Macula node that serves a port, as its log has it. */
  async function maculaPid(port: number): Promise<number> {
    const { stdout } = await run("ps", ["-eo", "pid=,args="]);
    const line = stdout.split("\n").find((each) => each.includes(`beam node ${port} `));
    return Number.parseInt(line ?? "", 10);
  }

  test("two terminals and nothing else: what a user of distributed Erlang types", async () => {
    const [port1, port2, port3] = [await newPort(), await newPort(), await newPort()];
    const [node1, node2, node3] = [
      `node1@localhost:${port1}`,
      `node2@localhost:${port2}`,
      `node3@localhost:${port3}`,
    ];
    const erl = (name: string): Terminal =>
      terminal(`erl -name ${name} -setcookie crumb -proto_dist macula -pa ${world.ebin}`);
    const one = erl(node1);
    const two = erl(node2);
    await one.shows(`(${node1})1>`);
    await two.shows(`(${node2})1>`);
    two.type(`net_kernel:connect_node('${node1}').`);
    await two.shows("true");
    two.type("nodes().");
    await two.shows(`['${node1}']`);
    one.type("register(shell, self()).");
    await one.shows("true");
    two.type(`{shell, '${node1}'} ! {hello, from, node2}.`);
    await two.shows("{hello,from,node2}");
    one.type("receive Message -> {got, Message} end.");
    await one.shows("{got,{hello,from,node2}}");
    two.type(`spawn('${node1}', fun() -> io:format("I run on ~p~n", [node()]) end).`);
    await two.shows(`I run on '${node1}'`);
    two.type(
      `P = spawn_link('${node1}', fun() -> receive X -> exit(X) end end), process_flag(trap_exit, true).`,
    );
    await two.shows("false");
    two.type("monitor(process, P), P ! enough, timer:sleep(200), flush().");
    await two.shows("enough}");
    await two.shows("enough}");
    two.type(`{answer, rpc:call('${node1}', erlang, node, [])}.`);
    await two.shows(`{answer,'${node1}'}`);
    two.type("global:register_name(boss, self()).");
    await two.shows("yes");
    one.type("node(global:whereis_name(boss)).");
    await one.shows(`'${node2}'`);
    one.type("pg:start(pg), pg:join(team, self()).");
    await one.shows("ok");
    two.type("pg:start(pg), timer:sleep(300), {members, length(pg:get_members(team))}.");
    await two.shows("{members,1}");
    const three = erl(node3);
    await three.shows(`(${node3})1>`);
    three.type(`net_adm:ping('${node1}').`);
    // global connects the rest behind the scenes.
    three.type(
      "F = fun W() -> case nodes() of [_, _] -> lists:sort(nodes()); _ -> timer:sleep(20), W() end end, F().",
    );
    await three.shows(`['${node1}','${node2}']`);
    two.type("{nodes, length(nodes())}.");
    await two.shows("{nodes,2}");
    await one.close();
    three.type("G = fun W() -> case nodes() of [N] -> {left, N}; _ -> timer:sleep(20), W() end end, G().");
    await three.shows(`{left,'${node2}'}`);
    await two.close();
    await three.close();
  });

  test("nodes that start at once get one Macula node, which ends after the last of them", async () => {
    const port = await newPort();
    const names = ["a", "b", "c"].map((name) => `${name}@localhost:${port}`);
    const nodes = await Promise.all(names.map((name) => world.beam(name)));
    beams.push(...nodes);
    const [first, ...others] = nodes;
    for (const other of others) expect(await first?.connect(other)).toBe("true");
    expect(logOf(port).match(/"node\.started"/g)).toHaveLength(1);
    await Promise.all(nodes.map((node) => node.close()));
    await gone(port);
    expect(logOf(port)).toContain("no BEAM node is left");
  });

  test("a Macula node that is killed is started again under live BEAM nodes", async () => {
    const port = await newPort();
    const elsewhere = await newPort();
    const one = await world.beam(`one@localhost:${port}`);
    const two = await world.beam(`two@localhost:${elsewhere}`);
    beams.push(one, two);
    expect(await two.connect(one)).toBe("true");
    await two.eval(`erlang:monitor_node('${one.name}', true)`);
    await one.eval(`erlang:monitor_node('${two.name}', true)`);
    process.kill(await maculaPid(port), "SIGKILL");
    // On its own side at once, on the other within 10 s.
    expect(await one.eval("receive {nodedown, N} -> N after 2000 -> late end")).toBe(`'${two.name}'`);
    expect(await two.eval("receive {nodedown, N} -> N after 10000 -> late end")).toBe(`'${one.name}'`);
    await one.printed("is attached to a Macula node again");
    expect(await two.connect(one)).toBe("true");
    await one.close();
    await two.close();
  });

  test("a port that another program has is named", async () => {
    const port = await freePort();
    const { createSocket } = await import("node:dgram");
    const socket = createSocket("udp6");
    socket.bind(port);
    try {
      await expect(world.beam(`one@localhost:${port}`)).rejects.toThrow(
        /no Macula node could be started .* in use/,
      );
    } finally {
      socket.close();
    }
  });

  test("without node in its place the user is told what to do", async () => {
    const port = await freePort();
    const { cpSync, mkdtempSync, rmSync, writeFileSync } = await import("node:fs");
    const { tmpdir } = await import("node:os");
    const ebin = mkdtempSync(join(tmpdir(), "macula-ebin-"));
    try {
      cpSync(world.ebin, ebin, { recursive: true });
      writeFileSync(join(ebin, "macula_dist.facts"), '#{node => "/nowhere/node", main => "main.js"}.\n');
      await expect(world.beam(`one@localhost:${port}`, { flags: ["-pa", ebin] })).rejects.toThrow(
        "run `macula beam path` again",
      );
    } finally {
      rmSync(ebin, { recursive: true, force: true });
    }
  });

  test("flags that are given twice end the node, which Erlang would have run over TCP", async () => {
    const port = await freePort();
    const environment = { ERL_AFLAGS: world.flags.join(" ") };
    await expect(world.beam(`one@localhost:${port}`, { environment })).rejects.toThrow(
      "-proto_dist is given twice",
    );
    // A node that does not listen is started, and dials nobody.
    const quiet = await world.beam(`quiet@localhost:${port}`, {
      environment,
      flags: ["-dist_listen", "false"],
    });
    beams.push(quiet);
    expect(await quiet.connect(`one@localhost:${port}`)).toBe("false");
    await quiet.close();
  });

  test("short names, peer-started nodes and remote shells, with ERL_FLAGS alone", async () => {
    const port = await newPort();
    const host = hostname().split(".")[0];
    const flags = `${world.flags.join(" ")} -setcookie crumb`;
    const parent = await world.beam(`parent@${host}:${port}`, {
      naming: "-sname",
      bare: true,
      environment: { ERL_FLAGS: flags },
    });
    beams.push(parent);
    expect(
      await parent.eval(
        `{ok, _, Child} = peer:start(#{name => child, host => "${host}:${port}", connection => 0}), rpc:call(Child, erlang, nodes, [])`,
      ),
    ).toBe(`['${parent.name}']`);
    const shell = new Terminal(`erl -sname undefined -remsh ${parent.name}`, {
      ...world.environment,
      ERL_FLAGS: flags,
    });
    terminals.push(shell);
    await shell.shows(`(${parent.name})1>`);
    shell.type("node().");
    await shell.shows(`'${parent.name}'`);
    await shell.close();
    await parent.close();
  });
});
