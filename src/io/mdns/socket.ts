import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { toError } from "../../base/errors.ts";
import type { Link } from "./links.ts";

const groups = { IPv4: "224.0.0.251", IPv6: "ff02::fb" } as const;

export interface MulticastSocketOptions {
  readonly link: Link;
  /** UDP port, ours and that of the others. */
  readonly port: number;
  /** It can be sent with. */
  readonly onReady: () => void;
  readonly onPacket: (bytes: Uint8Array, from: RemoteInfo) => void;
  /** Told once, the socket being closed then: the interface has gone, the port is taken, there is no way out. */
  readonly onFailed: (error: Error) => void;
}

/** A socket of multicast DNS on one link. Other programs of the machine may have theirs on the same port. */
export class MulticastSocket {
  readonly #options: MulticastSocketOptions;
  readonly #socket: Socket;
  #state: "opening" | "ready" | "closed" = "opening";

  constructor(options: MulticastSocketOptions) {
    this.#options = options;
    const { link, port } = options;
    const isIPv6 = link.family === "IPv6";
    this.#socket = createSocket({ type: isIPv6 ? "udp6" : "udp4", reuseAddr: true, ipv6Only: isIPv6 });
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("message", (bytes, from) => {
      // Nobody can be answered at port 0, and Node throws when one tries.
      if (this.#state !== "ready" || from.port === 0) return;
      if (link.contains(from.address)) options.onPacket(bytes, from);
    });
    // Exclusive, so that a worker of node:cluster has its own and does not share that of all workers.
    const address = isIPv6 ? "::" : "0.0.0.0";
    this.#socket.bind({ port, address, exclusive: true }, () => this.#onBound());
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** Sends to all on the link, or to one of them. Resolves when it is on its way, or failed, or cannot be sent. */
  send(bytes: Uint8Array, to?: { readonly address: string; readonly port: number }): Promise<void> {
    if (this.#state !== "ready") return Promise.resolve();
    const { link, port } = this.#options;
    return new Promise((resolve) => {
      this.#socket.send(bytes, to?.port ?? port, to?.address ?? groups[link.family], (error) => {
        // Whoever asked may have gone again, or lie about the address: that says nothing of the socket.
        if (error && to === undefined) this.#fail(error);
        resolve();
      });
    });
  }

  /** Idempotent. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#socket.close();
  }

  #onBound(): void {
    if (this.#state === "closed") return;
    const { link, onReady } = this.#options;
    try {
      this.#socket.addMembership(groups[link.family], link.interface);
      this.#socket.setMulticastInterface(link.interface);
      this.#socket.setMulticastLoopback(true);
      // RFC 6762 §11: who gets it can tell that no router was in between.
      this.#socket.setMulticastTTL(255);
    } catch (thrown) {
      this.#fail(toError(thrown));
      return;
    }
    this.#state = "ready";
    onReady();
  }

  #fail(error: Error): void {
    if (this.#state === "closed") return;
    this.close();
    this.#options.onFailed(error);
  }
}
