import type { Socket } from "node:net";
import { MeshError, toError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";
import { connectTcp } from "./tcp.ts";

/*
 * The Erlang port mapper daemon knows the ports of the Erlang nodes of its host ("Distribution protocol", §"EPMD
 * protocol"). Requests have a length of two bytes before them, answers have none:
 *
 *   120 ALIVE2_REQ         port u16 | type u8 | protocol u8 | highest u16 | lowest u16 | length u16, name | length u16, extra
 *   118 ALIVE2_X_RESP      result u8 | creation u32            (121 ALIVE2_RESP: creation u16)
 *   122 PORT_PLEASE2_REQ   name
 *   119 PORT2_RESP         result u8 | port u16 | type u8 | protocol u8 | highest u16 | lowest u16 | length u16, name | …
 *   110 NAMES_REQ
 *   (names)                port of epmd u32 | text, a line "name NAME at port PORT" for each
 *
 * A registration lasts as long as its connection.
 */

const aliveRequest = 120;
const portPleaseRequest = 122;
const namesRequest = 110;
const visibleNode = 77;
const protocolTcp = 0;
const distributionVersion = 6;

const answerBytesMax = 65_536;

export interface EpmdOptions {
  /** Where epmd is asked. Default: this machine. */
  readonly host?: string;
  /** Default: `ERL_EPMD_PORT`, else 4369. */
  readonly port?: number;
  /** For one answer, milliseconds. Default 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The port of epmd on this machine, and by convention on all others. */
export function epmdPort(environment: NodeJS.ProcessEnv = process.env): number {
  const given = Number(environment["ERL_EPMD_PORT"] ?? "");
  return Number.isInteger(given) && given > 0 && given < 65_536 ? given : 4_369;
}

/**
 * The port of the Erlang node `name` (without its host).
 * @throws MeshError `PEER_UNREACHABLE` when there is no such node or no epmd, `VERSION_MISMATCH`, `DECODE`, `TIMEOUT`.
 */
export async function epmdLookUp(name: string, options: EpmdOptions = {}): Promise<number> {
  const request = new Writer(32);
  request.u8(portPleaseRequest);
  request.raw(utf8(name));
  const reader = new Reader(await ask(request.take(), options));
  expectTag(reader, 119);
  const result = reader.u8();
  if (result !== 0) {
    const host = options.host ?? "localhost";
    throw new MeshError("PEER_UNREACHABLE", `epmd at ${host} knows no node ${name}: it does not run there`);
  }
  const port = reader.u16();
  reader.skip(2);
  const [highest, lowest] = [reader.u16(), reader.u16()];
  if (lowest > distributionVersion || highest < distributionVersion) {
    throw new MeshError(
      "VERSION_MISMATCH",
      `${name} speaks versions ${lowest} to ${highest} of the distribution`,
    );
  }
  return port;
}

/** The nodes that are registered, with their ports. @throws MeshError as `epmdLookUp`. */
export async function epmdNames(options: EpmdOptions = {}): Promise<ReadonlyMap<string, number>> {
  const reader = new Reader(await ask(Uint8Array.of(namesRequest), options));
  reader.skip(4);
  const names = new Map<string, number>();
  for (const line of reader.text(reader.remaining).split("\n")) {
    const [, name, port] = /^name (.+) at port (\d+)$/.exec(line) ?? [];
    if (name !== undefined) names.set(name, Number(port));
  }
  return names;
}

export interface EpmdRegistration {
  /** Called once when epmd has ended: the node is not found any more. */
  onLost: () => void;
  /** Takes the name back. Idempotent. */
  close(): void;
}

/**
 * Registers a node of this machine that listens on `port`.
 * @throws MeshError `NAME_TAKEN`; `CONFIGURATION` when no epmd runs here; `DECODE`, `TIMEOUT`.
 */
export async function epmdRegister(
  name: string,
  port: number,
  options: EpmdOptions = {},
): Promise<EpmdRegistration> {
  const request = new Writer(64);
  request.u8(aliveRequest);
  request.u16(port);
  request.u8(visibleNode);
  request.u8(protocolTcp);
  request.u16(distributionVersion);
  request.u16(distributionVersion);
  const bytes = utf8(name);
  request.u16(bytes.length);
  request.raw(bytes);
  request.u16(0);
  const socket = await open(options);
  try {
    const answer = await exchange(socket, request.take(), options, (received) => {
      // The two forms differ in the length of the creation.
      const length = received[0] === 118 ? 6 : 4;
      return received.length >= length ? length : undefined;
    });
    const reader = new Reader(answer);
    const tag = reader.u8();
    if (tag !== 118 && tag !== 121) throw reader.error(`epmd answers with ${tag}`);
    if (reader.u8() !== 0) {
      throw new MeshError(
        "NAME_TAKEN",
        `epmd has a node ${name} of this machine already: choose another name`,
      );
    }
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const registration: EpmdRegistration = { onLost: () => undefined, close: () => socket.destroy() };
  let closed = false;
  registration.close = () => {
    closed = true;
    socket.destroy();
  };
  socket.on("error", () => undefined);
  socket.on("close", () => {
    if (!closed) registration.onLost();
  });
  socket.resume();
  return registration;
}

function expectTag(reader: Reader, tag: number): void {
  const found = reader.u8();
  if (found !== tag) throw reader.error(`epmd answers with ${found} where ${tag} is due`);
}

async function open({ host = "127.0.0.1", port = epmdPort(), signal }: EpmdOptions): Promise<Socket> {
  try {
    return await connectTcp(host, port, signal);
  } catch (thrown) {
    const hint = "start an Erlang node there, or `epmd -daemon`";
    throw new MeshError("PEER_UNREACHABLE", `no epmd at ${host}:${port} (${hint})`, {
      cause: toError(thrown),
    });
  }
}

/** One question; epmd closes the connection behind its answer. */
async function ask(request: Uint8Array, options: EpmdOptions): Promise<Uint8Array> {
  const socket = await open(options);
  try {
    return await exchange(socket, request, options, () => undefined);
  } finally {
    socket.destroy();
  }
}

/** @param complete length of the answer once it is all there; without one it ends with the connection. */
function exchange(
  socket: Socket,
  request: Uint8Array,
  { timeoutMs = 5_000 }: EpmdOptions,
  complete: (received: Uint8Array) => number | undefined,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("error", onError).off("close", onClose);
      act();
    };
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(new MeshError("TIMEOUT", `epmd did not answer within ${timeoutMs} milliseconds`)),
        ),
      timeoutMs,
    );
    const onData = (chunk: Buffer): void => {
      received = Buffer.concat([received, chunk]);
      const length = complete(received);
      if (length !== undefined) settle(() => resolve(new Uint8Array(received.subarray(0, length))));
      // Threat: an epmd that never ends.
      else if (received.length > answerBytesMax) {
        settle(() => reject(new MeshError("DECODE", `epmd's answer exceeds ${answerBytesMax} bytes`)));
      }
    };
    const onError = (error: Error): void =>
      settle(() => reject(new MeshError("PEER_UNREACHABLE", `epmd: ${error.message}`, { cause: error })));
    const onClose = (): void => settle(() => resolve(new Uint8Array(received)));
    socket.on("data", onData).on("error", onError).on("close", onClose);
    const header = Buffer.alloc(2);
    header.writeUInt16BE(request.length);
    socket.write(Buffer.concat([header, request]));
  });
}
