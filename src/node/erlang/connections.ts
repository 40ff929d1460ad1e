import type { Duplex } from "node:stream";
import { MeshError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { Instant } from "../../base/time.ts";
import { ErlangHandshake } from "../../erlang/index.ts";
import { Deadlines } from "../links/deadlines.ts";
import { ErlangConnection, type ErlangConnectionUser } from "./connection.ts";
import type { ErlangRoute } from "./types.ts";

/** The longest packet either way: no fragments are spoken, so a message is one packet. */
export const packetMax = 128 * 1_048_576;
/** Handshakes of others under way; all of them unproven. */
const inboundMax = 64;
const inboundPerHostMax = 32;
const leaveTimeoutMs = 2_000;
const defaultTickTimeMs = 60_000;

export interface ConnectionsSetup {
  readonly creation: number;
  /** Of the Erlang cookie and a challenge, 16 bytes. */
  readonly digest: (challenge: number) => Uint8Array;
  readonly random: Random;
  readonly clock: () => Instant;
  readonly handshakeTimeoutMs: number;
  readonly connectionsMax: number;
  /** kernel's `net_ticktime`, milliseconds. Default 60,000. */
  readonly tickTimeMs?: number;
}

/** Somebody who dialled us and is not a peer yet. */
export interface Inbound {
  readonly route: ErlangRoute;
  readonly address: string;
  said: string | undefined;
}

/** All connections of the distribution, from their handshakes on, with one timer for all of them. */
export class ErlangConnections {
  readonly #setup: ConnectionsSetup;
  readonly #user: ErlangConnectionUser;
  readonly #deadlines: Deadlines<ErlangConnection>;
  readonly #open = new Set<ErlangConnection>();
  readonly #inbound = new Map<ErlangConnection, Inbound>();
  #numbers = 0;
  #onEmpty: (() => void) | undefined;

  constructor(setup: ConnectionsSetup, user: ErlangConnectionUser) {
    this.#setup = setup;
    this.#user = user;
    this.#deadlines = new Deadlines(setup.clock, (connection, now) => connection.onDue(now));
  }

  /** A connection to `node`, before its handshake. */
  dial(stream: Duplex, route: ErlangRoute, node: string): ErlangConnection {
    return this.#add(stream, "dialler", route, node);
  }

  /** A connection of somebody who dialled this node, before its handshake; `undefined` when there is no room. */
  accept(stream: Duplex, route: ErlangRoute, address: string): ErlangConnection | undefined {
    // Threat: connections that never say anything. They are few, fewer from one host, and the handshake has a time limit.
    const host = hostOf(address);
    const sameHost = [...this.#inbound.values()].filter((inbound) => hostOf(inbound.address) === host);
    if (
      this.#inbound.size >= inboundMax ||
      sameHost.length >= inboundPerHostMax ||
      this.#open.size >= this.#setup.connectionsMax
    ) {
      return undefined;
    }
    const connection = this.#add(stream, "listener", route);
    this.#inbound.set(connection, { route, address, said: undefined });
    return connection;
  }

  /** What is known of one that has not proven itself; `undefined` for all others. */
  inbound(connection: ErlangConnection): Inbound | undefined {
    return this.#inbound.get(connection);
  }

  /** It has proven itself. */
  admitted(connection: ErlangConnection): void {
    this.#inbound.delete(connection);
  }

  /** A deadline has come nearer. */
  watch(connection: ErlangConnection): void {
    this.#deadlines.watch(connection);
  }

  /** It has ended. */
  forget(connection: ErlangConnection): void {
    this.#open.delete(connection);
    this.#inbound.delete(connection);
    this.#deadlines.forget(connection);
    if (this.#open.size === 0) this.#onEmpty?.();
  }

  /** Ends those that have not proven themselves, and waits for the end of all others. */
  async close(): Promise<void> {
    for (const connection of [...this.#inbound.keys()])
      connection.end(new MeshError("CLOSED", "the node is closing"));
    if (this.#open.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    }
    this.#deadlines.close();
  }

  #add(
    stream: Duplex,
    role: "dialler" | "listener",
    { names }: ErlangRoute,
    node?: string,
  ): ErlangConnection {
    const {
      creation,
      digest,
      random,
      clock,
      handshakeTimeoutMs,
      tickTimeMs = defaultTickTimeMs,
    } = this.#setup;
    const handshake = new ErlangHandshake(
      {
        role,
        name: names.own,
        creation,
        digest,
        random,
        timeoutMs: handshakeTimeoutMs,
        ...(node === undefined ? {} : { isExpected: (name: string) => names.fromPeer(name) === node }),
      },
      clock(),
    );
    const connection = new ErlangConnection({
      number: ++this.#numbers,
      stream,
      handshake,
      user: this.#user,
      clock,
      tickTimeMs,
      packetMax,
      leaveTimeoutMs,
    });
    this.#open.add(connection);
    return connection;
  }
}

/** Without the port. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, "");
}
