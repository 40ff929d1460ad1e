import { join } from "node:path";
import { MeshError } from "../../base/errors.ts";

/** `sun_path` holds 108 bytes with its final zero on Linux, 104 on macOS. */
const socketPathBytesMax = process.platform === "linux" ? 107 : 103;
const suffix = ".sock";

/** The folder of the admin sockets of all nodes that share a state folder. */
export function runDirectory(stateDir: string): string {
  return join(stateDir, "run");
}

/**
 * Where the node called `name` listens for its owner.
 * @throws MeshError `CONFIGURATION` when the path is longer than a socket's may be.
 */
export function socketPath(directory: string, name: string): string {
  const path = join(directory, `${name}${suffix}`);
  const bytes = Buffer.byteLength(path);
  if (bytes <= socketPathBytesMax) return path;
  throw new MeshError(
    "CONFIGURATION",
    `the admin socket's path ${path} has ${bytes} bytes, ${socketPathBytesMax} are possible: choose a shorter stateDir`,
  );
}

/** The node that a file of the folder belongs to; `undefined` when it is no admin socket. */
export function nodeOfSocket(file: string): string | undefined {
  return file.endsWith(suffix) && !file.startsWith(".") ? file.slice(0, -suffix.length) : undefined;
}
