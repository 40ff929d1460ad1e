import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileName } from "../../src/io/file-name.ts";
import {
  createPrivateFile,
  ensurePrivateFolder,
  readPrivateFile,
  writePrivateFile,
} from "../../src/io/private-files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "macula-private-"));
});
afterEach(() => rm(folder, { recursive: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const refusal = (message: RegExp) =>
  expect.objectContaining({ code: "CONFIGURATION", message: expect.stringMatching(message) });

describe("private files", () => {
  test("only the owner may read and write them, whatever the umask", async () => {
    const before = process.umask(0);
    try {
      await ensurePrivateFolder(join(folder, "a", "b"));
      await writePrivateFile(join(folder, "a", "b", "secret"), bytes("x"));
      await createPrivateFile(join(folder, "a", "b", "other"), bytes("y"));
    } finally {
      process.umask(before);
    }
    const mode = async (...path: string[]) => ((await stat(join(folder, ...path))).mode & 0o777).toString(8);
    expect(await mode("a")).toBe("700");
    expect(await mode("a", "b")).toBe("700");
    expect(await mode("a", "b", "secret")).toBe("600");
    expect(await mode("a", "b", "other")).toBe("600");
  });

  test("what others may read they may still not write", async () => {
    const path = join(folder, "certificate");
    await writeFile(path, "x");
    for (const mode of [0o600, 0o644, 0o640, 0o444]) {
      await chmod(path, mode);
      expect(await readPrivateFile(path, { readable: true })).toEqual(bytes("x"));
    }
    for (const mode of [0o622, 0o664, 0o646]) {
      await chmod(path, mode);
      await expect(readPrivateFile(path, { readable: true })).rejects.toEqual(refusal(/chmod 644/));
    }
  });

  test("writing replaces the whole content and leaves nothing else behind", async () => {
    const path = join(folder, "secret");
    await writePrivateFile(path, bytes("a long first content"));
    await writePrivateFile(path, bytes("short"));
    expect(await readPrivateFile(path)).toEqual(bytes("short"));
    expect(await readdir(folder)).toEqual(["secret"]);
  });

  test("of many who create one file, one succeeds and all read its content", async () => {
    const path = join(folder, "cookie");
    const tries = Array.from({ length: 20 }, async (_, index) => {
      const created = await createPrivateFile(path, bytes(`content ${index}`));
      return { created, content: await readPrivateFile(path) };
    });
    const results = await Promise.all(tries);
    expect(results.filter(({ created }) => created)).toHaveLength(1);
    for (const { content } of results)
      expect(content).toEqual(results.find(({ created }) => created)?.content);
    expect(await readdir(folder)).toEqual(["cookie"]);
  });

  test("a missing one is undefined", async () => {
    expect(await readPrivateFile(join(folder, "missing"))).toBe(undefined);
  });

  test.each([0o640, 0o604, 0o620, 0o602, 0o644])(
    "one with mode %o is refused, saying what to do",
    async (mode) => {
      const path = join(folder, "secret");
      await writeFile(path, "x");
      await chmod(path, mode);
      await expect(readPrivateFile(path)).rejects.toEqual(refusal(/chmod 600/));
    },
  );

  test("a symbolic link is followed only where the user chose the path", async () => {
    await writePrivateFile(join(folder, "target"), bytes("x"));
    await symlink(join(folder, "target"), join(folder, "link"));
    await expect(readPrivateFile(join(folder, "link"))).rejects.toEqual(refusal(/symbolic link/));
    expect(await readPrivateFile(join(folder, "link"), { followLinks: true })).toEqual(bytes("x"));
    await chmod(join(folder, "target"), 0o644);
    await expect(readPrivateFile(join(folder, "link"), { followLinks: true })).rejects.toEqual(
      refusal(/chmod/),
    );
  });

  test("writing where a symbolic link is replaces the link, not what it leads to", async () => {
    await writeFile(join(folder, "victim"), "untouched");
    await symlink(join(folder, "victim"), join(folder, "secret"));
    expect(await createPrivateFile(join(folder, "secret"), bytes("x"))).toBe(false);
    await writePrivateFile(join(folder, "secret"), bytes("x"));
    expect(await readFile(join(folder, "victim"), "utf8")).toBe("untouched");
    expect(await readPrivateFile(join(folder, "secret"))).toEqual(bytes("x"));
  });

  test("a folder, a pipe and a large file are no secrets, and none of them is waited for", async () => {
    await mkdir(join(folder, "folder"), { mode: 0o700 });
    await promisify(execFile)("mkfifo", ["-m", "600", join(folder, "pipe")]);
    await writeFile(join(folder, "large"), new Uint8Array(70_000), { mode: 0o600 });
    await expect(readPrivateFile(join(folder, "folder"))).rejects.toEqual(refusal(/not a regular file/));
    await expect(readPrivateFile(join(folder, "pipe"))).rejects.toEqual(refusal(/not a regular file/));
    await expect(readPrivateFile(join(folder, "large"))).rejects.toEqual(refusal(/larger than/));
  });

  test("a folder that others can write to is refused, one that they can read is not", async () => {
    await chmod(folder, 0o770);
    await expect(ensurePrivateFolder(folder)).rejects.toEqual(refusal(/chmod 700/));
    await chmod(folder, 0o755);
    await ensurePrivateFolder(folder);
    await writeFile(join(folder, "file"), "");
    await expect(ensurePrivateFolder(join(folder, "file"))).rejects.toEqual(refusal(/file/));
  });
});

describe("names as file names", () => {
  test.each([
    ["demo", "demo"],
    ["Demo", "%44emo"],
    ["node1@localhost:4433", "node1@localhost%3a4433"],
    ["..", "%2e%2e"],
    [".hidden", "%2ehidden"],
    ["a.b", "a.b"],
    ["a/../b", "a%2f..%2fb"],
    ["nul", "%6eul"],
    ["con.x", "%63on.x"],
    ["", "%"],
  ])("%j becomes %j", (name, expected) => {
    expect(fileName(name)).toBe(expected);
  });

  test("different names never meet, also where case does not count, and none leads elsewhere", () => {
    const name = fc.string({
      unit: fc.constantFrom("a", "A", "b", "B", ".", "%", "/", "\\", ":", " ", "x", "é"),
      maxLength: 200,
    });
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(fileName(a)).toMatch(/^[a-z0-9@%_-]([a-z0-9@%_.-]*[a-z0-9@%_-])?$/);
        expect(fileName(a).length).toBeLessThanOrEqual(160);
        expect(fileName(a).toLowerCase() === fileName(b).toLowerCase()).toBe(a === b);
      }),
    );
  });
});
