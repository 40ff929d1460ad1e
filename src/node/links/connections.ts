import type { BufferPool } from "../../base/buffer-pool.ts";
import { toError } from "../../base/errors.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import { type ConnectionNumber, type Ending, Handshake, type LinkOptions } from "../../link/index.ts";
import { LinkConnection } from "./connection.ts";
import type { ConnectionUser } from "./connection-user.ts";
import { Dialler } from "./dialler.ts";
import type { LinksSetup } from "./types.ts";

export interface ConnectionsSetup
  extends Pick<LinksSetup, "endpoint" | "name" | "nodeId" | "creation" | "random" | "crypto" | "clock"> {
  readonly options: Required<LinkOptions>;
  readonly dialTimeoutMs: number;
  /** `host:port` of a node, when its name does not say it. */
  readonly addressOf: (name: string) => string | undefined;
  /** For what is read. */
  readonly buffers: BufferPool;
  readonly user: ConnectionUser;
  readonly onDialFailed: (number: ConnectionNumber, cause: Error) => void;
}

/** The connections of a node, made and being made, by the numbers that the pool gave them. */
export class Connections {
  readonly #setup: ConnectionsSetup;
  readonly #dialler: Dialler;
  readonly #connections = new Map<ConnectionNumber, LinkConnection>();
  readonly #dials = new Map<ConnectionNumber, AbortController>();
  #more: LinkConnection[] = [];
  #streams = 0;

  constructor(setup: ConnectionsSetup) {
    this.#setup = setup;
    this.#dialler = new Dialler(setup.endpoint);
  }

  get size(): number {
    return this.#connections.size;
  }

  get(number: ConnectionNumber): LinkConnection | undefined {
    return this.#connections.get(number);
  }

  all(): LinkConnection[] {
    return [...this.#connections.values()];
  }

  /** Makes a connection with the node `name`, and begins its handshake. */
  async dial(number: ConnectionNumber, name: string): Promise<void> {
    const abort = new AbortController();
    this.#dials.set(number, abort);
    try {
      const transport = await this.#dialler.dial(
        name,
        this.#setup.addressOf(name),
        this.#setup.dialTimeoutMs,
        abort.signal,
      );
      if (abort.signal.aborted) {
        transport.close(0, "");
        return;
      }
      this.#add(number, transport, "dialler", name).start();
    } catch (error) {
      if (!abort.signal.aborted) this.#setup.onDialFailed(number, toError(error));
    } finally {
      this.#dials.delete(number);
    }
  }

  /** A connection that a peer has made; its handshake does not begin yet. */
  accept(number: ConnectionNumber, transport: QuicConnection): LinkConnection {
    return this.#add(number, transport, "listener");
  }

  /** Ends a connection, or the dial that was to be one, at once. */
  end(number: ConnectionNumber, ending: Ending): void {
    this.#dials.get(number)?.abort();
    this.#connections.get(number)?.end(ending);
  }

  /** It has ended. */
  forget(number: ConnectionNumber): void {
    this.#connections.delete(number);
  }

  /** Reads on in the next turn. */
  readLater(connection: LinkConnection): void {
    this.#more.push(connection);
    if (this.#more.length === 1) setImmediate(this.#readMore);
  }

  /** The next dial of `name` may begin with early data, by tickets of this connection. */
  keepTickets(name: string, transport: QuicConnection): void {
    this.#dialler.keepTickets(name, transport);
  }

  readonly #readMore = (): void => {
    const more = this.#more;
    this.#more = [];
    for (const connection of more) connection.readMore();
  };

  #add(
    number: ConnectionNumber,
    transport: QuicConnection,
    role: "dialler" | "listener",
    expectedName?: string,
  ): LinkConnection {
    const { name, nodeId, creation, random, crypto, clock, options, buffers, user } = this.#setup;
    const { capabilities, handshakeTimeoutMs } = options;
    const handshake = new Handshake(
      {
        role,
        self: { name, nodeId, creation },
        capabilities,
        timeoutMs: handshakeTimeoutMs,
        random,
        crypto,
        ...(expectedName === undefined ? {} : { expectedName }),
      },
      clock(),
    );
    const connection = new LinkConnection({
      number,
      transport,
      handshake,
      options,
      buffers,
      user,
      clock,
      streamNumber: () => ++this.#streams,
    });
    this.#connections.set(number, connection);
    return connection;
  }
}
