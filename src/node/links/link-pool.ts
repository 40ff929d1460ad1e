import type { BufferPool } from "../../base/buffer-pool.ts";
import type { MeshError } from "../../base/errors.ts";
import type { QuicConnection } from "../../io/quic/index.ts";
import {
  type Ending,
  type LinkOptions,
  Pool,
  type PoolOptions,
  type PoolOutput,
  type PoolPeer,
  resolvePoolOptions,
} from "../../link/index.ts";
import type { LinkConnection } from "./connection.ts";
import type { ConnectionUser } from "./connection-user.ts";
import { Connections } from "./connections.ts";
import { countEnding, type LinkCounters } from "./counters.ts";
import { Deadlines } from "./deadlines.ts";
import { closingOf } from "./endings.ts";
import { addressOf } from "./stats.ts";
import type { LinksSetup } from "./types.ts";

/** What becomes of the links, and what comes by them. */
export interface LinkPoolUser
  extends Pick<
    ConnectionUser,
    | "onFrame"
    | "onMeshFrame"
    | "onMeshDatagram"
    | "onMeshReady"
    | "onGreeting"
    | "onAnswered"
    | "onFlushable"
    | "onRetiring"
  > {
  onUp(connection: LinkConnection, peer: PoolPeer): void;
  /** Once for each `onUp`. `number` is the connection's. */
  onDown(number: number, peer: PoolPeer, ending: Ending): void;
  /** A wanted node was not reached; `found`: another is there. */
  onUnreachable(name: string, error: MeshError, found: string | undefined): void;
  /** The link is to end in order: see to it that nothing new is sent by it, before it is told. */
  onLeave(connection: LinkConnection, how: "retired" | "disconnected"): void;
}

export interface LinkPoolSetup extends LinksSetup {
  readonly options: Required<LinkOptions>;
  readonly counters: LinkCounters;
  readonly buffers: BufferPool;
  readonly addressOf: (name: string) => string | undefined;
  readonly user: LinkPoolUser;
}

/** Runs the pool (`src/link`) on connections: carries out its decisions, and tells it what becomes of them. One timer for all. */
export class LinkPool {
  readonly #setup: LinkPoolSetup;
  readonly #options: Required<PoolOptions>;
  readonly #pool: Pool;
  readonly #connections: Connections;
  readonly #deadlines: Deadlines<LinkConnection | Pool>;
  #telling = false;
  #closing = false;
  #onEmpty: (() => void) | undefined;

