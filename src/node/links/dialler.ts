import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { MeshError, toError } from "../../base/errors.ts";
import { parseNodeName } from "../../base/node-name.ts";
import type { QuicConnection, QuicEndpoint, SessionTicket } from "../../io/quic/index.ts";
import { Tickets } from "../../link/index.ts";

/** Finds addresses of hosts and dials them; keeps the session tickets that spare a dial its first round trip. */
export class Dialler {
  readonly #endpoint: QuicEndpoint;
  readonly #tickets = new Tickets<SessionTicket>();

  constructor(endpoint: QuicEndpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * A connection to the host and port of the name; whether that is the node, the handshake will tell.
   * @throws MeshError of the engine; `PEER_UNREACHABLE` when the host has no address.
   */
  async dial(name: string, timeoutMs: number, signal: AbortSignal): Promise<QuicConnection> {
    const { host, port } = parseNodeName(name);
    const address = await this.#resolve(host);
    signal.throwIfAborted();
    const ticket = this.#tickets.take(name);
    const options = ticket === undefined ? { timeoutMs, signal } : { timeoutMs, signal, ticket };
    return await this.#endpoint.connect({ host: address, port }, options);
  }

  /** The connection belongs to the link with `name`: its tickets are good for the next dial. */
  keepTickets(name: string, connection: QuicConnection): void {
    connection.onTicket = (ticket) => this.#tickets.put(name, ticket);
  }

  async #resolve(host: string): Promise<string> {
    // A socket of one family reaches no address of the other; one on all IPv6 addresses reaches both.
    if (isIP(host) !== 0) return host;
    const own = this.#endpoint.address.host;
    const family = own.includes(":") ? (own === "::" ? 0 : 6) : 4;
    try {
      return (await lookup(host, { family })).address;
    } catch (cause) {
      throw new MeshError("PEER_UNREACHABLE", `${host} has no address: ${toError(cause).message}`, { cause });
    }
  }
}
