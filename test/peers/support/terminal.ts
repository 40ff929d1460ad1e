import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { stripVTControlCharacters } from "node:util";

/** Shorter than the time-out of a test. */
const patienceMs = 30_000;

/** A program in a terminal of its own, as a user sees it. */
export class Terminal {
  readonly #child: ChildProcess;
  /** What is on the screen, without colours and cursor movements. */
  output = "";
  #read = 0;
  #onOutput: (() => void) | undefined;
  #ended = false;

  constructor(command: string, environment: Readonly<Record<string, string>>) {
    // `script` gives the command a terminal; its own ends are pipes.
    this.#child = spawn("script", ["-qefc", command, "/dev/null"], {
      env: { ...environment, TERM: "xterm" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.output += plain(chunk.toString());
      this.#onOutput?.();
    });
    this.#child.on("close", () => {
      this.#ended = true;
      this.#onOutput?.();
    });
  }

  type(line: string): void {
    this.#child.stdin?.write(`${line}\r`);
  }

  /** Resolves when `text` has appeared after what was waited for before. @throws when the program ends instead. */
  async shows(text: string): Promise<void> {
    // Only to show what the screen had: the test would time out without a word.
    const timer = setTimeout(() => {
      this.#ended = true;
      this.#onOutput?.();
    }, patienceMs);
    try {
      await this.#shows(text);
    } finally {
      clearTimeout(timer);
    }
  }

  async #shows(text: string): Promise<void> {
    for (;;) {
      const found = this.output.indexOf(text, this.#read);
      if (found >= 0) {
        this.#read = found + text.length;
        return;
      }
      if (this.#ended) throw new Error(`the program ended without ${JSON.stringify(text)}:\n${this.output}`);
      await new Promise<void>((resolve) => {
        this.#onOutput = resolve;
      });
    }
  }

  /** The window is closed: what runs in it is hung up. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await gone;
  }
}

function plain(text: string): string {
  return stripVTControlCharacters(text).replaceAll("\r", "").replaceAll("\b", "");
}
