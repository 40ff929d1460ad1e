import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, test } from "vitest";

/** Whether `erl` and `erlc` can be started. */
function erlangInstalled(): boolean {
  return ["erl", "erlc"].every((program) => {
    const { error } = spawnSync(program, ["-noshell", "-eval", "halt()."], { stdio: "ignore" });
    return error === undefined;
  });
}

/** Tests with a real Erlang. Without one they fail in CI (`CI` set) and are skipped, loudly, elsewhere. */
export function describeWithErlang(name: string, body: () => void): void {
  if (erlangInstalled()) {
    describe(name, body);
    return;
  }
  if (process.env["CI"]) {
    test(name, () => {
      throw new Error("erl and erlc are missing: apt-get install erlang-base erlang-dev");
    });
    return;
  }
  console.warn(`\n*** SKIPPED, because erl is missing: ${name} ***\n`);
  describe.skip(name, body);
}

/**
 * An Erlang process that answers packets, each with a length of four bytes before it, on its standard input and output.
 * Its module exports `main/0`, which opens the port `{fd, 0, 1}` with `{packet, 4}` and answers until it is closed.
 */
export class ErlangPeer {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #waiting: { resolve: (answer: Uint8Array) => void; reject: (error: Error) => void }[] = [];
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Length of the packet at the front, with its header as far as that is known. */
  #needed = 4;
  #errors = "";

  private constructor(child: ChildProcess, folder: string) {
    this.#process = child;
    this.#folder = folder;
    child.stdout?.on("data", (chunk: Buffer) => this.#onData(chunk));
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    child.on("exit", (code) => {
      for (const { reject } of this.#waiting.splice(0)) {
        reject(new Error(`erl ended with ${code}: ${this.#errors}`));
      }
    });
  }

  /** Compiles `test/peers/erlang/<module>.erl` into a folder of its own and runs its `main/0`. */
  static start(module: string, erlArguments: readonly string[] = []): ErlangPeer {
    const folder = mkdtempSync(join(tmpdir(), "macula-erlang-"));
    const source = fileURLToPath(new URL(`../erlang/${module}.erl`, import.meta.url));
    execFileSync("erlc", ["-o", folder, source], { stdio: ["ignore", "inherit", "inherit"] });
    const child = spawn("erl", ["-noinput", "-pa", folder, ...erlArguments, "-s", module, "main"], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    return new ErlangPeer(child, folder);
  }

  /** The answer to `packet`. Answers come in the order of the requests. */
  request(packet: Uint8Array): Promise<Uint8Array> {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(packet.length);
    this.#process.stdin?.write(header);
    this.#process.stdin?.write(packet);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Ends the Erlang process, which sees its standard input closed. */
  async close(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, "exit");
      this.#process.stdin?.end();
      this.#process.kill();
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #onData(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#needed) return;
    let received = Buffer.concat(this.#chunks);
    for (;;) {
      this.#needed = received.length < 4 ? 4 : 4 + received.readUInt32BE(0);
      if (received.length < this.#needed) break;
      this.#waiting.shift()?.resolve(new Uint8Array(received.subarray(4, this.#needed)));
      received = received.subarray(this.#needed);
    }
    this.#chunks = [received];
    this.#bytes = received.length;
  }
}
