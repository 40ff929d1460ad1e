import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { MeshError, toError } from "../../base/errors.ts";
import { type Log, silentLog } from "../log.ts";
import type { AdminNode } from "./admin-node.ts";
import { runningNode } from "./client.ts";
import { LineSplitter } from "./lines.ts";
import { type AdminRequest, type AdminResponse, lineBytesMax, requestSchema } from "./protocol.ts";
import { answerRequest } from "./requests.ts";
import { ShellSession } from "./shell-session.ts";
import { socketPath } from "./socket-path.ts";

/** Connections at the same time. The owner has a few; a program of theirs that loops must not eat the descriptors. */
const connectionsMax = 64;
/** How long clients get to read the last answers when the node stops, milliseconds. */
const lastWordsMs = 500;

export interface AdminServerOptions {
  readonly node: AdminNode;
  /** Folder of the socket, made when missing. */
  readonly directory: string;
  /** File that keeps what was typed in shells. Default: kept nowhere. */
  readonly historyFile?: string;
  readonly log?: Log;
}

/**
 * A Unix socket through which the owner of a node asks it things and opens shells on it.
 *
 * Whoever can connect can run code in the node. Node.js cannot ask the kernel who is at the other end (SO_PEERCRED), so
 * the file system is the whole defence: the folder has mode 0700 and belongs to the user, else we do not listen, and
 * the socket has mode 0600.
 */
export class AdminServer {
  readonly path: string;
  readonly #options: AdminServerOptions;
  readonly #log: Log;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Map<number, ShellSession>();
  #nextSession = 1;
  #closed: Promise<void> | undefined;

  constructor(options: AdminServerOptions, path: string) {
    this.path = path;
    this.#options = options;
    this.#log = options.log ?? silentLog;
    this.#server = createServer((socket) => void this.#serve(socket));
    this.#server.maxConnections = connectionsMax;
  }

  /**
   * Listens. The socket that a crashed node left behind is replaced.
   * @throws MeshError `NAME_TAKEN` when a node of this name is running, `CONFIGURATION` when the folder is open to others.
   */
  static async open(options: AdminServerOptions): Promise<AdminServer> {
    const path = socketPath(options.directory, options.node.name);
    await ownFolder(options.directory);
    const server = new AdminServer(options, path);
    await server.#listen();
    return server;
  }

