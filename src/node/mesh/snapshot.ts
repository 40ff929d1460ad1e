import { join } from "node:path";
import { toError } from "../../base/errors.ts";
import { parseNodeId } from "../../base/node-id.ts";
import { canonicalNodeName, parseNodeName } from "../../base/node-name.ts";
import { fileName } from "../../io/file-name.ts";
import { ensurePrivateFolder, readPrivateFile, writePrivateFile } from "../../io/private-files.ts";
import type { RememberedMember } from "../../swim/index.ts";
import type { Log } from "../log.ts";

/** Members kept: any of them leads back into the mesh. Their addresses are what they say of themselves, and may be long. */
const membersMax = 256;
const bytesMax = 60_000;
const version = 1;

/**
 * Whom a node knew, on disk, so that its next life finds the mesh again without help. The file is replaced as a whole: a crash leaves the
 * old one or the new one. What cannot be read is worth a warning and no more; addresses in it are tried, not trusted.
 */
export class Snapshot {
  readonly #path: string;
  readonly #log: Log;
  #written = "";
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** @throws MeshError `CONFIGURATION` when others can write to the folder. */
  static async open(stateDir: string, realm: string, node: string, log: Log): Promise<Snapshot> {
    const folder = join(stateDir, "members", fileName(realm));
    await ensurePrivateFolder(folder);
    return new Snapshot(join(folder, `${fileName(node)}.json`), log);
  }

  async load(): Promise<RememberedMember[]> {
    try {
      const bytes = await readPrivateFile(this.#path);
      return bytes === undefined ? [] : parse(new TextDecoder().decode(bytes));
    } catch (error) {
      this.#log.warn({ file: this.#path, error: toError(error).message }, "members.unreadable");
      return [];
    }
  }

  /** Resolves when it is on disk, or why not is logged. Nothing is written when nothing has changed. */
  save(members: readonly RememberedMember[]): Promise<void> {
    const text = format(members);
    if (text === this.#written) return this.#writing;
    this.#written = text;
    this.#writing = this.#writing.then(() => this.#write(text));
    return this.#writing;
  }

  async #write(text: string): Promise<void> {
    try {
      await writePrivateFile(this.#path, new TextEncoder().encode(text));
    } catch (error) {
      this.#written = "";
      this.#log.warn({ file: this.#path, error: toError(error).message }, "members.unsaved");
    }
  }
}

/** As many of them as there is room for. */
function format(members: readonly RememberedMember[]): string {
  const kept: RememberedMember[] = [];
  let bytes = 0;
  for (const { id, name, address } of members.slice(0, membersMax)) {
    bytes += JSON.stringify({ id, name, address }).length + 1;
    if (bytes > bytesMax) break;
    kept.push({ id, name, address });
  }
  return `${JSON.stringify({ version, members: kept })}\n`;
}

/** @throws Error when it is no snapshot. */
function parse(text: string): RememberedMember[] {
  const content = JSON.parse(text) as { version?: unknown; members?: unknown } | null;
  if (content?.version !== version || !Array.isArray(content.members))
    throw new Error("it is no list of members");
  return content.members.slice(0, membersMax).map((each: unknown) => {
    const { id, name, address } = (each ?? {}) as { id?: unknown; name?: unknown; address?: unknown };
    if (typeof id !== "string" || typeof name !== "string" || typeof address !== "string")
      throw new Error("a member has no id, name or address");
    // Of no use else: it is dialled.
    parseNodeName(`_@${address}`);
    return { id: parseNodeId(id), name: canonicalNodeName(name), address };
  });
}
