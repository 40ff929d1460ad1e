import { chmod, chown, mkdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import type { NodeId } from "../../src/base/node-id.ts";
import { fileName } from "../../src/io/file-name.ts";
import type { LogFields } from "../../src/node/log.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { Snapshot } from "../../src/node/mesh/snapshot.ts";
import { freePort } from "../support/free-port.ts";
import { joined, memberIn } from "./support/mesh.ts";
import { realm, start } from "./support/nodes.ts";
import { PeerProcess, stateFolder } from "./support/peer-process.ts";

/** Where a node keeps whom it knows. */
const fileOf = (stateDir: string, name: string): string =>
  join(stateDir, "members", fileName(realm.realm), `${fileName(name)}.json`);

interface Life {
  readonly name: string;
  readonly stateDir: string;
  readonly file: string;
}

/** A node that has known `a` and is gone. */
async function lived(a: MaculaNode): Promise<Life> {
  const stateDir = stateFolder();
  const name = `b@localhost:${await freePort()}`;
  const b = await start({ name, stateDir });
  await joined(b, a);
  await b.close();
  await memberIn(a, "left", name);
  return { name, stateDir, file: fileOf(stateDir, name) };
}

function recorder(): {
  readonly warnings: [string, LogFields][];
  readonly logger: Record<"debug" | "info" | "warn" | "error", (fields: LogFields, event: string) => void>;
} {
  const warnings: [string, LogFields][] = [];
  const nothing = (): void => undefined;
  const warn = (fields: LogFields, event: string): void => void warnings.push([event, fields]);
  return { warnings, logger: { debug: nothing, info: nothing, warn, error: nothing } };
}

describe("a node that starts again finds the mesh by what it remembers", () => {
  test("closed in order", async () => {
    const a = await start({ name: "a@localhost:0" });
    const { name, stateDir } = await lived(a);
    const b = await start({ name, stateDir });
    await memberIn(b, "alive", a.name);
    await memberIn(a, "alive", name);
    expect(a.members()).toHaveLength(2);
  });

  test("with port 0 in its name, at another port", async () => {
    const a = await start({ name: "a@localhost:0" });
    const stateDir = stateFolder();
    const first = await start({ name: "b@localhost:0", stateDir });
    await joined(first, a);
    await first.close();
    const second = await start({ name: "b@localhost:0", stateDir });
    expect(await memberIn(a, "alive", first.nodeId)).toMatchObject({ name: second.name });
  });

  test("killed, after a while, by members that it had saved on the way", async () => {
    const a = await start({ name: "a@localhost:0" });
    const { name, stateDir } = await lived(a);
    const before = await PeerProcess.start({ name, stateDir });
    await memberIn(a, "alive", name);
    await before.kill();
    await memberIn(a, "dead", name);
    await start({ name, stateDir });
    await memberIn(a, "alive", name);
  });

  test("the members themselves find it, if it remembers nobody", async () => {
    const a = await start({ name: "a@localhost:0" });
    const name = `b@localhost:${await freePort()}`;
    const stateDir = stateFolder();
    const before = await PeerProcess.start({ name, stateDir });
    a.join(name);
    await memberIn(a, "alive", name);
    await before.kill();
    await memberIn(a, "dead", name);
    await start({ name, stateDir });
    await memberIn(a, "alive", name);
  });
});

describe("what is kept of members is not trusted", () => {
  const member = { id: "a".repeat(52) as NodeId, name: "c@localhost:1", address: "localhost:1" };
  const cases: readonly [string, (file: string) => Promise<void>][] = [
    ["torn", async (file) => writeFile(file, (await readFile(file)).subarray(0, 40))],
    ["empty", (file) => writeFile(file, "")],
    ["garbage", (file) => writeFile(file, new Uint8Array(1_000).fill(0xff))],
    ["JSON, but another", (file) => writeFile(file, "[1, 2]")],
    ["null", (file) => writeFile(file, "null")],
    ["of a later version", (file) => writeFile(file, '{ "version": 2, "members": [] }')],
    [
      "no node id in it",
      (file) => writeFile(file, JSON.stringify({ version: 1, members: [{ ...member, id: 7 }] })),
    ],
    [
      "no address in it",
      (file) =>
        writeFile(file, JSON.stringify({ version: 1, members: [{ id: member.id, name: member.name }] })),
    ],
    [
      "an address that is none",
      (file) =>
        writeFile(file, JSON.stringify({ version: 1, members: [{ ...member, address: "localhost:99999" }] })),
    ],
    ["too long", (file) => writeFile(file, "x".repeat(70_000))],
    ["others can write to it", (file) => chmod(file, 0o666)],
    [
      "a link to somewhere",
      async (file) => {
        await rename(file, `${file}.elsewhere`);
        await symlink(`${file}.elsewhere`, file);
      },
    ],
    [
      "a folder",
      async (file) => {
        await rename(file, `${file}.elsewhere`);
        await mkdir(file);
      },
    ],
  ];

  test.each(cases)("%s: a warning that names the file, and the node starts", async (_, spoil) => {
    const a = await start({ name: "a@localhost:0" });
    const { name, stateDir, file } = await lived(a);
    await spoil(file);
    const { warnings, logger } = recorder();
    const b = await start({ name, stateDir, logger });
    expect(warnings).toContainEqual(["members.unreadable", { file, error: expect.any(String) }]);
    expect(b.members()).toHaveLength(1);
    await joined(b, a);
  });

  test("another user's: a warning, and nobody is remembered", async () => {
    const stateDir = stateFolder();
    const { warnings, logger } = recorder();
    const snapshot = await Snapshot.open(stateDir, "test", "b@localhost:1", logger);
    await snapshot.save([member]);
    const file = fileOf(stateDir, "b@localhost:1");
    expect(await snapshot.load()).toMatchObject([{ id: member.id, address: member.address }]);
    // Root may read everything: somebody else is played.
    const user = process.getuid?.() ?? 0;
    if (user === 0) await chown(file, 4_321, 4_321);
    vi.spyOn(process, "geteuid").mockReturnValue(user + 1_000);
    expect(await snapshot.load()).toEqual([]);
    vi.restoreAllMocks();
    expect(warnings).toEqual([
      ["members.unreadable", { file, error: expect.stringContaining("another user") }],
    ]);
  });

  test("256 members with the longest addresses that there are can be read again", async () => {
    const { warnings, logger } = recorder();
    const snapshot = await Snapshot.open(stateFolder(), "test", "b@localhost:1", logger);
    const host = Array.from({ length: 4 }, () => "h".repeat(60)).join(".");
    const members = Array.from({ length: 300 }, (_, index) => ({
      ...member,
      address: `${host}:${index + 1}`,
    }));
    await snapshot.save(members);
    const kept = await snapshot.load();
    expect(kept.map(({ address }) => address)).toEqual(
      members.slice(0, kept.length).map(({ address }) => address),
    );
    expect(kept.length).toBeGreaterThan(150);
    expect(warnings).toEqual([]);
  });

  test("addresses of somebody else: whoever is there is met as who it is", async () => {
    const a = await start({ name: "a@localhost:0" });
    const { name, stateDir, file } = await lived(a);
    const members = [{ ...member, address: `localhost:${a.address.port}` }];
    await writeFile(file, JSON.stringify({ version: 1, members }));
    const b = await start({ name, stateDir });
    await memberIn(b, "alive", a.nodeId);
    expect(b.members()).toHaveLength(2);
  });

  test("a folder that others can write to: CONFIGURATION, and nothing stays open", async () => {
    const a = await start({ name: "a@localhost:0" });
    const { name, stateDir } = await lived(a);
    await chmod(join(stateDir, "members", fileName(realm.realm)), 0o777);
    await expect(start({ name, stateDir })).rejects.toMatchObject({ code: "CONFIGURATION" });
    await start({ name, stateDir: null });
  });
});
