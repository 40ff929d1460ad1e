import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { type BeamNode, openWorld, type World } from "./support/beam-node.ts";
import { describeWithElixir } from "./support/elixir.ts";
import { Terminal } from "./support/terminal.ts";

const run = promisify(execFile);

describeWithElixir("Elixir", () => {
  let world: World;
  let macula: MaculaNode;
  let beam: BeamNode;
  let port: string;
  let flags: string;

  beforeAll(async () => {
    world = openWorld();
    macula = await world.macula();
    port = macula.name.split(":").at(-1) ?? "";
    flags = world.flags.join(" ");
    beam = await world.beam(`erlang@localhost:${port}`);
  });

  afterAll(() => world.close());

  test("iex --name, and Node.connect", async () => {
    const shell = new Terminal(
      `iex --name iex@localhost:${port} --cookie crumb --erl "${flags}"`,
      world.environment,
    );
    try {
      await shell.shows(`iex(iex@localhost:${port})1>`);
      shell.type(`{:connected, Node.connect(:"${beam.name}"), Node.list()}`);
      await shell.shows(`{:connected, true, [:"${beam.name}"]}`);
    } finally {
      await shell.close();
    }
  });

  test("elixir --sname, --erl", async () => {
    const host = hostname().split(".")[0];
    const script = `IO.inspect({Node.connect(:"${beam.name}"), :rpc.call(:"${beam.name}", :erlang, :node, [])})`;
    const { stdout } = await run(
      "elixir",
      ["--sname", `ex@${host}:${port}`, "--cookie", "crumb", "--erl", flags, "-e", script],
      { env: world.environment },
    );
    expect(stdout).toBe(`{true, :"${beam.name}"}\n`);
  });

  test("a Mix release in its embedded mode: start, rpc, remote and stop, with three variables", async () => {
    const folder = mkdtempSync(join(tmpdir(), "macula-mix-"));
    const environment = {
      ...world.environment,
      MIX_ENV: "prod",
      RELEASE_DISTRIBUTION: "name",
      RELEASE_NODE: `shop@localhost:${port}`,
      RELEASE_COOKIE: "crumb",
      ERL_AFLAGS: flags,
    };
    let started: ChildProcess | undefined;
    try {
      const { ERL_AFLAGS: _, ...building } = environment;
      await run("mix", ["new", "shop", "--sup"], { cwd: folder, env: building });
      await run("mix", ["release", "--quiet"], { cwd: join(folder, "shop"), env: building });
      const shop = join(folder, "shop/_build/prod/rel/shop/bin/shop");
      started = spawn(shop, ["start"], { env: environment, stdio: "inherit" });
      const ended = once(started, "exit");
      while (!macula.beam.nodes().includes(environment.RELEASE_NODE)) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(await beam.connect(environment.RELEASE_NODE)).toBe("true");
      const { stdout } = await run(shop, ["rpc", "IO.inspect(Node.self())"], { env: environment });
      expect(stdout).toContain(environment.RELEASE_NODE);
      const remote = new Terminal(`${shop} remote`, environment);
      await remote.shows(`iex(${environment.RELEASE_NODE})1>`);
      await remote.close();
      await run(shop, ["stop"], { env: environment });
      await ended;
    } finally {
      started?.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
