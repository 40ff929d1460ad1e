import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** Another program while it runs, and all it has said. */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #command: string;
  #output = "";
  #onNews: (() => void) | undefined;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.#command = [command, ...args].join(" ");
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk) => {
        this.#output += String(chunk);
        this.#onNews?.();
      });
    }
    this.#child.on("close", () => this.#onNews?.());
  }

  /** Resolves when its output matches. @throws Error when it ends before. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.#output);
      if (found !== null) return found;
      if (this.#hasEnded) throw new Error(`${this.#command} ended: ${this.#output}`);
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const ended = once(this.#child, "close");
    this.#child.kill("SIGTERM");
    await ended;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}
