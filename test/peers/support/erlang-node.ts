import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { decode, format, type Term, Tuple } from "../../../src/etf/index.ts";
import { epmdNames } from "../../../src/io/epmd.ts";
import { freePort } from "../../support/free-port.ts";

/** The Erlang cookie of all nodes of these tests. */
export const erlangCookie = "JGKQVXWDNBOMZPTUEYRA";

/** An epmd of these tests' own, on a port of its own, ended with them. */
export class Epmd {
  readonly port: number;
  #process: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#process = child;
  }

  /** Starts one, and has this process use it. */
  static async start(): Promise<Epmd> {
    return Epmd.#start(await freePort());
  }

  /** Ends it and starts it again: it has forgotten all nodes. */
  async restart(): Promise<void> {
    await end(this.#process);
    this.#process = (await Epmd.#start(this.port)).#process;
  }

  static async #start(port: number): Promise<Epmd> {
    const child = spawn("epmd", ["-port", String(port), "-address", "127.0.0.1"], { stdio: "ignore" });
    process.env["ERL_EPMD_PORT"] = String(port);
    for (;;) {
      try {
        await epmdNames({ port });
        return new Epmd(port, child);
      } catch {
        // Not listening yet.
        if (child.exitCode !== null) throw new Error("epmd ended");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  async close(): Promise<void> {
    delete process.env["ERL_EPMD_PORT"];
    await end(this.#process);
  }
}

export interface ErlangNodeOptions {
  readonly cookie?: string;
  /** More arguments for `erl`. */
  readonly args?: readonly string[];
}

let compiled: string | undefined;

/** A real Erlang node with a name, whose expressions a test evaluates. */
export class ErlangNode {
  readonly name: string;
  /** What it wrote to its standard output. */
  output = "";
  readonly #process: ChildProcess;
  readonly #requests: Writable;
  readonly #waiting: { resolve: (answer: Term) => void; reject: (error: Error) => void }[] = [];
  #received = Buffer.alloc(0);

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#process = child;
    this.#requests = child.stdio[3] as Writable;
    (child.stdio[4] as Readable).on("data", (chunk: Buffer) => this.#onData(chunk));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.#requests.on("error", () => undefined);
    child.on("exit", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`erl ended: ${this.output}`));
    });
  }

  /** @param name with the host, without a port. */
  static async start(
    name: string,
    { cookie = erlangCookie, args = [] }: ErlangNodeOptions = {},
  ): Promise<ErlangNode> {
    const names = name.split("@")[1]?.includes(".") === true ? "-name" : "-sname";
    const child = spawn(
      "erl",
      ["-noinput", names, name, "-setcookie", cookie, "-pa", modules(), ...args, "-s", "eval_peer", "main"],
      { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"] },
    );
    const node = new ErlangNode(name, child);
    // The distribution is started before `-s`.
    await node.eval("node()");
    return node;
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  /** The value of the last of these expressions; rejects with what they raise. */
  async eval(expressions: string): Promise<Term> {
    const text = Buffer.from(expressions);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(text.length);
    this.#requests.write(Buffer.concat([header, text]));
    const answer = await new Promise<Term>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
    if (!(answer instanceof Tuple)) throw new Error("no answer");
    const [kind, value] = answer.elements;
    if (format(kind) !== "value") throw new Error(`${expressions} raised ${format(kind)}:${format(value)}`);
    return value;
  }

  /** As `eval`, shown as Erlang shows it. */
  async show(expressions: string): Promise<string> {
    return format(await this.eval(expressions));
  }

  /** Stops or continues the whole process. */
  signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
    this.#process.kill(signal);
  }

  async close(): Promise<void> {
    this.#process.kill("SIGCONT");
    await end(this.#process);
  }

  #onData(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const length = this.#received.readUInt32BE(0);
      if (this.#received.length < 4 + length) return;
      const packet = new Uint8Array(this.#received.subarray(4, 4 + length));
      this.#received = this.#received.subarray(4 + length);
      this.#waiting.shift()?.resolve(decode(packet));
    }
  }
}

/** The folder with the compiled modules of test/peers/erlang; removed with the test process. */
function modules(): string {
  if (compiled !== undefined) return compiled;
  const folder = mkdtempSync(join(tmpdir(), "macula-erlang-"));
  const source = fileURLToPath(new URL("../erlang/eval_peer.erl", import.meta.url));
  execFileSync("erlc", ["-o", folder, source], { stdio: ["ignore", "inherit", "inherit"] });
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  compiled = folder;
  return folder;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
