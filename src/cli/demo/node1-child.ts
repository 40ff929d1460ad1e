import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FromNode1 } from "./messages.ts";

type Kind = FromNode1["type"];
type Message<Type extends Kind> = Extract<FromNode1, { type: Type }>;

/** The operating-system process of node1, and what it tells. */
export class Node1Process {
  readonly #child: ChildProcess;
  readonly #told: FromNode1[] = [];
  #onNews: () => void = () => {};

  constructor(name: string, environment: NodeJS.ProcessEnv) {
    // This file is compiled next to the other.
    const file = fileURLToPath(new URL("node1.js", import.meta.url));
    this.#child = fork(file, [name], { env: environment, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (message) => {
      this.#told.push(message as FromNode1);
      this.#onNews();
    });
    this.#child.on("exit", () => this.#onNews());
    this.#child.on("error", () => this.#onNews());
  }

  /** The first thing of this type that it tells, or has told. Rejects when it ends before. */
  async told<Type extends Kind>(type: Type): Promise<Message<Type>> {
    for (;;) {
      const found = this.#told.find((message): message is Message<Type> => message.type === type);
      if (found !== undefined) return found;
      if (this.#hasEnded())
        throw new Error(`node1 ended (${this.#child.exitCode ?? this.#child.signalCode}) early`);
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
  }

  /** Kills it, as a power cut would; resolves with the signal that it died of. */
  async kill(): Promise<NodeJS.Signals | null> {
    if (!this.#hasEnded()) {
      const ended = new Promise((resolve) => this.#child.once("exit", resolve));
      this.#child.kill("SIGKILL");
      await ended;
    }
    return this.#child.signalCode;
  }

  #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined;
  }
}
