import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

const host = "127.0.0.1";

/** Whom a datagram is from, and for; by the port at which others find a node. */
type IsCut = (from: number, to: number) => boolean;

/**
 * A network that can be cut, without the rights that a firewall takes: UDP sockets at which the nodes seem to be. What comes there goes
 * on to the node itself, from a socket of its own for each sender, by which the answers come back.
 */
export class Relay {
  /** By public port. */
  readonly #doors = new Map<number, { readonly socket: Socket; node: number | undefined }>();
  /** Public ports, by the ports of the nodes themselves. */
  readonly #publicPorts = new Map<number, number>();
  /** By sender and public port of the receiver. */
  readonly #flows = new Map<string, Socket>();
  #isCut: IsCut = () => false;

  /** A port where a node will be. */
  async open(): Promise<number> {
    const socket = await bound();
    const { port } = socket.address();
    this.#doors.set(port, { socket, node: undefined });
    socket.on("message", (datagram, { port: sender }) => this.#pass(datagram, sender, port));
    return port;
  }

  /** The node listens at `node`. */
  lead(publicPort: number, node: number): void {
    const door = this.#doors.get(publicPort);
    if (door === undefined) return;
    door.node = node;
    this.#publicPorts.set(node, publicPort);
  }

  /** From now on nothing passes between nodes that `isCut` names. */
  cut(isCut: IsCut): void {
    this.#isCut = isCut;
  }

  close(): void {
    for (const { socket } of this.#doors.values()) socket.close();
    for (const socket of this.#flows.values()) socket.close();
  }

  #pass(datagram: Uint8Array, sender: number, to: number): void {
    const node = this.#doors.get(to)?.node;
    const from = this.#publicPorts.get(sender);
    if (node === undefined || from === undefined || this.#isCut(from, to)) return;
    const key = `${sender} ${to}`;
    const flow = this.#flows.get(key) ?? this.#openFlow(key, sender, to);
    flow.send(datagram, node, host);
  }

  #openFlow(key: string, sender: number, to: number): Socket {
    const flow = createSocket("udp4");
    this.#flows.set(key, flow);
    flow.on("error", () => {});
    flow.on("message", (datagram) => {
      const from = this.#publicPorts.get(sender);
      if (from !== undefined && !this.#isCut(to, from))
        this.#doors.get(to)?.socket.send(datagram, sender, host);
    });
    return flow;
  }
}

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  // A node that was killed: what is sent to it comes back as an error.
  socket.on("error", () => {});
  socket.bind(0, host);
  await once(socket, "listening");
  return socket;
}
