import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resolveLinkOptions, resolvePoolOptions } from "../../src/link/options.ts";
import { loadConfiguration, resolveConfiguration } from "../../src/node/configuration.ts";
import { configurationDocument, explainSettings } from "../../src/node/configuration-explain.ts";
import { settings } from "../../src/node/configuration-schema.ts";
import { editDistance, nearMiss } from "../../src/node/near-miss.ts";
import { resolveProcessOptions } from "../../src/process/options.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "macula-configuration-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: unknown, mode = 0o600): string {
  const path = join(folder, `${Math.random().toString(36).slice(2)}.json`);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  chmodSync(path, mode);
  return path;
}

function problem(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toMatchObject({ name: "MeshError", code: "CONFIGURATION" });
    return (error as Error).message;
  }
  throw new Error("nothing was wrong");
}

describe("names derived from the schema", () => {
  test.each([
    ["name", "MACULA_NAME", "--name"],
    ["cookieFile", "MACULA_COOKIE_FILE", "--cookie-file"],
    ["stateDir", "MACULA_STATE_DIR", "--state-dir"],
    ["log.level", "MACULA_LOG_LEVEL", "--log-level"],
    ["links.heartbeatIntervalMs", "MACULA_LINKS_HEARTBEAT_INTERVAL_MS", "--links-heartbeat-interval-ms"],
  ])("%s is %s and %s", (key, variable, flag) => {
    expect(settings.find((setting) => setting.key === key)).toMatchObject({ variable, flag });
  });

  test("no two settings share a variable or a flag", () => {
    expect(new Set(settings.map(({ variable }) => variable)).size).toBe(settings.length);
    expect(new Set(settings.map(({ flag }) => flag)).size).toBe(settings.length);
  });

  test("every setting says what it means and what is allowed", () => {
    for (const { key, description, allowed } of settings) {
      expect(description, key).toMatch(/\.$/);
      expect(allowed, key).not.toBe("");
    }
  });
});

describe("precedence: flags and options > environment > file > default", () => {
  const levels = { options: "error", flags: "warn", environment: "debug", file: "trace" } as const;
  test.each([
    [["options", "environment", "file"], "error", "options"],
    [["flags", "environment", "file"], "warn", "--log-level"],
    [["environment", "file"], "debug", "MACULA_LOG_LEVEL"],
    [["file"], "trace", "FILE"],
    [[], "info", "default"],
  ] as const)("%j: log.level is %s by %s", (given, level, source) => {
    const has = (name: keyof typeof levels): boolean => (given as readonly string[]).includes(name);
    const path = file(has("file") ? { log: { level: levels.file } } : {});
    const loaded = loadConfiguration({
      file: path,
      environment: has("environment") ? { MACULA_LOG_LEVEL: levels.environment } : {},
      ...(has("options") ? { options: { log: { level: levels.options } } } : {}),
      ...(has("flags") ? { flags: new Map([["log.level", levels.flags]]) } : {}),
    });
    expect(loaded.configuration.log.level).toBe(level);
    expect(loaded.sources.get("log.level")).toBe(source.replace("FILE", path));
  });

  test("a switch is on or off, whichever way it is said", () => {
    const epmd = (environment: Record<string, string>, flags: [string, string][] = []): boolean =>
      loadConfiguration({ environment: { MACULA_HOME: folder, ...environment }, flags: new Map(flags) })
        .configuration.epmd;
    expect(epmd({})).toBe(false);
    expect(epmd({ MACULA_EPMD: "true" })).toBe(true);
    expect(epmd({ MACULA_EPMD: "false" }, [["epmd", "true"]])).toBe(true);
    expect(problem(() => epmd({ MACULA_EPMD: "yes" }))).toBe("MACULA_EPMD=yes: epmd must be true or false");
  });

  test("mDNS, on by default, is turned off by --no-mdns, a variable or the file", () => {
    const mdns = (environment: Record<string, string>, flags: [string, string][] = []) =>
      loadConfiguration({ environment, flags: new Map(flags) }).configuration.discovery.mdns;
    expect(settings.find(({ key }) => key === "discovery.mdns")).toMatchObject({
      flag: "--no-mdns",
      variable: "MACULA_DISCOVERY_MDNS",
    });
    expect(mdns({})).toBe(true);
    expect(mdns({ MACULA_DISCOVERY_MDNS: "false" })).toBe(false);
    expect(mdns({}, [["discovery.mdns", "false"]])).toBe(false);
  });

  test("bootstrap addresses: separated by commas, given several times, or a list", () => {
    const bootstrap = (sources: Parameters<typeof loadConfiguration>[0]) =>
      loadConfiguration(sources).configuration.bootstrap;
    const all = ["node1@localhost:4433", "[::1]:1", "example.org"];
    const text = "node1@localhost:4433, [::1]:1,example.org,";
    expect(bootstrap({ environment: { MACULA_BOOTSTRAP: text } })).toEqual(all);
    expect(bootstrap({ flags: new Map([["bootstrap", text]]) })).toEqual(all);
    expect(
      bootstrap({ flags: new Map([["bootstrap", ["node1@localhost:4433,[::1]:1", "example.org"]]]) }),
    ).toEqual(all);
    expect(bootstrap({ file: file({ bootstrap: all }) })).toEqual(all);
    expect(problem(() => bootstrap({ environment: { MACULA_BOOTSTRAP: "node1@, x" } }))).toBe(
      "MACULA_BOOTSTRAP=node1@, x: bootstrap must be up to 64 of name@host:port or host:port, as in node1@localhost:4433 (without a port it means 4433)",
    );
  });

  test("a domain for SRV records", () => {
    const domain = (text: string) =>
      loadConfiguration({ flags: new Map([["discovery.dnsDomain", text]]) }).configuration.discovery
        .dnsDomain;
    expect(domain("example.org")).toBe("example.org");
    expect(domain("none")).toBeNull();
    for (const wrong of ["", ".", "a..b", "-a.b", "a b", "x".repeat(64), `${"abc.".repeat(70)}org`]) {
      expect(problem(() => domain(wrong))).toContain("discovery.dnsDomain must be a domain name");
    }
  });

  test("settings of one group come from different sources side by side", () => {
    const { configuration } = loadConfiguration({
      file: file({ log: { level: "debug" } }),
      environment: { MACULA_LOG_FORMAT: "json" },
    });
    expect(configuration.log).toMatchObject({ level: "debug", format: "json", eventsPerSecondMax: 20 });
  });

  test("a cookie of a stronger source puts the cookie file of a weaker one aside", () => {
    const { configuration } = loadConfiguration({
      file: file({ cookieFile: "cookie.txt" }),
      environment: { MACULA_COOKIE: "from the environment" },
    });
    expect(configuration).toMatchObject({ cookie: "from the environment" });
    expect(configuration.cookieFile).toBeUndefined();
  });

  test("cookie and cookieFile of one source clash", () => {
    expect(
      problem(() => loadConfiguration({ environment: { MACULA_COOKIE: "secret", MACULA_COOKIE_FILE: "x" } })),
    ).toBe("MACULA_COOKIE and MACULA_COOKIE_FILE give two cookies: keep one of cookie and cookieFile");
  });
});

