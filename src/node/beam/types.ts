import type { Duplex } from "node:stream";

/** Who wants a connection. */
export interface Caller {
  /** What they call themselves, proven by nothing. */
  readonly from: string;
  /** Whence they came through a tunnel; for a BEAM node of this machine, its name. Bounds go by it. */
  readonly host: string;
}

/** Connections to the distribution of BEAM nodes, here and behind other Macula nodes. */
export interface BeamCarrier {
  /**
   * A byte stream to the distribution of `node`, before the first byte of its handshake. It may be paused: nothing flows
   * before `resume`, `pipe` or `for await`.
   * @throws MeshError (rejection) `PEER_UNREACHABLE`, `TIMEOUT`, `REFUSED`, `WRONG_REALM`, `UNSUPPORTED` (there is a Macula node of that name
   *   which does not speak distribution), `LIMIT`, `CLOSED`, `CONFIGURATION` when it is no node name, or our own.
   */
  open(node: string, options?: { readonly signal?: AbortSignal }): Promise<Duplex>;
  /**
   * Somebody (a BEAM node attached here, or any through a tunnel) wants the distribution of this Macula node itself. The stream may be paused. Without it they are told that there is none.
   */
  onLocal: ((stream: Duplex, caller: Caller) => void) | undefined;
  /** BEAM nodes attached here. */
  nodes(): readonly string[];
}

/** News for the log. */
export type BeamNews =
  | { readonly type: "attached" | "detached"; readonly node: string }
  | { readonly type: "connected"; readonly node: string; readonly from: string; readonly address?: string }
  | { readonly type: "refused"; readonly node: string; readonly from: string; readonly error: Error }
  /** A client of the local socket, or a peer, that does not speak our protocol. */
  | { readonly type: "garbage"; readonly error: Error };
