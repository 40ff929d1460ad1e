import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Answers, Ask, FromHost, Told } from "./messages.ts";

/** For anything that is asked: a process that does not answer for so long hangs. */
const answerTimeoutMs = 180_000;

/** One operating-system process with nodes in it. */
export class Host {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (answer: unknown) => void; readonly reject: (error: Error) => void }
  >();
  #asked = 0;

  constructor(onTold: (told: Told) => void) {
    const file = fileURLToPath(new URL("../soak-mesh-host.js", import.meta.url));
    this.#child = fork(file, { execArgv: ["--expose-gc"], serialization: "advanced" });
    this.#child.on("message", (message: FromHost) => {
      if ("told" in message) {
        onTold(message.told);
        return;
      }
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ("error" in message) waiting?.reject(new Error(message.error));
      else waiting?.resolve(message.answer);
    });
    this.#child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`a process of the soak ended with ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  async ask<Op extends Ask["op"]>(ask: Extract<Ask, { readonly op: Op }>): Promise<Answers[Op]> {
    const id = ++this.#asked;
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
    this.#child.send({ id, ask });
    const timer = setTimeout(
      () => this.#waiting.get(id)?.reject(new Error(`a process of the soak did not answer to ${ask.op}`)),
      answerTimeoutMs,
    );
    try {
      return (await answered) as Answers[Op];
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  signal(name: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  /** As a power cut does. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
