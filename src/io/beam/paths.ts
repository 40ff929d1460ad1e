import { lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { MeshError } from "../../base/errors.ts";

/** `sun_path` holds 108 bytes with its final zero on Linux, 104 on macOS. */
const socketPathBytesMax = process.platform === "linux" ? 107 : 103;

/** The folder of all that BEAM nodes and their Macula nodes share: sockets, logs, compiled modules. */
export function beamDirectory(stateDir: string): string {
  return join(stateDir, "beam");
}

/**
 * Where the Macula node of a UDP port serves its BEAM nodes. `macula_dist_starter:socket_path/1` says the same.
 * @throws MeshError `CONFIGURATION` when the path is longer than a socket's may be.
 */
export function beamSocketPath(stateDir: string, port: number): string {
  const path = join(beamDirectory(stateDir), `${port}.sock`);
  const bytes = Buffer.byteLength(path);
  if (bytes <= socketPathBytesMax) return path;
  throw new MeshError(
    "CONFIGURATION",
    `the socket ${path} would have a path of ${bytes} bytes, ${socketPathBytesMax} are possible: choose a shorter stateDir`,
  );
}

/**
 * Makes `directory` and checks that nobody else may enter it: whoever can connect to a socket in it can be any BEAM node.
 * @throws MeshError `CONFIGURATION` when it belongs to somebody else, or others may enter.
 */
export async function ensureOwnDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const stats = await lstat(directory);
  const user = process.getuid?.();
  if (!stats.isDirectory() || (user !== undefined && stats.uid !== user)) {
    throw new MeshError("CONFIGURATION", `${directory} is not a folder of yours: choose another stateDir`);
  }
  if ((stats.mode & 0o077) !== 0) {
    throw new MeshError("CONFIGURATION", `others may enter ${directory}: chmod 700 ${directory}`);
  }
}