  constructor(setup: LinkPoolSetup) {
    const { name, nodeId, creation } = setup;
    this.#setup = setup;
    this.#options = resolvePoolOptions(setup.pool);
    this.#pool = new Pool({ name, nodeId, creation }, this.#options, setup.random);
    this.#connections = new Connections({
      ...setup,
      dialTimeoutMs: this.#options.dialTimeoutMs,
      user: this.#connectionUser(),
      onDialFailed: (connection, cause) =>
        this.tell({ type: "closed", connection, ending: closingOf(cause), cause }),
    });
    this.#deadlines = new Deadlines(setup.clock, (item, now) => {
      if (item instanceof Pool) this.tell({ type: "tick" });
      else item.tick(now);
    });
    setup.endpoint.onIncomingFailed = (error) => this.#onIncomingFailed(error);
  }

  /** Nodes of which anything is kept. */
  get known(): number {
    return this.#pool.known;
  }

  tell(input: Parameters<Pool["handle"]>[0]): void {
    this.#pool.handle(input, this.#setup.clock());
    // Carrying out one decision may lead to the next input; the outer loop carries that out too, in order.
    if (this.#telling) return;
    this.#telling = true;
    for (let output = this.#pool.poll(); output !== undefined; output = this.#pool.poll())
      this.#carryOut(output);
    this.#telling = false;
    this.#deadlines.watch(this.#pool);
  }

  /** Takes a connection of a peer, of ALPN `macula/1.0`. */
  onConnection(transport: QuicConnection): void {
    const number = this.#pool.number();
    if (this.#closing) {
      transport.close(0, "the node is closing");
      return;
    }
    const connection = this.#connections.accept(number, transport);
    this.tell({ type: "inbound", connection: number, address: transport.remoteAddress.host });
    // Unless the pool has ended it right away.
    if (this.#connections.get(number) === connection) connection.start();
  }

  /** Ends all links in order, within `leaveTimeoutMs`, and dials nobody any more. */
  async close(): Promise<void> {
    this.#closing = true;
    this.tell({ type: "close" });
    for (const connection of this.#connections.all()) connection.leave("the node is closing");
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    }
    this.#deadlines.close();
  }

  #connectionUser(): ConnectionUser {
    const { user } = this.#setup;
    return {
      ...user,
      onIntroduced: ({ number }, peer, early) =>
        this.tell({ type: "introduced", connection: number, peer, early }),
      onEstablished: ({ number, transport: { peerNodeId: nodeId } }) =>
        this.tell({ type: "established", connection: number, nodeId }),
      onComplete: ({ number }, peer) => this.tell({ type: "complete", connection: number, peer }),
      onRetiring: (connection) => {
        this.tell({ type: "retiring", connection: connection.number });
        user.onRetiring(connection);
      },
      onAnswered: (connection, rttMs) => {
        user.onAnswered(connection, rttMs);
        this.tell({ type: "alive", connection: connection.number });
      },
      onMore: (connection) => this.#connections.readLater(connection),
      onTouched: (connection) => this.#deadlines.watch(connection),
      onClosed: (connection, ending, cause) => this.#onClosed(connection, ending, cause),
    };
  }

  /** The engine refused a peer: its realm, its certificate, its protocol. */
  #onIncomingFailed(error: MeshError): void {
    const ending = closingOf(error);
    countEnding(this.#setup.counters, ending.code);
    this.#setup.onNews?.({ type: "refused", address: undefined, nodeId: undefined, ending });
  }

  #onClosed(connection: LinkConnection, ending: Ending, cause: Error | undefined): void {
    this.#connections.forget(connection.number);
    this.#deadlines.forget(connection);
    if (ending.code !== "goodbye") countEnding(this.#setup.counters, ending.code);
    if (connection.peer === undefined && connection.transport.side === "server") {
      const address = addressOf(connection.transport);
      this.#setup.onNews?.({ type: "refused", address, nodeId: connection.claimedNodeId, ending });
    }
    const closed = { type: "closed", connection: connection.number, ending } as const;
    this.tell(cause === undefined ? closed : { ...closed, cause });
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #carryOut(output: PoolOutput): void {
    const { user, counters } = this.#setup;
    switch (output.type) {
      case "dial":
        counters.dials++;
        void this.#connections.dial(output.connection, output.name);
        break;
      case "admit":
        this.#connections.get(output.connection)?.admit();
        break;
      case "end":
        this.#connections.end(output.connection, output.ending);
        break;
      case "leave":
        this.#leave(this.#connections.get(output.connection), output.retire);
        break;
      case "probe":
        this.#connections.get(output.connection)?.ask();
        break;
      case "up":
        counters.linksUp++;
        this.#onUp(this.#connections.get(output.connection), output.peer);
        break;
      case "down":
        counters.linksDown++;
        user.onDown(output.connection, output.peer, output.ending);
        break;
      case "unreachable":
        counters.dialsFailed++;
        user.onUnreachable(output.name, output.error, output.found);
        break;
      default:
        output satisfies never;
    }
  }

  #onUp(connection: LinkConnection | undefined, peer: PoolPeer): void {
    // Gone again already: `down` follows.
    if (connection === undefined) return;
    this.#connections.keepTickets(peer.name, connection.transport);
    this.#setup.user.onUp(connection, peer);
  }

  #leave(connection: LinkConnection | undefined, retire: boolean): void {
    if (connection === undefined) return;
    this.#setup.user.onLeave(connection, retire ? "retired" : "disconnected");
    if (retire) connection.retire();
    else connection.leave("disconnected");
  }
}
