import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { FromMeshProcess, MeshAnswers, MeshQuestion, StartedNode, ToMeshProcess } from "./messages.ts";

type News = Extract<FromMeshProcess, { type: "news" }>;

/** An operating-system process with some nodes of the mesh, as its parent sees it. */
export class MeshChild {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers>();
  #nodes: readonly StartedNode[] = [];
  #lastQuestion = 0;

  constructor(onNews: (news: News) => void) {
    // This file is compiled next to the other.
    const file = fileURLToPath(new URL("mesh-process.js", import.meta.url));
    this.#child = fork(file, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (given) => {
      const message = given as FromMeshProcess;
      if (message.type === "news") onNews(message);
      else if (message.type === "answer") this.#settle(message.id)?.resolve(message.value);
      else this.#settle(message.id)?.reject(new Error(message.message));
    });
    const onEnd = (): void => {
      for (const id of this.#waiting.keys())
        this.#settle(id)?.reject(new Error("a process of the mesh ended"));
    };
    this.#child.on("exit", onEnd);
    this.#child.on("error", onEnd);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.pid !== undefined;
  }

  /** Those it was told to start. */
  get nodes(): readonly StartedNode[] {
    return this.#nodes;
  }

  async start(question: Omit<Extract<MeshQuestion, { op: "start" }>, "op">): Promise<readonly StartedNode[]> {
    this.#nodes = await this.ask({ op: "start", ...question });
    return this.#nodes;
  }

  /** Rejects with what went wrong there, or when the process ends. */
  ask<Op extends MeshQuestion["op"]>(question: Extract<MeshQuestion, { op: Op }>): Promise<MeshAnswers[Op]> {
    const id = ++this.#lastQuestion;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      const message: ToMeshProcess = { id, ...(question as MeshQuestion) };
      this.#child.send(message, (error) => {
        if (error !== null) this.#settle(id)?.reject(error);
      });
    });
  }

  /** Ends it, as a power cut would. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  #settle(id: number): PromiseWithResolvers | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }
}

interface PromiseWithResolvers {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}
