import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GlobalNameServer } from "../../src/erlang/services/global.ts";
import { atom, encode, Pid, type Term, tuple } from "../../src/etf/index.ts";
import { GenServer } from "../../src/process/index.ts";
import { RawErlang } from "../erlang/support/raw-erlang.ts";
import { dial } from "./support/fake-beam.ts";
import { next, start } from "./support/nodes.ts";

test("global: one lock that many hold is bounded as many locks are, and there is room when holders are gone", async () => {
  const node = await start();
  const names = { nameFor: String, nodeOf: () => undefined };
  const global = await GenServer.start(node.self, GlobalNameServer, [names]);
  const release: Pid[] = [];
  const hold = (lock: Term): Promise<Term> =>
    new Promise((resolve, reject) => {
      const pid = node.spawn(async (self) => {
        GenServer.call(self, global, tuple(atom("set_lock"), tuple(lock, "us")), {
          timeoutMs: 60_000,
        }).then(resolve, reject);
        await self.receive();
      });
      release.push(pid);
    });
  const answers = await Promise.all(Array.from({ length: 1_001 }, () => hold("one")));
  expect(answers.filter((answer) => answer === true)).toHaveLength(1_000);
  expect(await hold("other")).toBe(false);
  node.send(release[0] as Pid, "end");
  await expect.poll(() => hold("other")).toBe(true);
});

test("a peer that asks and does not read the answers ends no service", async () => {
  const home = mkdtempSync(join(tmpdir(), "mac-"));
  try {
    const node = await start({ name: "ts@localhost:0", stateDir: home, erlangCookie: "crumb" });
    const socket = await dial(join(home, "beam", `${node.address.port}.sock`), node.name);
    const raw = new RawErlang(socket, { role: "dialler", name: "raw@localhost:9", cookie: "crumb" });
    await raw.ready;
    socket.pause();
    await expect.poll(() => node.self.whereis("net_kernel")).toBeDefined();
    const asked = node.self.whereis("net_kernel");
    const from = new Pid("raw@localhost:9", 1, 0, 7);
    const tag = new Uint8Array(1 << 20);
    const call = tuple(atom("$gen_call"), tuple(from, tag), tuple(atom("is_auth"), atom("raw@localhost:9")));
    const control = tuple(6, from, atom(""), atom("net_kernel"));
    const packet = new Uint8Array(Buffer.concat([Uint8Array.of(112), encode(control), encode(call)]));
    const down = next(node, "nodeDown");
    for (let index = 0; index < 80; index++) raw.send(packet);
    expect(await down).toMatchObject({ node: "raw@localhost:9" });
    expect(node.self.whereis("net_kernel")).toEqual(asked);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