describe("an authority of the user's own", () => {
  const own = {
    authorityFile: "ca.pem",
    authorityKeyFile: "ca.key",
    certificateFile: "n.pem",
    keyFile: "n.key",
  };
  const pick = (...keys: ReadonlyArray<keyof typeof own>) =>
    Object.fromEntries(keys.map((key) => [key, own[key]])) as Partial<typeof own>;

  test("comes with its key, or with a certificate and the key of that; the paths are those of the source", () => {
    expect(
      loadConfiguration({ file: file(pick("authorityFile", "authorityKeyFile")) }).configuration,
    ).toMatchObject({ authorityFile: join(folder, "ca.pem"), authorityKeyFile: join(folder, "ca.key") });
    const { configuration } = loadConfiguration({
      environment: { MACULA_AUTHORITY_FILE: "/ca.pem", MACULA_CERTIFICATE_FILE: "/n.pem" },
      flags: new Map([["keyFile", "/n.key"]]),
    });
    expect(configuration).toMatchObject({
      authorityFile: "/ca.pem",
      certificateFile: "/n.pem",
      keyFile: "/n.key",
    });
  });

  test.each([
    [pick("authorityFile"), "authorityFile (options) needs authorityKeyFile, or certificateFile and keyFile"],
    [
      pick("authorityKeyFile"),
      "authorityKeyFile (options) needs authorityFile, the certificates of the authority",
    ],
    [
      pick("authorityFile", "certificateFile"),
      "certificateFile (options) needs keyFile, the key that belongs to it",
    ],
    [
      pick("authorityFile", "keyFile"),
      "keyFile (options) needs certificateFile, the certificate that belongs to it",
    ],
    [
      own,
      "authorityKeyFile (options) and certificateFile (options): the node certifies itself or was certified beforehand: keep one",
    ],
  ])("%j is too little or too much", (options, message) => {
    expect(problem(() => resolveConfiguration(options))).toBe(message);
  });

  test("a cookie beside it clashes, whichever source is the stronger one", () => {
    const path = file(pick("authorityFile", "authorityKeyFile"));
    const message = `a realm has either a cookie or an authority of your own: keep one`;
    expect(problem(() => loadConfiguration({ file: path, environment: { MACULA_COOKIE: "hush" } }))).toBe(
      `cookie (MACULA_COOKIE) and authorityFile (${path}): ${message}`,
    );
    const flags = new Map([
      ["authorityFile", "ca.pem"],
      ["authorityKeyFile", "ca.key"],
    ]);
    expect(problem(() => loadConfiguration({ flags, environment: { MACULA_COOKIE_FILE: "x" } }))).toBe(
      `cookieFile (MACULA_COOKIE_FILE) and authorityFile (--authority-file): ${message}`,
    );
  });
});

