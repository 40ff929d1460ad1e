import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { MeshError, toError } from "../../base/errors.ts";
import type { NodeNames } from "../../erlang/index.ts";
import { type EpmdRegistration, epmdLookUp, epmdRegister } from "../../io/epmd.ts";
import { connectTcp } from "../../io/tcp.ts";
import type { Log } from "../log.ts";
import type { ErlangRoute } from "./types.ts";

/** How long epmd may be away before it is tried again, milliseconds: what OTP waits. */
const registerAgainMs = 2_000;

/** The way to stock Erlang nodes: their port from the epmd of their host, then TCP. */
export function stockRoute(names: NodeNames): ErlangRoute {
  return {
    names,
    open: async (node, signal) => {
      const [name = "", host = ""] = node.split("@");
      const port = await epmdLookUp(name, { host, signal });
      try {
        return await connectTcp(host, port, signal);
      } catch (thrown) {
        const cause = toError(thrown);
        throw new MeshError("REFUSED", `${node} is registered at port ${port}, and nobody is there`, {
          cause,
        });
      }
    },
  };
}

export interface StockListenerSetup {
  /** As stock nodes know this node: `name@host`. */
  readonly name: string;
  /** Address to listen on. */
  readonly host: string;
  readonly onSocket: (socket: Socket, address: string) => void;
  readonly log: Log;
}

/** Where stock Erlang nodes find this node: a TCP port, registered at this machine's epmd. */
export class StockListener {
  readonly #setup: StockListenerSetup;
  readonly #server: Server;
  #registration: EpmdRegistration | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  private constructor(setup: StockListenerSetup) {
    this.#setup = setup;
    this.#server = createServer({ noDelay: true }, (socket) => {
      setup.onSocket(socket, `${socket.remoteAddress}:${socket.remotePort}`);
    });
    // A failed accept (too many open files) ends that connection and nothing else.
    this.#server.on("error", (error) => setup.log.warn({ error: error.message }, "erlang.listener"));
  }

  /** @throws MeshError `CONFIGURATION` when the address is not one of this machine, no epmd runs, or the name is taken. */
  static async open(setup: StockListenerSetup): Promise<StockListener> {
    const listener = new StockListener(setup);
    try {
      await listener.#listen();
      await listener.#register();
    } catch (error) {
      listener.close();
      const cause = toError(error);
      throw new MeshError("CONFIGURATION", `epmd: ${cause.message}`, { cause });
    }
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#registration?.close();
    this.#server.close();
  }

  async #listen(): Promise<void> {
    this.#server.listen({ host: this.#setup.host, port: 0 });
    await once(this.#server, "listening");
  }

  async #register(): Promise<void> {
    const [name = ""] = this.#setup.name.split("@");
    const registration = await epmdRegister(name, this.port);
    if (this.#closed) {
      registration.close();
      return;
    }
    this.#registration = registration;
    registration.onLost = () => {
      this.#setup.log.warn({ name: this.#setup.name }, "epmd.lost");
      this.#registerLater();
    };
  }

  #registerLater(): void {
    this.#timer = setTimeout(() => {
      this.#register().then(
        () => this.#setup.log.info({ name: this.#setup.name }, "epmd.registered"),
        () => {
          if (!this.#closed) this.#registerLater();
        },
      );
    }, registerAgainMs);
  }
}
