import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { encodeLocalRequest, PacketReader, tokenText } from "../../../src/carrier/index.ts";

/** What a BEAM node says to its Macula node, without a BEAM: the bytes are the test's. */
export class FakeBeam {
  readonly #path: string;
  readonly control: Socket;
  readonly #tokens: string[] = [];
  #onToken: (() => void) | undefined;

  private constructor(path: string, control: Socket) {
    this.#path = path;
    this.control = control;
    const reader = new PacketReader();
    control.on("error", () => {});
    control.on("data", (chunk: Uint8Array) => {
      reader.push(chunk);
      for (let notice = reader.next(); notice !== undefined; notice = reader.next()) {
        this.#tokens.push(tokenText(notice));
        this.#onToken?.();
      }
    });
  }

  /** @throws with the refusal's sentence. */
  static async register(path: string, name: string): Promise<FakeBeam> {
    const control = await ask(path, encodeLocalRequest({ type: "register", name }));
    return new FakeBeam(path, control);
  }

  /** The next connection from somebody. */
  async accept(): Promise<Socket> {
    while (this.#tokens.length === 0) {
      await new Promise<void>((resolve) => {
        this.#onToken = resolve;
      });
    }
    const socket = connect({ path: this.#path, allowHalfOpen: true });
    socket.on("error", () => {});
    socket.write(encodeLocalRequest({ type: "accept", token: this.#tokens.shift() ?? "" }));
    return socket;
  }
}

/** A connection to the distribution of `target`. @throws with the refusal's sentence. */
export function dial(path: string, target: string, timeoutMs = 10_000): Promise<Socket> {
  return ask(path, encodeLocalRequest({ type: "connect", target, from: "fake@localhost", timeoutMs }));
}

async function ask(path: string, request: Uint8Array): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, "connect");
  socket.on("error", () => {});
  socket.write(request);
  const reader = new PacketReader();
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    reader.push(chunk as Uint8Array);
    const answer = reader.next();
    if (answer === undefined) continue;
    if (answer[0] === 0) return socket;
    socket.destroy();
    throw new Error(new TextDecoder().decode(answer.subarray(1)));
  }
  throw new Error("the connection was closed");
}

/** What arrives on `socket` up to its end. */
export async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) text += String(chunk);
  return text;
}

/** The next `length` bytes. */
export async function readBytes(socket: Socket, length: number): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.length >= length) break;
  }
  return text;
}
