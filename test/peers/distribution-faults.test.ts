import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { epmdLookUp, epmdNames } from "../../src/io/epmd.ts";
import type { Log } from "../../src/node/log.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { startNode, temporaryHome } from "../cli/command.ts";
import { deferred, next } from "../node/support/nodes.ts";
import { describeWithErlang } from "./support/erlang.ts";
import { erlangCookie } from "./support/erlang-node.ts";
import { eventually, restartEpmd, startErlang, startMacula, useErlangWorld } from "./support/erlang-world.ts";

/* What goes wrong between a stock Erlang node and a Macula node, and who is told what. */

const erl = "erl@localhost";
const ts = "'ts@localhost'";

interface Event {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A log whose next line of a kind can be waited for. */
function listeningLog(): { log: Log; next: (event: string) => Promise<Event["fields"]> } {
  const waiting: { event: string; resolve: (fields: Event["fields"]) => void }[] = [];
  const write = (fields: Event["fields"], event: string): void => {
    const index = waiting.findIndex((one) => one.event === event);
    if (index >= 0) waiting.splice(index, 1)[0]?.resolve(fields);
  };
  const log = { debug: write, info: write, warn: write, error: write };
  return { log, next: (event) => new Promise((resolve) => waiting.push({ event, resolve })) };
}

async function socketTo(node: MaculaNode): Promise<Socket> {
  const [name = ""] = node.name.split("@");
  const socket = connect({ host: "127.0.0.1", port: await epmdLookUp(name) });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

describeWithErlang("faults between a stock Erlang node and a Macula node", () => {
  useErlangWorld();

  test("another cookie: both sides say so, nothing hangs", async () => {
    const { log, next: logged } = listeningLog();
    const [node, erlang] = await Promise.all([
      startMacula({ logger: log }),
      startErlang(erl, { cookie: "ANOTHERCOOKIE" }),
    ]);
    const refused = logged("erlang.refused");
    expect(await erlang.show(`net_adm:ping(${ts})`)).toBe("pang");
    expect(await refused).toMatchObject({ code: "INVALID_CHALLENGE", node: erl });
    await expect(node.ping(erl)).rejects.toMatchObject({
      code: "INVALID_CHALLENGE",
      message: expect.stringContaining("cookie") as unknown,
    });
    expect(node.nodes()).toEqual([]);
    expect(await erlang.show("nodes()")).toBe("[]");
    await expect.poll(() => erlang.output).toContain("Invalid challenge reply");
  });

  test("both connect at the same moment: one connection, whichever name is greater", async () => {
    const erlang = await startErlang();
    for (const name of ["aa", "zz"]) {
      const node = await startMacula({ name: `${name}@localhost:0` });
      for (let round = 0; round < 10; round++) {
        const dials = [
          node.connect(erl),
          erlang.show(`net_kernel:connect_node('${name}@localhost')`),
        ] as const;
        expect(await Promise.all(dials)).toEqual([true, "true"]);
        expect(await erlang.show(`net_adm:ping('${name}@localhost')`)).toBe("pong");
        expect(await erlang.show("nodes(connected)")).toBe(`[${name}@localhost]`);
        expect(node.nodes()).toEqual([erl]);
        expect(await erlang.show(`erlang:disconnect_node('${name}@localhost')`)).toBe("true");
        if (node.nodes().length > 0) await next(node, "nodeDown");
      }
      await node.close();
    }
  });

  test("a hidden node, and one that asks for a name, connect and talk", async () => {
    const node = await startMacula();
    node.exportModule("m", { f: () => 42 });
    const hidden = await startErlang("hidden@localhost", { args: ["-hidden"] });
    expect(await hidden.show(`rpc:call(${ts}, m, f, [])`)).toBe("42");
    expect(node.nodes()).toEqual(["hidden@localhost"]);
    const nameless = await startErlang("undefined");
    expect(await nameless.show(`net_kernel:connect_node(${ts})`)).toBe("true");
    expect(await nameless.show(`rpc:call(${ts}, m, f, [])`)).toBe("42");
    const given = node.nodes().find((name) => !name.startsWith("hidden"));
    expect(await nameless.show("node()")).toContain(given?.split("@")[0]);
    expect(await node.rpc(given ?? "", "erlang", "abs", [-1])).toBe(1);
  });

  test("a mailbox that is full holds Erlang's senders back; what they sent arrives", async () => {
    const [node, erlang] = await Promise.all([startMacula(), startErlang()]);
    const go = deferred();
    const all = deferred();
    const messages = 2_000;
    node.spawn(
      async (self) => {
        await go.promise;
        for (let count = 0; count < messages; count++) await self.receive();
        all.resolve();
      },
      { name: "sink" },
    );
    await erlang.eval(
      `S = spawn(fun() -> B = binary:copy(<<255>>, 65536), [{sink, ${ts}} ! B || _ <- lists:seq(1, ${messages})] end)`,
    );
    await eventually(() => node.stats().processes.counters.pauses > 0 || undefined);
    // The sender stands still: its node knows nothing of mailboxes, but its socket takes no more.
    await expect.poll(() => erlang.show("process_info(S, status)")).toBe("{status,suspended}");
    go.resolve();
    await all.promise;
    expect(await erlang.show(`net_adm:ping(${ts})`)).toBe("pong");
  });

  test("an Erlang node that does not read holds our senders back, within bounds; it goes on where it stopped", async () => {
    const [node, erlang] = await Promise.all([startMacula(), startErlang()]);
    await erlang.eval("register(sink, self())");
    expect(await node.connect(erl)).toBe(true);
    erlang.signal("SIGSTOP");
    const sink = { name: "sink", node: erl };
    const bytes = new Uint8Array(65_536);
    let sent = 0;
    for (let open = true; open; sent++) open = node.send(sink, bytes);
    // It waits here, not in a socket: sending on without waiting ends with an error, and not with all memory.
    expect(() => {
      for (let index = 0; index < 2_000; index++, sent++) node.send(sink, bytes);
    }).toThrow(expect.objectContaining({ code: "LIMIT" }) as Error);
    erlang.signal("SIGCONT");
    await node.drained(sink);
    expect(
      await erlang.show(
        `[receive B when is_binary(B) -> ok after 5000 -> timeout end || _ <- lists:seq(1, ${sent})] =:= lists:duplicate(${sent}, ok)`,
      ),
    ).toBe("true");
  });

  test("garbage, half a handshake, lengths that lie, old versions: the connection is closed, the node goes on", async () => {
    const { log, next: logged } = listeningLog();
    const node = await startMacula({ logger: log });
    const inputs: readonly [Uint8Array, string][] = [
      [Buffer.from("GET / HTTP/1.1\r\n\r\n"), "LIMIT"],
      [Uint8Array.of(0, 3, 0x4e, 1, 2), "DECODE"],
      [Uint8Array.of(0, 5, 0x6e, 0, 5, 0, 0), "VERSION_MISMATCH"],
      [Uint8Array.of(0, 0), "DECODE"],
    ];
    for (const [bytes, code] of inputs) {
      const refused = logged("erlang.refused");
      const socket = await socketTo(node);
      socket.write(bytes);
      await once(socket.resume(), "close");
      expect(await refused).toMatchObject({ code });
    }
    const erlang = await startErlang();
    expect(await erlang.show(`net_adm:ping(${ts})`)).toBe("pong");
  });

  test("a peer without the capabilities of OTP 25 is told not_allowed, and the log says what is missing", async () => {
    const { log, next: logged } = listeningLog();
    const node = await startMacula({ logger: log });
    const refused = logged("erlang.refused");
    const socket = await socketTo(node);
    // 'N', flags without SPAWN and ALIAS, creation 1, "old@localhost".
    const name = Buffer.from("old@localhost");
    const message = Buffer.concat([
      Buffer.from([0x4e, 0, 0, 0, 4, 7, 0xdf, 0x7f, 0xbd, 0, 0, 0, 1, 0, name.length]),
      name,
    ]);
    socket.write(Buffer.concat([Buffer.from([0, message.length]), message]));
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.subarray(2).toString()).toBe("snot_allowed");
    const { code, reason } = await refused;
    expect(code).toBe("NO_COMMON_CAPABILITIES");
    expect(reason).toContain("SPAWN, ALIAS");
  });

  test("a node that comes back under its name is another life of it", async () => {
    const node = await startMacula();
    const first = await startErlang();
    await first.eval(`register(shell, self()), pong = net_adm:ping(${ts})`);
    const pid = await node.rpc(erl, "erlang", "whereis", ["shell"]).catch(() => undefined);
    expect(pid).toBeUndefined();
    const down = next(node, "nodeDown");
    await first.close();
    await down;
    const second = await startErlang();
    expect(await second.show(`net_adm:ping(${ts})`)).toBe("pong");
    expect(node.nodes()).toEqual([erl]);
  });

  test("epmd: the node is listed, a second one of its name is refused, the name is free afterwards", async () => {
    const node = await startMacula();
    expect([...(await epmdNames()).keys()]).toEqual(["ts"]);
    await expect(startMacula()).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining("choose another name") as unknown,
    });
    await node.close();
    await expect.poll(async () => (await epmdNames()).size).toBe(0);
    await startMacula();
  });

