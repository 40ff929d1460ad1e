import { chmod, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { MeshError, toError } from "../../base/errors.ts";
import {
  decodeLocalRequest,
  encodeRefusal,
  type LocalRequest,
  PacketReader,
  Refusal,
} from "../../carrier/index.ts";
import { ensureOwnDirectory } from "./paths.ts";

/** Connections at once: registrations, and one for each connection between two BEAM nodes. */
const connectionsMax = 8_192;
/** A client that connects and then says nothing is sent away after this. */
const requestTimeoutMs = 5_000;

export interface LocalServiceOptions {
  /** Of the socket; its folder is made when missing. */
  readonly path: string;
  /** A request, and the connection that it came on: paused, with nothing read beyond the request. */
  readonly onRequest: (request: LocalRequest, socket: Socket) => void;
  /** Somebody who may use the socket said something else. */
  readonly onGarbage: (error: Error) => void;
}

/**
 * The Unix socket on which BEAM nodes find their Macula node.
 *
 * Threat: another user of the machine. Node.js cannot ask the kernel who is at the other end, so the file system is the
 * defence: folder 0700, socket 0600, both ours. Threat: a client of our own user that is no BEAM node (a port scanner, a
 * mistake): it is told so, in the protocol's words, and has a few seconds and a kilobyte at the most.
 */
export class LocalService {
  readonly path: string;
  readonly #options: LocalServiceOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #closed: Promise<void> | undefined;

  private constructor(options: LocalServiceOptions) {
    this.path = options.path;
    this.#options = options;
    // A side that has said all still has to hear the rest.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
    this.#server.maxConnections = connectionsMax;
  }

  /**
   * Listens. The socket that a crashed node left behind is replaced.
   * @throws MeshError `CONFIGURATION` when the folder is open to others, `NAME_TAKEN` when somebody serves the port already.
   */
  static async open(options: LocalServiceOptions): Promise<LocalService> {
    await ensureOwnDirectory(dirname(options.path));
    const service = new LocalService(options);
    try {
      await listen(service.#server, options.path);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE") throw thrown;
      if (await answers(options.path)) {
        throw new MeshError("NAME_TAKEN", `another Macula node serves BEAM nodes at ${options.path}`, {
          cause: thrown,
        });
      }
      // Two that come here at once would share the UDP port, and one of them has failed there.
      await unlink(options.path);
      await listen(service.#server, options.path);
    }
    await chmod(options.path, 0o600);
    service.#server.on("error", options.onGarbage);
    return service;
  }

  /** Closes all connections and removes the socket. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
    return this.#closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    const reader = new PacketReader();
    const timer = setTimeout(() => finish(new Refusal("malformed", "no request came")), requestTimeoutMs);
    const stop = (): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("end", onEnd).off("close", stop);
    };
    const finish = (error: Error): void => {
      stop();
      this.#options.onGarbage(error);
      // Whoever does not read it is gone all the same.
      socket.end(encodeRefusal(asRefusal(error)), () => socket.destroy());
    };
    const onEnd = (): void => {
      stop();
      socket.destroy();
    };
    const onData = (chunk: Uint8Array): void => {
      try {
        reader.push(chunk);
        const bytes = reader.next();
        if (bytes === undefined) return;
        const request = decodeLocalRequest(bytes);
        // Nobody speaks again before the answer.
        if (reader.rest.length > 0) throw new MeshError("PROTOCOL", "bytes after the request");
        socket.pause();
        stop();
        this.#options.onRequest(request, socket);
      } catch (thrown) {
        finish(toError(thrown));
      }
    };
    socket.on("data", onData).on("end", onEnd).on("close", stop);
  }
}

function asRefusal(error: Error): Refusal {
  return error instanceof Refusal ? error : new Refusal("malformed", error.message, { cause: error });
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

/** Whether somebody listens at `path`. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
