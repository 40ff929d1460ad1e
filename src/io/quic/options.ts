import { MeshError } from "../../base/errors.ts";
import { type NodeId, nodeIdBytes } from "../../base/node-id.ts";
import type { NativeIdentity, NativeOptions, NativeTrust } from "./native.ts";

export interface QuicIdentity {
  /** DER, leaf first. The leaf's key is P-256. */
  readonly certificateChain: readonly Uint8Array[];
  /** PKCS#8 DER. */
  readonly privateKey: Uint8Array;
}

export interface QuicTrust {
  /** The realm's authorities, DER. A peer's chain must end at one of them. */
  readonly authorities: readonly Uint8Array[];
  /** The realm that certificates must name (`macula:<realm>/<node id>`); an authority may serve several. Default any. */
  readonly realm?: string;
  /** Nodes that are refused whatever their certificates say. */
  readonly revoked?: readonly NodeId[];
  /** Serial numbers of certificates that are refused (big-endian, as in the certificate). */
  readonly revokedSerials?: readonly Uint8Array[];
}

/** The bounds of an endpoint. A peer can make it hold no more than these say. */
export interface QuicLimits {
  /** Protocols offered and accepted, in order of preference. Default `["macula/1.0"]`. */
  readonly alpn?: readonly string[];
  /** Received bytes that one stream holds until they are read. Default 4 MiB. */
  readonly streamWindowBytes?: number;
  /** The same for all streams of a connection together. Default 16 MiB. */
  readonly connectionWindowBytes?: number;
  /** Written bytes that a connection holds until they are acknowledged. Default 8 MiB. */
  readonly sendWindowBytes?: number;
  /** Bidirectional streams that the peer may have open at once; about 60 bytes each from the start. Default 128. */
  readonly bidirectionalStreamsMax?: number;
  /** Unidirectional streams that the peer may have open at once. Default 128. */
  readonly unidirectionalStreamsMax?: number;
  /** Datagrams (RFC 9221) waiting to be sent, and to be taken; 0 turns them off. Default 1 MiB. */
  readonly datagramBufferBytes?: number;
  /** A connection on which nothing arrives is dead after this, milliseconds; 0 for never. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** Something is sent at least this often, milliseconds; 0 for never. Below `idleTimeoutMs`. Default 10,000. */
  readonly keepAliveMs?: number;
  /** Default `"cubic"`. */
  readonly congestion?: "cubic" | "bbr";
  /** Path MTU discovery stops here, bytes of UDP payload, 1200 to 65,527. Default 1452 (Ethernet). */
  readonly mtuMax?: number;
  /** The same for peers on this machine. Default 32,768. */
  readonly loopbackMtuMax?: number;
  /** Connections at once, at most 1,048,575. Default 16,384. */
  readonly connectionsMax?: number;
  /** Incoming handshakes at once; more are refused. Default 1024. */
  readonly handshakesMax?: number;
  /**
   * The same from one address (IPv6: from one /64); more are refused, and from half of it on a peer has to prove its
   * address first. Default 64.
   */
  readonly handshakesPerAddressMax?: number;
  /** An incoming handshake that takes longer from its first packet on fails with `TIMEOUT`, milliseconds. Default 5,000. */
  readonly handshakeTimeoutMs?: number;
  /** From this many incoming handshakes on, a peer has to prove its address first (Retry). Default 128. */
  readonly retryFrom?: number;
  /** Sessions remembered for resumption, about 2 KB each, made as needed; 0 turns resumption off. Default 4096. */
  readonly ticketsMax?: number;
  /** Foreign datagrams waiting to be taken, bytes; the newest are dropped. Default 1 MiB. */
  readonly foreignBufferBytes?: number;
}

export const defaultAlpn = "macula/1.0";

type Bounds = readonly [low: number, high: number, otherwise: number];

