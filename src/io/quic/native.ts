import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MeshError } from "../../base/errors.ts";

/** The binding in `native/src/surface.rs`. Handles of connections and streams are numbers; a stale one is an error. */
export interface NativeEngine {
  receive(packed: Uint8Array, now: number): number;
  transmit(limit: number, now: number): Uint8Array;
  timeout(now: number): number;
  handleTimeouts(now: number): void;
  events(into: Float64Array): number;
  flush(batch: Uint8Array, used: number, now: number): number;
  writeBatch(batch: Uint8Array, used: number, now: number): void;
  attach(
    host: string,
    port: number,
    receiveBuffer: number,
    sendBuffer: number,
    onTurn: () => void,
    onFlush: () => void,
  ): NativeAddress;
  detach(): void;
  sendForeign(packed: Uint8Array): number;
  takeForeign(): Uint8Array;
  takeVirtual(): Uint8Array;
  mapAddress(host: string, port: number, real?: NativeAddress): void;
  setTurnServer(host: string, port: number, present: boolean): void;
  setIdentity(identity: NativeIdentity): void;
  setTrust(trust: NativeTrust): void;
  setWallClock(unixMs: number): void;
  takeKeyLine(): string | null;
  closeAll(code: number, reason: Uint8Array, now: number): void;
  connect(
    host: string,
    port: number,
    nodeId: Uint8Array | undefined,
    alpn: string,
    ticket: NativeTicket | undefined,
    now: number,
  ): number;
  alpn(connection: number): string;
  early(connection: number): boolean;
  peer(connection: number, into: Uint8Array): number;
  certificates(connection: number): Uint8Array[];
  remoteAddress(connection: number): NativeAddress;
  closeReason(connection: number): NativeClose | null;
  close(connection: number, code: number, reason: Uint8Array, now: number): void;
  release(connection: number): void;
  takeTicket(connection: number): NativeTicket | null;
  connectionStats(connection: number, into: Float64Array): void;
  endpointStats(into: Float64Array): void;
  openStream(connection: number, bidirectional: boolean, priority: number): number;
  read(connection: number, stream: number, into: Uint8Array, offset: number, length: number): number;
  write(connection: number, stream: number, bytes: Uint8Array, now: number): number;
  finish(connection: number, stream: number): void;
  reset(connection: number, stream: number, code: number): void;
  stop(connection: number, stream: number, code: number): void;
  setPriority(connection: number, stream: number, priority: number): void;
  sendDatagram(connection: number, bytes: Uint8Array): boolean;
  receiveDatagram(connection: number, into: Uint8Array): number;
  datagramSizeMax(connection: number): number;
}

export interface NativeAddress {
  readonly host: string;
  readonly port: number;
}

export interface NativeIdentity {
  readonly chain: readonly Uint8Array[];
  readonly privateKey: Uint8Array;
}

export interface NativeTrust {
  readonly authorities: readonly Uint8Array[];
  readonly revoked: readonly Uint8Array[];
  readonly revokedSerials: readonly Uint8Array[];
  readonly realm?: string;
}

export interface NativeClose {
  readonly kind: number;
  readonly code: number;
  readonly reason: string;
  readonly byPeer: boolean;
  readonly remote: NativeAddress;
}

export type NativeTicket = object;

export interface NativeOptions {
  readonly alpn: readonly string[];
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly sendWindowBytes: number;
  readonly bidirectionalStreamsMax: number;
  readonly unidirectionalStreamsMax: number;
  readonly datagramBufferBytes: number;
  readonly idleTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly bbr: boolean;
  readonly mtuMax: number;
  readonly loopbackMtuMax: number;
  readonly connectionsMax: number;
  readonly handshakesMax: number;
  readonly handshakesPerAddressMax: number;
  readonly handshakeTimeoutMs: number;
  readonly retryFrom: number;
  readonly ticketsMax: number;
  readonly foreignBufferBytes: number;
  readonly keyLog: boolean;
  readonly resetSeed?: Uint8Array;
  readonly randomSeed?: Uint8Array;
}

/** The binding in `native/src/surface/keys.rs`. */
export interface NativeKey {
  sign(message: Uint8Array, into: Uint8Array): void;
}

interface NativeModule {
  readonly NativeEngine: new (
    identity: NativeIdentity,
    trust: NativeTrust,
    options: NativeOptions,
    ipv6Socket: boolean,
    now: number,
    unixMs: number,
  ) => NativeEngine;
  readonly NativeKey: new (pkcs8: Uint8Array) => NativeKey;
  verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

/** `Kind` in `native/src/events.rs`. A record is `[kind, connection, a, b]`. */
export const eventKind = {
  established: 1,
  incoming: 2,
  closed: 3,
  stream: 4,
  readable: 5,
  writable: 6,
  finished: 7,
  stopped: 8,
  available: 9,
  datagram: 10,
  ticket: 11,
  address: 12,
  foreign: 13,
  virtual: 14,
  keyLog: 15,
  incomingFailed: 16,
  streamReset: 17,
  datagramsUnblocked: 18,
  earlyRejected: 19,
  secured: 20,
} as const;

export const eventWords = 4;
/** A read that reached the end of the stream adds this to its count. */
export const readEnded = 2 ** 32;
/** A read of a stream that is gone. */
export const readUnknown = -(2 ** 63);

let loaded: NativeModule | undefined;

function platformName(): string {
  const isLinux = process.platform === "linux";
  const report = isLinux
    ? (process.report.getReport() as { header: { glibcVersionRuntime?: string } })
    : undefined;
  const musl = report !== undefined && report.header.glibcVersionRuntime === undefined ? "-musl" : "";
  return `${process.platform}-${process.arch}${musl}`;
}

/**
 * The engine: the prebuilt package of this platform, or what `scripts/build-native.mjs` has built.
 *
 * @throws MeshError `UNSUPPORTED` when there is neither.
 */
export function loadNative(): NativeModule {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  const platform = platformName();
  const file = join("native", `macula-native.${platform}.node`);
  // The compiled module lies two or three folders below the package, depending on what it was compiled for.
  const folders = ["../../..", "../../../.."].map((up) => join(dirname(fileURLToPath(import.meta.url)), up));
  const candidates = [`@macula/native-${platform}`, ...folders.map((folder) => join(folder, file))];
  let cause: unknown;
  for (const candidate of candidates) {
    try {
      loaded = require(candidate) as NativeModule;
      return loaded;
    } catch (error) {
      // A binary that is there and does not load is the more interesting failure.
      if (cause === undefined || (error as { code?: string }).code !== "MODULE_NOT_FOUND") cause = error;
    }
  }
  throw new MeshError(
    "UNSUPPORTED",
    `the QUIC engine for ${platform} is not there: run "node scripts/build-native.mjs" (needs Rust's cargo)`,
    { cause },
  );
}
