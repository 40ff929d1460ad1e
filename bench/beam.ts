// Two Erlang nodes over Macula, over plain TCP and over OTP's TLS distribution, in turn; medians of several rounds.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchTable } from "./table.ts";

const rounds = 5;
const kinds = ["Macula", "TCP", "TLS"] as const;
type Kind = (typeof kinds)[number];

interface Figures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the first round trips of new processes. */
  readonly coldP99Ms: number;
  readonly one: number;
  readonly sixteen: number;
  readonly middle: number;
  readonly large: number;
}

const main = "dist/cli/main.js";
/** Ports that nothing else on a machine of ours uses. */
const ports = [47_331, 47_332] as const;

export async function run(): Promise<BenchTable> {
  if (!existsSync(main)) throw new Error(`${main} is missing: npm run build`);
  const folder = mkdtempSync(join(tmpdir(), "macula-bench-"));
  const environment = { ...process.env, MACULA_HOME: folder, MACULA_BEAM_LINGER_MS: "1000" };
  try {
    execFileSync("erlc", ["-o", folder, "bench/erlang/dist_bench.erl"]);
    const ebin = execFileSync(process.execPath, [main, "beam", "path"], {
      env: environment,
      encoding: "utf8",
    }).trim();
    const flags: Record<Kind, string[]> = {
      Macula: ["-proto_dist", "macula", "-pa", ebin],
      TCP: [],
      TLS: ["-proto_dist", "inet_tls", "-ssl_dist_optfile", tlsOptions(folder)],
    };
    const found: Record<Kind, Figures[]> = { Macula: [], TCP: [], TLS: [] };
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds)
        found[kind].push(await measure(kind, [...flags[kind], "-pa", folder], environment));
    }
    return table(found);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

async function measure(kind: Kind, flags: readonly string[], env: NodeJS.ProcessEnv): Promise<Figures> {
  const nameOf = (name: string, port: number): string[] =>
    kind === "Macula"
      ? ["-name", `${name}@localhost:${port}`]
      : ["-sname", `${name}${process.pid}@localhost`];
  const peerName = nameOf("peer", ports[0]);
  const peer = erl([...peerName, ...flags, "-eval", 'io:put_chars("ready"), receive stop -> ok end.'], env);
  try {
    await once(peer.stdout ?? peer, "data");
    const expression = `dist_bench:run('${peerName[1]}'), halt(0).`;
    const me = erl([...nameOf("me", ports[1]), ...flags, "-eval", expression], env);
    let output = "";
    for await (const chunk of me.stdout ?? []) output += String(chunk);
    return JSON.parse(output) as Figures;
  } finally {
    const gone = once(peer, "exit");
    peer.kill("SIGKILL");
    await gone;
  }
}

function erl(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn("erl", ["-noinput", "-setcookie", "bench", ...args], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** As OTP's guide has it: TLS 1.3, a certificate each, which for speed's sake is one that nobody has signed. */
function tlsOptions(folder: string): string {
  const [key, certificate, both, options] = ["key", "certificate", "both", "options"].map((name) =>
    join(folder, `${name}.pem`),
  );
  execFileSync(
    "openssl",
    [
      ...[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
      ],
      ...["-keyout", key ?? "", "-out", certificate ?? "", "-subj", "/CN=localhost"],
    ],
    { stdio: "ignore" },
  );
  writeFileSync(both ?? "", `${readFileSync(certificate ?? "", "utf8")}${readFileSync(key ?? "", "utf8")}`);
  const side = (name: string): string =>
    `{${name},[{certfile,"${both}"},{versions,['tlsv1.3']},{verify,verify_none}]}`;
  writeFileSync(options ?? "", `[${side("server")},${side("client")}].\n`);
  return options ?? "";
}

function table(found: Record<Kind, Figures[]>): BenchTable {
  const median = (kind: Kind, key: keyof Figures): number =>
    found[kind].map((figures) => figures[key]).sort((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
  const row = (
    name: string,
    key: keyof Figures,
    digits: number,
    target?: string,
    met?: (ratio: number) => boolean,
  ) => {
    const ratio = median("Macula", key) / median("TLS", key);
    return {
      name,
      figures: {
        ...Object.fromEntries(kinds.map((kind) => [kind, median(kind, key).toFixed(digits)])),
        "Macula : TLS": ratio.toFixed(2),
      },
      ...(target !== undefined && met !== undefined && { target, met: met(ratio) }),
    };
  };
  return {
    title: "Erlang distribution between two nodes of one machine",
    rows: [
      row("64 KiB messages, MB/s", "middle", 0, "4 x TLS", (ratio) => ratio >= 4),
      row("1 MiB messages, MB/s", "large", 0, "4 x TLS", (ratio) => ratio >= 4),
      row("100-byte messages, 1 sender, 1/s", "one", 0, "1 x TLS", (ratio) => ratio >= 1),
      row("the same, 16 senders, 1/s", "sixteen", 0, "1 x TLS", (ratio) => ratio >= 1),
      row("round trip of 100 bytes, p50, ms", "p50Ms", 3, "2.5 x TLS", (ratio) => ratio <= 2.5),
      row("the same, p99, ms", "p99Ms", 3),
      row("the same, p99 of the first 3,000, ms", "coldP99Ms", 3),
    ],
  };
}
