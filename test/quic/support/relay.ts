import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { QuicAddress } from "../../../src/io/quic/index.ts";

export interface RelayOptions {
  /** Each way, milliseconds. Default 0. */
  readonly delayMs?: number;
  /** Part of the datagrams that get lost, 0 to 1, by a seeded generator. Default 0. */
  readonly loss?: number;
  /** Which datagrams get lost besides, by their length. */
  readonly lose?: (bytes: number) => boolean;
}

/**
 * A network in user space between one client and a server: delay, loss, and a NAT that gives the client another source
 * port whenever it is told to.
 */
export class UdpRelay {
  readonly address: QuicAddress;
  readonly #inside: Socket;
  #outside: Socket;
  readonly #server: QuicAddress;
  readonly #options: RelayOptions;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #old: Socket[] = [];
  #client: QuicAddress | undefined;
  #random = 1;
  forwarded = 0;
  dropped = 0;

  private constructor(inside: Socket, outside: Socket, server: QuicAddress, options: RelayOptions) {
    this.#inside = inside;
    this.#outside = outside;
    this.#server = server;
    this.#options = options;
    this.address = { host: "127.0.0.1", port: inside.address().port };
    inside.on("message", (bytes, { address, port }) => {
      this.#client = { host: address, port };
      this.#forward(bytes.length, () => this.#outside.send(bytes, this.#server.port, this.#server.host));
    });
    this.#listen(outside);
  }

  static async open(server: QuicAddress, options: RelayOptions = {}): Promise<UdpRelay> {
    return new UdpRelay(await bound(), await bound(), server, options);
  }

  /** From now on the server sees the client at another port; the old one is dead. */
  async switchPort(): Promise<void> {
    const next = await bound();
    this.#listen(next);
    this.#old.push(this.#outside);
    this.#outside.removeAllListeners("message");
    this.#outside = next;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const socket of [this.#inside, this.#outside, ...this.#old]) socket.close();
  }

  #listen(outside: Socket): void {
    outside.on("message", (bytes) => {
      const client = this.#client;
      if (client === undefined) return;
      this.#forward(bytes.length, () => this.#inside.send(bytes, client.port, client.host));
    });
  }

  #forward(bytes: number, send: () => void): void {
    if (this.#nextRandom() < (this.#options.loss ?? 0) || this.#options.lose?.(bytes) === true) {
      this.dropped++;
      return;
    }
    this.forwarded++;
    if (this.#options.delayMs === undefined) return send();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send();
    }, this.#options.delayMs);
    this.#timers.add(timer);
  }

  /** Park and Miller's generator: the same losses in every run. */
  #nextRandom(): number {
    this.#random = (this.#random * 48_271) % 2_147_483_647;
    return this.#random / 2_147_483_647;
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}
