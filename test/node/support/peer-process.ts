import { type ChildProcess, fork } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import type { MaculaNodeOptions } from "../../../src/node/macula-node.ts";
import { realm } from "./nodes.ts";

/** Heartbeats that find a dead peer within about two seconds, instead of six. */
export const quickHeartbeats = { heartbeatIntervalMs: 500, heartbeatMissesMax: 3 } as const;

const running = new Set<ChildProcess>();
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(Array.from(running, killed));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder for a node's identity, removed when the test is over. */
export function stateFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "mac-"));
  folders.push(folder);
  return folder;
}

/** A node in an operating-system process of its own (`peer.mjs`), killed when the test is over. */
export class PeerProcess {
  readonly name: string;
  readonly #child: ChildProcess;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
  }

  static async start(options: Partial<MaculaNodeOptions> = {}): Promise<PeerProcess> {
    if (!existsSync("dist/index.js")) throw new Error("dist/index.js is missing: npm run build");
    const file = fileURLToPath(new URL("peer.mjs", import.meta.url));
    const all = {
      name: "peer@localhost:0",
      host: "127.0.0.1",
      ...realm,
      stateDir: null,
      discovery: { mdns: false },
      links: quickHeartbeats,
      ...options,
    };
    const child = fork(file, [JSON.stringify(all)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    running.add(child);
    child.once("exit", () => running.delete(child));
    const name = await new Promise<string>((resolve, reject) => {
      child.once("message", (message) => resolve((message as { readonly name: string }).name));
      child.once("exit", (code) => reject(new Error(`the peer ended with ${code} before it was ready`)));
    });
    return new PeerProcess(name, child);
  }

  /** Ends it as a power cut would. */
  kill(): Promise<void> {
    return killed(this.#child);
  }

  /** It stands still, its sockets open. */
  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  /** It goes on. */
  continue(): void {
    this.#child.kill("SIGCONT");
  }
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill("SIGKILL");
  await ended;
}
