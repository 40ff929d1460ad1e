import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, link, lstat, mkdir, open, rename, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MeshError } from "../base/errors.ts";

// Secrets on disk. On Windows there are no modes, owners or O_NOFOLLOW as meant here: files get what their folder
// hands down, which in a user's profile is that user, administrators and the system. Nothing is checked there.

const ownerOnlyFile = 0o600;
const ownerOnlyFolder = 0o700;

/** Nothing kept in a private file comes near; what does is not one of ours. */
const fileBytesMax = 65_536;

const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

// Where the last two do not exist they are undefined, which `|` takes for nothing.

/** Modes and owners mean something. */
const hasModes = process.platform !== "win32";

/**
 * Makes a folder that only its owner enters, with those above it that are missing. One that is there already may be
 * readable by others, as its files are not, but not writable: they could put files of their own in place of ours.
 * @throws MeshError `CONFIGURATION` when others can write to it or own it.
 */
export async function ensurePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: ownerOnlyFolder });
  } catch (cause) {
    throw new MeshError("CONFIGURATION", `cannot make the folder ${path}: ${codeOf(cause)}`, { cause });
  }
  await checkPrivateFolder(path);
}

/**
 * Whether there is such a folder.
 * @throws MeshError `CONFIGURATION` when others can write to it or own it.
 */
export async function checkPrivateFolder(path: string): Promise<boolean> {
  let facts: Stats;
  try {
    facts = await stat(path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return false;
    throw new MeshError("CONFIGURATION", `cannot enter the folder ${path}: ${codeOf(cause)}`, { cause });
  }
  if (!facts.isDirectory()) throw new MeshError("CONFIGURATION", `${path} is not a folder`);
  if (!hasModes) return true;
  if (isForeign(facts)) throw new MeshError("CONFIGURATION", `${path} belongs to another user`);
  if ((facts.mode & 0o022) !== 0) {
    throw new MeshError("CONFIGURATION", `others can write to ${path}: chmod 700 ${path}`);
  }
  return true;
}

export interface ReadOptions {
  /**
   * Whether the path may be a symbolic link. Right for a path that the user chose (Kubernetes mounts every secret as
   * one); wrong in folders that we fill, where a link can only be a trick. Owner and mode of what it leads to are
   * checked either way. Default false.
   */
  readonly followLinks?: boolean;
  /**
   * Whether others may read it, as they may a certificate. Write they may not: who puts an authority of his own into
   * the file joins the realm. Default false.
   */
  readonly readable?: boolean;
}

/**
 * The content of a file that only its owner can change and, unless `readable`, read; `undefined` when there is none.
 * @throws MeshError `CONFIGURATION` when others can do so, it is another user's, or no regular file.
 */
export async function readPrivateFile(
  path: string,
  { followLinks = false, readable = false }: ReadOptions = {},
): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    // Not blocking: opening a pipe would wait for somebody to write to it.
    file = await open(path, O_RDONLY | O_NONBLOCK | (followLinks ? 0 : O_NOFOLLOW));
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    const why = codeOf(cause) === "ELOOP" ? "it is a symbolic link" : codeOf(cause);
    throw new MeshError("CONFIGURATION", `cannot read ${path}: ${why}`, { cause });
  }
  try {
    // What was opened is what gets checked: whoever swaps the path meanwhile changes nothing.
    checkPrivate(path, await file.stat(), readable);
    return await readAll(path, file);
  } finally {
    await file.close();
  }
}

/** Puts a file in place, or another content in place of the old, at once: no reader sees half of it, nor does a crash leave that. */
export async function writePrivateFile(path: string, content: Uint8Array): Promise<void> {
  const temporary = await writeTemporary(path, content);
  try {
    await rename(temporary, path);
  } catch (cause) {
    await unlink(temporary).catch(() => {});
    throw new MeshError("CONFIGURATION", `cannot write ${path}: ${codeOf(cause)}`, { cause });
  }
  await syncFolder(dirname(path));
}

/**
 * Puts a file in place unless there is one: of several processes that do so at once, one succeeds, and all of them read
 * the same content afterwards.
 * @returns whether it was this call that made it.
 */
export async function createPrivateFile(path: string, content: Uint8Array): Promise<boolean> {
  const temporary = await writeTemporary(path, content);
  try {
    // A link to the finished file: it appears under its name complete, and only if the name is free.
    await link(temporary, path);
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false;
    if (withoutLinks.has(codeOf(cause))) return await renameUnlessThere(temporary, path);
    throw new MeshError("CONFIGURATION", `cannot write ${path}: ${codeOf(cause)}`, { cause });
  } finally {
    await unlink(temporary).catch(() => {});
  }
  await syncFolder(dirname(path));
  return true;
}

/** What file systems without hard links say (FAT, some network and container mounts). */
const withoutLinks = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/** The next best: complete or absent as well, but two processes within the same microseconds may both succeed. */
async function renameUnlessThere(temporary: string, path: string): Promise<boolean> {
  if (await lstat(path).catch(() => undefined)) return false;
  await rename(temporary, path);
  return true;
}

async function writeTemporary(path: string, content: Uint8Array): Promise<string> {
  const temporary = join(dirname(path), `.${randomBytes(12).toString("hex")}.tmp`);
  let file: FileHandle;
  try {
    file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, ownerOnlyFile);
  } catch (cause) {
    throw new MeshError("CONFIGURATION", `cannot write to ${dirname(path)}: ${codeOf(cause)}`, { cause });
  }
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (cause) {
    await unlink(temporary).catch(() => {});
    throw new MeshError("CONFIGURATION", `cannot write to ${dirname(path)}: ${codeOf(cause)}`, { cause });
  } finally {
    await file.close();
  }
  return temporary;
}

/** Makes the new name last through a crash. Not every system can: then it is as good as its file system makes it. */
async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, O_RDONLY);
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch {
    // The file is there; only a power cut within seconds could still undo its name.
  }
}

function checkPrivate(path: string, facts: Stats, readable: boolean): void {
  if (!facts.isFile()) throw new MeshError("CONFIGURATION", `${path} is not a regular file`);
  if (!hasModes) return;
  if (isForeign(facts)) throw new MeshError("CONFIGURATION", `${path} belongs to another user`);
  if (readable) {
    if ((facts.mode & 0o022) === 0) return;
    throw new MeshError("CONFIGURATION", `others can write to ${path}: chmod 644 ${path}`);
  }
  if ((facts.mode & 0o077) !== 0) {
    throw new MeshError(
      "CONFIGURATION",
      `${path} holds a secret and others can access it: chmod 600 ${path}`,
    );
  }
}

/** Neither this user's nor root's. Root itself may use everybody's files. */
function isForeign(facts: Stats): boolean {
  const user = process.geteuid?.() ?? 0;
  return user !== 0 && facts.uid !== user && facts.uid !== 0;
}

async function readAll(path: string, file: FileHandle): Promise<Uint8Array> {
  const buffer = new Uint8Array(fileBytesMax + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) return buffer.slice(0, length);
    length += bytesRead;
  }
  throw new MeshError("CONFIGURATION", `${path} is larger than ${fileBytesMax} bytes`);
}

function codeOf(thrown: unknown): string {
  return (thrown as NodeJS.ErrnoException).code ?? String(thrown);
}