  /**
   * Ends the shells, closes the connections and removes the socket. Shells have written their history when it resolves. Takes no longer
   * than `lastWordsMs`. Idempotent.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        // A client that does not read must not keep the node from stopping, nor a disk that does not write.
        for (const socket of this.#sockets) socket.destroy();
        resolve();
      }, lastWordsMs);
    });
    const stopped = new Promise((resolve) => this.#server.close(resolve));
    const sessions = [...this.#sessions.values()];
    for (const session of sessions) session.end();
    for (const socket of this.#sockets) socket.destroySoon();
    await Promise.race([late, Promise.all(sessions.map(({ ended }) => ended))]);
    await stopped;
    clearTimeout(timer);
  }

  async #listen(): Promise<void> {
    try {
      await listen(this.#server, this.path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE") throw thrown;
      const other = await runningNode(this.path);
      if (other !== undefined) {
        throw new MeshError(
          "NAME_TAKEN",
          `${this.#options.node.name} is already running on this machine (process ${other.info.pid})`,
        );
      }
      // Two nodes of one name that come here at once would share the UDP port as well, and one has failed there.
      await unlink(this.path);
      await listen(this.#server, this.path);
      this.#log.info({ path: this.path }, "admin.staleSocketReplaced");
    }
    // The folder keeps others out already; this is for a folder that somebody opens later.
    await chmod(this.path, 0o600);
    this.#server.on("error", (error) => this.#log.error({ error: error.message }, "admin.failed"));
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    try {
      const shell = await this.#answerAll(socket);
      if (shell !== undefined) await this.#runShell(socket, shell);
    } catch (thrown) {
      const error = toError(thrown);
      if (this.#closed === undefined) this.#log.warn({ error: error.message }, "admin.refused");
      await write(socket, failure(null, error));
    } finally {
      socket.destroySoon();
    }
  }

  /** Answers until the client leaves, or asks for a shell: then the connection is no longer read here. */
  async #answerAll(socket: Socket): Promise<Shell | undefined> {
    const splitter = new LineSplitter(lineBytesMax);
    // Nothing is read while a request is being answered: a client that asks without reading holds up itself only.
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      const lines = splitter.push(chunk as Uint8Array);
      for (const [index, line] of lines.entries()) {
        const { response, shell } = await this.#answer(line);
        if (!(await write(socket, response))) return undefined;
        if (shell === undefined) continue;
        const typedAhead = lines.slice(index + 1).map((text) => Buffer.from(`${text}\n`));
        const bytes = Buffer.concat([...typedAhead, splitter.rest()]);
        if (bytes.length > 0) socket.unshift(bytes);
        return shell;
      }
    }
    return undefined;
  }

  async #answer(line: string): Promise<{ response: AdminResponse; shell?: Shell }> {
    let request: AdminRequest;
    try {
      request = requestSchema.parse(JSON.parse(line));
    } catch {
      const error = new MeshError("DECODE", "this is not an admin request: is it another version of macula?");
      return { response: failure(null, error) };
    }
    if (request.op === "shell") {
      const id = this.#nextSession++;
      return { response: { id: request.id, ok: true, value: { session: id } }, shell: { id, request } };
    }
    try {
      if (request.op === "resize") {
        this.#sessions.get(request.session)?.resize(request.columns);
        return { response: { id: request.id, ok: true, value: null } };
      }
      return {
        response: { id: request.id, ok: true, value: await answerRequest(this.#options.node, request) },
      };
    } catch (thrown) {
      return { response: failure(request.id, toError(thrown)) };
    }
  }

  async #runShell(socket: Socket, shell: Shell): Promise<void> {
    const { historyFile } = this.#options;
    const session = new ShellSession({
      node: this.#options.node,
      stream: socket,
      terminal: shell.request.terminal,
      columns: shell.request.columns,
      ...(historyFile === undefined ? {} : { historyFile }),
    });
    this.#sessions.set(shell.id, session);
    this.#log.info({ session: shell.id }, "admin.shellOpened");
    await session.run();
    this.#sessions.delete(shell.id);
    this.#log.info({ session: shell.id }, "admin.shellClosed");
  }
}

interface Shell {
  readonly id: number;
  readonly request: Extract<AdminRequest, { op: "shell" }>;
}

function failure(id: number | null, error: Error): AdminResponse {
  const code = error instanceof MeshError ? error.code : "REMOTE";
  return { id, ok: false, error: { code, message: error.message } };
}

/** False when the client has gone. Waits while the client does not read, so that answers do not pile up. */
function write(socket: Socket, response: AdminResponse): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(false);
  return new Promise((resolve) => {
    const line = JSON.stringify(response, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    socket.write(`${line}\n`, (error) => resolve(error === null || error === undefined));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Makes `directory` and checks that it is ours alone. */
async function ownFolder(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const stats = await lstat(directory);
  if (!stats.isDirectory()) throw new MeshError("CONFIGURATION", `${directory} is not a folder`);
  const user = process.getuid?.();
  if (user !== undefined && stats.uid !== user) {
    throw new MeshError(
      "CONFIGURATION",
      `${directory} belongs to another user: choose a stateDir of your own`,
    );
  }
  if (process.platform !== "win32" && (stats.mode & 0o077) !== 0) {
    throw new MeshError(
      "CONFIGURATION",
      `others may enter ${directory}, and so run code in the node: chmod 700 ${directory}`,
    );
  }
}
