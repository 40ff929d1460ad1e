import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openIdentity } from "../../src/node/identity.ts";
import { silentLog } from "../../src/node/log.ts";
import type { MaculaNode, MaculaNodeOptions } from "../../src/node/macula-node.ts";
import { macula, startNode, temporaryHome } from "../cli/command.ts";
import { start } from "../node/support/nodes.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

let folder: string;
const path = (name: string): string => join(folder, name);
const openssl = (...args: string[]) =>
  execFileSync("openssl", args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });

/** An authority as a user makes one: `NAME.pem`, and `NAME.key` for the owner's eyes only. */
function makeAuthority(name: string): void {
  openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  chmodSync(path(`${name}.key`), 0o600);
  const usage = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
  const extensions = usage.flatMap((extension) => ["-addext", extension]);
  const subject = ["-subj", `/O=Example/CN=${name}`];
  const key = ["-key", `${name}.key`, "-days", "10"];
  openssl("req", "-x509", "-new", ...key, ...subject, ...extensions, "-out", `${name}.pem`);
}

/** The recipe of docs/identity.md, as it stands there. */
function recipe(): string {
  const [, script] = /```sh\n(.*?)```/s.exec(readFileSync("docs/identity.md", "utf8")) ?? [];
  if (script === undefined) throw new Error("docs/identity.md has no recipe");
  return script;
}

