import { parseNodeName } from "../../base/node-name.ts";
import type { QuicConnection, QuicEndpoint, SessionTicket } from "../../io/quic/index.ts";
import { Tickets } from "../../link/index.ts";

/** Dials nodes by name; keeps the session tickets that spare a dial its first round trip. */
export class Dialler {
  readonly #endpoint: QuicEndpoint;
  readonly #tickets = new Tickets<SessionTicket>();

  constructor(endpoint: QuicEndpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * A connection to `address`, or else to the host and port of the name; whether that is the node, the handshake will tell.
   * @throws MeshError of the engine; `PEER_UNREACHABLE` when the host has no address.
   */
  async dial(
    name: string,
    address: string | undefined,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<QuicConnection> {
    const { host, port } = parseNodeName(address === undefined ? name : `_@${address}`);
    const ticket = this.#tickets.take(name);
    const options = ticket === undefined ? { timeoutMs, signal } : { timeoutMs, signal, ticket };
    return await this.#endpoint.connect({ host, port }, options);
  }

  /** The connection belongs to the link with `name`: its tickets are good for the next dial. */
  keepTickets(name: string, connection: QuicConnection): void {
    connection.onTicket = (ticket) => this.#tickets.put(name, ticket);
  }
}