  test("epmd is restarted: connections stay, and the node registers again", async () => {
    const { log, next: logged } = listeningLog();
    const [node, erlang] = await Promise.all([startMacula({ logger: log }), startErlang()]);
    expect(await node.connect(erl)).toBe(true);
    const registered = logged("epmd.registered");
    await restartEpmd();
    expect(node.nodes()).toEqual([erl]);
    await registered;
    expect((await epmdNames()).has("ts")).toBe(true);
    expect(await erlang.show("nodes()")).toBe("[ts@localhost]");
  });

  test("macula start --epmd: a node from the command line, with functions for Erlang", async () => {
    const home = temporaryHome();
    const module = join(home.path, "math.mjs");
    writeFileSync(module, "export const add = (a, b) => a + b;");
    const args = ["--name", "cli@localhost:0", "--epmd", "--exports", module, "--host", "127.0.0.1"];
    const started = await startNode(home, args, { MACULA_ERLANG_COOKIE: erlangCookie });
    const erlang = await startErlang();
    expect(await erlang.show("rpc:call('cli@localhost', math, add, [1, 2])")).toBe("3");
    const { code } = await started.stop();
    expect(code).toBe(0);
    expect(await erlang.show("net_adm:ping('cli@localhost')")).toBe("pang");
    home.remove();
  });

  test("without an epmd the node does not start, and the error says what to do", async () => {
    const port = process.env["ERL_EPMD_PORT"];
    process.env["ERL_EPMD_PORT"] = "1";
    try {
      await expect(startMacula()).rejects.toMatchObject({
        code: "CONFIGURATION",
        message: expect.stringContaining("epmd -daemon") as unknown,
      });
    } finally {
      process.env["ERL_EPMD_PORT"] = port;
    }
  });
});