describe("where the file is", () => {
  test("--config wins over MACULA_CONFIG, that over config.json in MACULA_HOME", () => {
    writeFileSync(join(folder, "config.json"), JSON.stringify({ realm: "usual" }));
    const environment = { MACULA_HOME: folder, MACULA_CONFIG: file({ realm: "variable" }) };
    const given = file({ realm: "given" });
    expect(loadConfiguration({ environment, file: given }).configuration.realm).toBe("given");
    expect(loadConfiguration({ environment }).configuration.realm).toBe("variable");
    expect(loadConfiguration({ environment: { MACULA_HOME: folder } }).configuration.realm).toBe("usual");
  });

  test("a file that was named must be there", () => {
    expect(problem(() => loadConfiguration({ file: join(folder, "absent.json") }))).toBe(
      `${join(folder, "absent.json")}: there is no such configuration file`,
    );
  });

  test("paths in it are relative to its folder, others to the working folder, ~ is the home folder", () => {
    const path = file({ cookieFile: "secret/cookie", exports: ["modules/math.js"], stateDir: "~/state" });
    expect(loadConfiguration({ file: path }).configuration).toMatchObject({
      cookieFile: join(folder, "secret/cookie"),
      exports: [join(folder, "modules/math.js")],
      stateDir: join(homedir(), "state"),
    });
    expect(resolveConfiguration({ cookieFile: "x" }).cookieFile).toBe(join(process.cwd(), "x"));
  });

  test("a file with the cookie that others may read is refused", () => {
    const path = file({ cookie: "very secret" }, 0o644);
    expect(problem(() => loadConfiguration({ file: path }))).toBe(
      `${path}: it holds the cookie and others may read it: chmod 600 ${path}`,
    );
    expect(loadConfiguration({ file: file({ cookie: "very secret" }) }).configuration.cookie).toBe(
      "very secret",
    );
  });
});

describe("a wrong setting is named with its source, its value and what is allowed", () => {
  test.each([
    [{ MACULA_PORT: "99999" }, "MACULA_PORT=99999: port must be 0–65535"],
    [{ MACULA_PORT: "0x10" }, "MACULA_PORT=0x10: port must be 0–65535"],
    [{ MACULA_PORT: "-1" }, "MACULA_PORT=-1: port must be 0–65535"],
    [
      { MACULA_LOG_LEVEL: "infos" },
      "MACULA_LOG_LEVEL=infos: log.level must be one of trace, debug, info, warn, error, silent (did you mean info?)",
    ],
    [
      { MACULA_NAME: "node1" },
      "MACULA_NAME=node1: name must be name@host:port, as in node1@localhost:4433 (without a port it means 4433)",
    ],
  ])("environment %j", (environment, message) => {
    expect(problem(() => loadConfiguration({ environment }))).toBe(message);
  });

  test("flags", () => {
    expect(problem(() => loadConfiguration({ flags: new Map([["links.linksMax", "0"]]) }))).toBe(
      "--links-links-max 0: links.linksMax must be 1–100000",
    );
  });

  test("options of the API", () => {
    expect(problem(() => resolveConfiguration({ links: { linksMax: 1.5 } }))).toBe(
      "links.linksMax: 1.5 in options: links.linksMax must be 1–100000",
    );
    expect(problem(() => resolveConfiguration(null as never))).toContain("must be an object, not null");
  });

  test("all of them at once", () => {
    const path = file({ realm: "../..", log: 5, "links.linksMax": 3 });
    const lines = problem(() => loadConfiguration({ file: path, environment: { MACULA_PORT: "x" } })).split(
      "\n",
    );
    expect(lines).toEqual([
      "MACULA_PORT=x: port must be 0–65535",
      expect.stringContaining(`log: 5 in ${path}: log must be an object`),
      expect.stringContaining(`realm: "../.." in ${path}: realm must be 1–63 letters`),
    ]);
  });

  test("also one that a stronger source overrides", () => {
    expect(
      problem(() =>
        loadConfiguration({ flags: new Map([["port", "1"]]), environment: { MACULA_PORT: "many" } }),
      ),
    ).toBe("MACULA_PORT=many: port must be 0–65535");
  });

  test.each([
    [{ logLevel: "debug" }, "log.level"],
    [{ cokie: "x" }, "cookie"],
    [{ log: { levle: "x" } }, "log.level"],
    [{ link: { linksMax: 1 } }, "links"],
  ])("unknown keys with what was probably meant: %j", (content, near) => {
    expect(problem(() => loadConfiguration({ file: file(content) }))).toContain(`did you mean ${near}?`);
  });

  test("unknown variables are a warning, because the prefix is not ours alone", () => {
    const environment = { MACULA_COKIE: "x", MACULA_SOMETHING_ELSE: "y" };
    expect(loadConfiguration({ environment }).warnings).toEqual([
      "MACULA_COKIE is not a setting: did you mean MACULA_COOKIE?",
    ]);
  });

  test("broken JSON: the place, not the text, which may hold the cookie", () => {
    const path = file('{\n  "cookie": "hush",\n  oops\n}');
    const message = problem(() => loadConfiguration({ file: path }));
    expect(message).toContain("not valid JSON");
    expect(message).not.toContain("hush");
  });
});

