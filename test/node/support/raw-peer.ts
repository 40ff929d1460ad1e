import type { NodeIdentity } from "../../../src/identity/index.ts";
import { coreCrypto } from "../../../src/io/crypto.ts";
import { type QuicConnection, QuicEndpoint, type QuicStream } from "../../../src/io/quic/index.ts";
import { systemRandom } from "../../../src/io/random.ts";
import {
  type Answer,
  decodeHandshake,
  encodeHandshake,
  type HandshakeMessage,
  type Hello,
  signedBytes,
} from "../../../src/link/index.ts";
import { encodeGreeting } from "../../../src/session/index.ts";
import { decodeFrame, encodeFrame, frameType } from "../../../src/wire/index.ts";
import { testIdentity } from "../../identity/support.ts";

/** Somebody with a certificate of the realm who says what the test wants, not what the protocol does. */
export class RawPeer implements AsyncDisposable {
  readonly identity: NodeIdentity;
  readonly connection: QuicConnection;
  readonly control: QuicStream;
  readonly name: string;
  readonly #endpoint: QuicEndpoint;
  #received = new Uint8Array(0);

  private constructor(
    identity: NodeIdentity,
    endpoint: QuicEndpoint,
    connection: QuicConnection,
    control: QuicStream,
  ) {
    this.identity = identity;
    this.#endpoint = endpoint;
    this.connection = connection;
    this.control = control;
    this.name = `raw@localhost:${endpoint.address.port}`;
  }

  static async dial(
    victim: { readonly endpoint: Pick<QuicEndpoint, "address"> },
    identity?: NodeIdentity,
  ): Promise<RawPeer> {
    const own = identity ?? (await testIdentity());
    const endpoint = await QuicEndpoint.listen({ identity: own, trust: { authorities: own.authorities } });
    const connection = await endpoint.connect({ host: "localhost", port: victim.endpoint.address.port });
    const control = connection.openStream({ bidirectional: true });
    if (control === undefined) throw new Error("no stream");
    return new RawPeer(own, endpoint, connection, control);
  }

  say(message: HandshakeMessage): void {
    this.control.write(encodeFrame(frameType.handshake, encodeHandshake(message)));
  }

  hello(changes: Partial<Hello> = {}): Hello {
    return {
      kind: "hello",
      versions: [1],
      name: this.name,
      nodeId: this.identity.nodeId,
      capabilities: ["signals"],
      creation: 1,
      challenge: systemRandom.bytes(32),
      ...changes,
    };
  }

  async answer(): Promise<Answer> {
    for (;;) {
      const result = decodeFrame(this.#received);
      if (result.result === "frame") return decodeHandshake(result.frame.payload) as Answer;
      const chunk = this.control.read();
      if (chunk === undefined && !this.control.canRead) throw new Error("the control stream is over");
      if (chunk === undefined) await this.control.readable();
      else this.#received = Buffer.concat([this.#received, chunk]);
    }
  }

  /** The whole handshake, in order. */
  async link(changes: Partial<Hello> = {}): Promise<void> {
    const hello = this.hello(changes);
    this.say(hello);
    const answer = await this.answer();
    const signature = coreCrypto(this.identity.privateKey).sign(signedBytes("dialler", { hello, answer }));
    this.say({ kind: "proof", signature });
  }

  /** SESSION: begins one, as far as it is up to this end. */
  greet(greeting: Partial<Parameters<typeof encodeGreeting>[0]> = {}): void {
    const payload = encodeGreeting({ mine: 1, yours: 0, ended: 0, creation: 1, ...greeting });
    this.control.write(encodeFrame(frameType.session, payload));
  }

  lane(): QuicStream {
    const stream = this.connection.openStream({ bidirectional: false });
    if (stream === undefined) throw new Error("no stream");
    return stream;
  }

  /** What the node closed the connection with. */
  async refusal(): Promise<{ readonly code: number; readonly reason: string } | undefined> {
    await this.connection.closed;
    return this.connection.applicationClose;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#endpoint.close();
  }
}
