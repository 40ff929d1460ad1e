import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { MeshError, type MeshErrorCode, toError } from "../../base/errors.ts";
import { LineSplitter } from "./lines.ts";
import { type AdminRequest, infoSchema, lineBytesMax, type NodeInfo, responseSchema } from "./protocol.ts";
import { nodeOfSocket } from "./socket-path.ts";

type WithoutId<Request> = Request extends unknown ? Omit<Request, "id"> : never;
/** A request as the caller writes it. */
export type AdminQuestion = WithoutId<AdminRequest>;

/** A connection to the admin socket of a running node. One request at a time. */
export class AdminClient {
  readonly #socket: Socket;
  #nextId = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @throws MeshError `REFUSED` when no node listens there. */
  static async connect(path: string): Promise<AdminClient> {
    const socket = connect(path);
    try {
      await once(socket, "connect");
    } catch (cause) {
      throw new MeshError("REFUSED", `no node answers at ${path}`, { cause });
    }
    // From here on every failure shows as the end of the connection, which `ask` reports.
    socket.on("error", () => {});
    return new AdminClient(socket);
  }

  /**
   * The answer to `question`.
   * @throws MeshError with the code the node gave, `CLOSED` when the node went away, `TIMEOUT` after `timeoutMs`.
   */
  async ask(question: AdminQuestion, options: { readonly timeoutMs?: number } = {}): Promise<unknown> {
    const id = this.#nextId++;
    let overdue = false;
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            overdue = true;
            this.#socket.destroy();
          }, options.timeoutMs);
    try {
      this.#socket.write(`${JSON.stringify({ id, ...question })}\n`);
      const splitter = new LineSplitter(lineBytesMax);
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
        const [line] = splitter.push(chunk as Uint8Array);
        if (line === undefined) continue;
        const rest = splitter.rest();
        if (rest.length > 0) this.#socket.unshift(rest);
        return answer(line, id);
      }
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
      if (!overdue) throw new MeshError("CLOSED", "the node went away before it answered", { cause: thrown });
    } finally {
      clearTimeout(timer);
    }
    if (overdue) throw new MeshError("TIMEOUT", `the node did not answer within ${options.timeoutMs} ms`);
    throw new MeshError("CLOSED", "the node went away before it answered");
  }

  /** Resolves when the node has ended the connection. @throws MeshError `TIMEOUT` after `timeoutMs`. */
  async ended({ timeoutMs }: { readonly timeoutMs: number }): Promise<void> {
    this.#socket.resume();
    if (this.#socket.closed) return;
    try {
      await once(this.#socket, "close", { signal: AbortSignal.timeout(timeoutMs) });
    } catch (cause) {
      throw new MeshError("TIMEOUT", `the node has not stopped within ${timeoutMs} ms`, { cause });
    }
  }

  async info(options?: { readonly timeoutMs?: number }): Promise<NodeInfo> {
    return infoSchema.parse(await this.ask({ op: "info" }, options));
  }

  /** The connection itself, after `shell` was granted: from here on it carries a terminal. */
  get socket(): Socket {
    return this.#socket;
  }

  close(): void {
    this.#socket.destroy();
  }
}

function answer(line: string, id: number): unknown {
  let response: ReturnType<typeof responseSchema.parse>;
  try {
    response = responseSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new MeshError("DECODE", "the node's answer cannot be read: is it another version of macula?", {
      cause,
    });
  }
  if (response.ok && response.id === id) return response.value;
  if (!response.ok) throw new MeshError(response.error.code as MeshErrorCode, response.error.message);
  throw new MeshError("PROTOCOL", `the node answered request ${String(response.id)} instead of ${id}`);
}

/** A node of this machine that answered. */
export interface RunningNode {
  readonly path: string;
  readonly info: NodeInfo;
}

/** A node that does not answer its owner within this time is not there to help. */
const infoTimeoutMs = 2_000;

/** The nodes that listen in `directory`, by name. Sockets of crashed nodes are passed over. */
export async function runningNodes(directory: string): Promise<RunningNode[]> {
  let files: string[];
  try {
    files = await readdir(directory);
  } catch (thrown) {
    if ((toError(thrown) as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw thrown;
  }
  const names = files.filter((file) => nodeOfSocket(file) !== undefined).sort();
  const found = await Promise.all(names.map((file) => runningNode(join(directory, file))));
  return found.filter((node) => node !== undefined);
}

/** The node that listens at `path`, if one does. */
export async function runningNode(path: string): Promise<RunningNode | undefined> {
  let client: AdminClient | undefined;
  try {
    client = await AdminClient.connect(path);
    return { path, info: await client.info({ timeoutMs: infoTimeoutMs }) };
  } catch {
    return undefined;
  } finally {
    client?.close();
  }
}