describe("secrets", () => {
  test("a wrong cookie is named, not shown", () => {
    const cookie = "x".repeat(2_000);
    for (const sources of [
      { environment: { MACULA_COOKIE: cookie } },
      { flags: new Map([["cookie", cookie]]) },
      { options: { cookie } },
      { file: file({ cookie }) },
    ]) {
      const message = problem(() => loadConfiguration(sources));
      expect(message).toMatch(/cookie must be 1–1024 bytes of text/);
      expect(message).not.toContain("xxx");
    }
  });

  test("--cookie warns that others can see it", () => {
    const { warnings } = loadConfiguration({ flags: new Map([["cookie", "hush"]]) });
    expect(warnings).toEqual([expect.stringContaining("--cookie-file")]);
    expect(warnings.join()).not.toContain("hush");
  });
});

describe("state", () => {
  test("none in text and null in an object keep everything in memory", () => {
    expect(
      loadConfiguration({ environment: { MACULA_STATE_DIR: "none" } }).configuration.stateDir,
    ).toBeNull();
    expect(resolveConfiguration({ stateDir: null }).stateDir).toBeNull();
  });
  test("MACULA_HOME moves it", () => {
    expect(loadConfiguration({ environment: { MACULA_HOME: folder } }).configuration.stateDir).toBe(folder);
    expect(resolveConfiguration({}).stateDir).toBe(join(homedir(), ".macula"));
  });
});

describe("groups are the options of the parts they configure", () => {
  const { links, processes } = resolveConfiguration({});
  test("links: names and defaults of src/link/options.ts", () => {
    expect({ ...resolveLinkOptions(), ...resolvePoolOptions() }).toMatchObject(links);
  });
  test("processes: names and defaults of src/process/options.ts", () => {
    const surroundings = {} as Parameters<typeof resolveProcessOptions>[0];
    expect(resolveProcessOptions(surroundings)).toMatchObject(processes);
  });
  test("every value in its range suits the parts, whatever the others are", () => {
    for (const pick of ["min", "max"] as const) {
      for (const setting of settings.filter(({ kind, path }) => kind === "integer" && path.length === 2)) {
        const [min, max] = setting.allowed.split("–").map(Number) as [number, number];
        const [group, key] = setting.path as [string, string];
        const configuration = resolveConfiguration({ [group]: { [key]: pick === "min" ? min : max } });
        expect(() => resolveLinkOptions(configuration.links)).not.toThrow();
        expect(() => resolvePoolOptions(configuration.links)).not.toThrow();
        expect(() => resolveProcessOptions(configuration.processes as never)).not.toThrow();
      }
    }
  });
});

describe("documentation", () => {
  test("docs/configuration.md is what the schema says", () => {
    expect(readFileSync("docs/configuration.md", "utf8")).toBe(configurationDocument());
  });
  test("--explain has every setting", () => {
    const text = explainSettings();
    for (const { key, variable, flag } of settings)
      for (const name of [key, variable, flag]) expect(text).toContain(name);
  });
});

describe("near misses", () => {
  test.each([
    ["", "abc", 3],
    ["cookie", "cokie", 1],
    ["levle", "level", 1],
    ["same", "same", 0],
  ])("%j to %j takes %i edits", (a, b, edits) => {
    expect(editDistance(a, b)).toBe(edits);
    expect(editDistance(b, a)).toBe(edits);
  });
  test("nothing near, nothing said", () => expect(nearMiss("zebra", ["cookie", "realm"])).toBeUndefined());
});