const bounds = {
  streamWindowBytes: [4_096, 2 ** 30, 4 * 2 ** 20],
  connectionWindowBytes: [4_096, 2 ** 31, 16 * 2 ** 20],
  sendWindowBytes: [4_096, 2 ** 31, 8 * 2 ** 20],
  bidirectionalStreamsMax: [0, 2 ** 20, 128],
  unidirectionalStreamsMax: [0, 2 ** 20, 128],
  datagramBufferBytes: [0, 2 ** 30, 2 ** 20],
  idleTimeoutMs: [0, 2 ** 31, 30_000],
  keepAliveMs: [0, 2 ** 31, 10_000],
  mtuMax: [1_200, 65_527, 1_452],
  loopbackMtuMax: [1_200, 65_527, 32_768],
  connectionsMax: [1, 2 ** 20 - 1, 16_384],
  handshakesMax: [1, 2 ** 20 - 1, 1_024],
  handshakesPerAddressMax: [1, 2 ** 20 - 1, 64],
  handshakeTimeoutMs: [1, 2 ** 31, 5_000],
  retryFrom: [0, 2 ** 20, 128],
  ticketsMax: [0, 2 ** 20, 4_096],
  foreignBufferBytes: [0, 2 ** 30, 2 ** 20],
} satisfies Record<string, Bounds>;

function bounded(given: QuicLimits, name: keyof typeof bounds): number {
  const [low, high, otherwise] = bounds[name];
  const value = given[name] ?? otherwise;
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new MeshError("CONFIGURATION", `${name} is a whole number from ${low} to ${high}, not ${value}`);
}

/** @throws MeshError `CONFIGURATION` naming the setting and what is allowed. */
export function resolveQuicLimits(given: QuicLimits, keyLog: boolean): NativeOptions {
  const idleTimeoutMs = bounded(given, "idleTimeoutMs");
  const keepAliveMs = bounded(given, "keepAliveMs");
  if (given.keepAliveMs !== undefined && idleTimeoutMs > 0 && keepAliveMs >= idleTimeoutMs) {
    throw new MeshError(
      "CONFIGURATION",
      `keepAliveMs (${keepAliveMs}) must be below idleTimeoutMs (${idleTimeoutMs})`,
    );
  }
  return {
    alpn: given.alpn ?? [defaultAlpn],
    streamWindowBytes: bounded(given, "streamWindowBytes"),
    connectionWindowBytes: bounded(given, "connectionWindowBytes"),
    sendWindowBytes: bounded(given, "sendWindowBytes"),
    bidirectionalStreamsMax: bounded(given, "bidirectionalStreamsMax"),
    unidirectionalStreamsMax: bounded(given, "unidirectionalStreamsMax"),
    datagramBufferBytes: bounded(given, "datagramBufferBytes"),
    idleTimeoutMs,
    keepAliveMs: idleTimeoutMs > 0 ? Math.min(keepAliveMs, Math.ceil(idleTimeoutMs / 3)) : keepAliveMs,
    bbr: given.congestion === "bbr",
    mtuMax: bounded(given, "mtuMax"),
    loopbackMtuMax: bounded(given, "loopbackMtuMax"),
    connectionsMax: bounded(given, "connectionsMax"),
    handshakesMax: bounded(given, "handshakesMax"),
    handshakesPerAddressMax: bounded(given, "handshakesPerAddressMax"),
    handshakeTimeoutMs: bounded(given, "handshakeTimeoutMs"),
    retryFrom: bounded(given, "retryFrom"),
    ticketsMax: bounded(given, "ticketsMax"),
    foreignBufferBytes: bounded(given, "foreignBufferBytes"),
    keyLog,
  };
}

export function nativeIdentity(identity: QuicIdentity): NativeIdentity {
  return { chain: identity.certificateChain, privateKey: identity.privateKey };
}

export function nativeTrust(trust: QuicTrust): NativeTrust {
  return {
    authorities: trust.authorities,
    revoked: (trust.revoked ?? []).map((id) => nodeIdBytes(id)),
    revokedSerials: trust.revokedSerials ?? [],
    ...(trust.realm === undefined ? {} : { realm: trust.realm }),
  };
}
