import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AdminServer } from "../node/admin/server.ts";
import { runDirectory } from "../node/admin/socket-path.ts";
import type { Configuration } from "../node/configuration-schema.ts";
import { startNode } from "./node-starter.ts";
import { note } from "./output.ts";
import { attachShell } from "./shell.ts";

/** Starts a node in this process, opens a shell on it and stops it when the shell is left. */
export async function shellOnOwnNode(configuration: Configuration, name: string): Promise<void> {
  const { node, log } = await startNode(configuration, name);
  // The shell goes through the admin socket here, too: one way to do it, and others can attach as well.
  const temporary = configuration.stateDir === null ? await mkdtemp(join(tmpdir(), "macula-")) : undefined;
  try {
    const admin = await AdminServer.open({
      node,
      directory: temporary ?? runDirectory(configuration.stateDir ?? ""),
      ...(configuration.stateDir === null
        ? {}
        : { historyFile: join(configuration.stateDir, "shell_history") }),
      log,
    });
    // Somebody may let it leave: then the shell ends as well.
    void node.closed.then(() => admin.close());
    if (process.stdin.isTTY) note(`${node.name} runs until you leave this shell (Ctrl-D)`);
    try {
      await attachShell(admin.path);
    } finally {
      await admin.close();
    }
  } finally {
    await node.close();
    log.close();
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}