/** `node.pem` and `node.key` of the realm `demo`, by the authority `ca`. */
function makeCertificate(script = recipe()): void {
  execFileSync("bash", ["-euc", script], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
}

const startIn = (options: Partial<MaculaNodeOptions>): Promise<MaculaNode> =>
  start({ realm: "demo", cookie: undefined, ...options });
const certifying = (name = "ca") => ({
  authorityFile: path(`${name}.pem`),
  authorityKeyFile: path(`${name}.key`),
});
const certified = () => ({
  authorityFile: path("ca.pem"),
  certificateFile: path("node.pem"),
  keyFile: path("node.key"),
});

// In CI a missing openssl is a failure, not a reason to skip.
describe.skipIf(!hasOpenssl && process.env["CI"] === undefined)(
  "an authority made with openssl, by settings",
  () => {
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "macula-own-"));
      makeAuthority("ca");
      makeAuthority("other");
      makeCertificate();
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    test("nodes with its key and one certified beforehand link; one of another authority is refused", async () => {
      const one = await startIn(certifying());
      const two = await startIn(certifying());
      const made = await startIn(certified());
      expect(await one.connect(two.name)).toBe(true);
      expect(await made.connect(one.name)).toBe(true);
      expect(await two.connect(made.name)).toBe(true);
      const strangers = [
        await startIn(certifying("other")),
        await startIn({ cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu" }),
      ];
      for (const stranger of strangers) {
        await expect(stranger.ping(one.name)).rejects.toMatchObject({ code: "WRONG_REALM" });
        await expect(one.ping(stranger.name)).rejects.toMatchObject({ code: "WRONG_REALM" });
      }
      expect(one.nodes()).toHaveLength(2);
    });

    test("one with its key keeps the node's key and certificate in stateDir", async () => {
      const stateDir = path("state");
      const first = await startIn({ ...certifying(), stateDir });
      await first.close();
      expect((await startIn({ ...certifying(), stateDir })).nodeId).toBe(first.nodeId);
    });

    test.each<[string, (file: string) => Partial<MaculaNodeOptions>, string]>([
      ["authorityFile", (file) => ({ ...certifying(), authorityFile: file }), "ca.pem"],
      ["authorityKeyFile", (file) => ({ ...certifying(), authorityKeyFile: file }), "ca.key"],
      ["certificateFile", (file) => ({ ...certified(), certificateFile: file }), "node.pem"],
      ["keyFile", (file) => ({ ...certified(), keyFile: file }), "node.key"],
    ])(
      "%s: errors name it and the file; threat: others may not change or read it",
      async (key, settings, right) => {
        const file = path(`${key}.copy`);
        const refusal = (reason: string) => ({
          code: "CONFIGURATION",
          message: expect.stringMatching(`^${key} ${file}: .*${reason}`),
        });
        await expect(startIn(settings(file))).rejects.toMatchObject(refusal("there is no such file"));
        copyFileSync(path(right), file);
        const secret = right.endsWith(".key");
        chmodSync(file, secret ? 0o640 : 0o664);
        await expect(startIn(settings(file))).rejects.toMatchObject(
          refusal(secret ? `others can access it: chmod 600 ${file}` : `chmod 644 ${file}`),
        );
        writeFileSync(file, "rubbish");
        chmodSync(file, 0o600);
        await expect(startIn(settings(file))).rejects.toMatchObject(refusal(""));
        copyFileSync(path(right), file);
        await startIn(settings(file));
      },
    );

    test("parts that do not belong together are told by the setting that is wrong", async () => {
      const mixed = { ...certifying(), authorityKeyFile: path("other.key") };
      await expect(startIn(mixed)).rejects.toMatchObject({
        message: `authorityKeyFile ${path("other.key")}: the authority's key belongs to none of its certificates`,
      });
      await expect(startIn({ ...certified(), authorityFile: path("other.pem") })).rejects.toMatchObject({
        message: expect.stringMatching(/^certificateFile .*issued by neither/),
      });
      await expect(startIn({ ...certified(), keyFile: path("other.key") })).rejects.toMatchObject({
        message: expect.stringMatching(/^certificateFile .*another key/),
      });
      await expect(startIn({ ...certified(), realm: "elsewhere" })).rejects.toMatchObject({
        message: expect.stringMatching(/^certificateFile .*URI:macula:elsewhere/),
      });
    });

    test("a certificate that was put in place of the old one is taken, with the same key only", async () => {
      const settings = { realm: "demo", stateDir: null, discovery: { mdns: false }, ...certified() };
      const { identity, renew } = await openIdentity(settings, "a@b:1", silentLog);
      await expect(renew()).rejects.toMatchObject({
        message: expect.stringMatching(`^certificateFile ${path("node.pem")}: put a new certificate there`),
      });
      makeCertificate(recipe().replace(/^openssl ecparam.*\n/, ""));
      const renewed = await renew();
      expect(renewed.nodeId).toBe(identity.nodeId);
      expect(renewed.certificateChain).not.toEqual(identity.certificateChain);
      await expect(renew()).rejects.toMatchObject({ code: "CONFIGURATION" });
      makeCertificate();
      await expect(renew()).rejects.toMatchObject({
        message: expect.stringMatching(`^keyFile ${path("node.key")}: .*restart`),
      });
    });

    test("the command takes them as flags, and from the file; there is no cookie then", async () => {
      const home = temporaryHome();
      try {
        const files = ["--authority-file", path("ca.pem"), "--authority-key-file", path("ca.key")];
        const node = await startNode(home, ["--name", "node@localhost:0", "--realm", "demo", ...files]);
        writeFileSync(join(home.path, "config.json"), JSON.stringify({ realm: "demo", ...certifying() }));
        const ping = await macula(home, ["ping", node.name, "--count", "1", "--via", "none"]);
        expect(ping).toMatchObject({ code: 0 });
        const stranger = ["--authority-file", path("other.pem"), "--authority-key-file", path("other.key")];
        const refused = await macula(home, ["ping", node.name, "--via", "none", ...stranger]);
        expect(refused.stderr).toContain("authority");
        expect(refused.code).toBe(1);
        const cookie = await macula(home, ["cookie"]);
        expect(cookie).toMatchObject({ code: 2, stderr: expect.stringContaining(path("ca.pem")) });
        expect((await node.stop()).stderr).not.toContain("cookie");
      } finally {
        home.remove();
      }
    });
  },
);
