import type { Duplex } from "node:stream";
import { seededRandom } from "../../../src/base/random.ts";
import {
  ErlangHandshake,
  type HandshakeOutput,
  handshakePacketMax,
  PacketReader,
} from "../../../src/erlang/index.ts";
import { monotonicNow } from "../../../src/io/clock.ts";
import { erlangDigest } from "../../../src/io/erlang-cookie.ts";

export interface RawErlangSetup {
  readonly role: "dialler" | "listener";
  readonly name: string;
  readonly cookie: string;
  readonly creation?: number;
}

/** The other end of a distribution connection, that says nothing by itself once the handshake is over. */
export class RawErlang {
  /** Everything that came, packets of the handshake first; ticks are empty. */
  readonly packets: Uint8Array[] = [];
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  onPacket: (packet: Uint8Array) => void = () => undefined;
  readonly #stream: Duplex;
  readonly #reader = new PacketReader(2, handshakePacketMax);
  #lengthBytes = 2;

  constructor(stream: Duplex, { role, name, cookie, creation = 7 }: RawErlangSetup) {
    this.#stream = stream;
    const handshake = new ErlangHandshake(
      { role, name, creation, digest: erlangDigest(cookie), random: seededRandom(1), timeoutMs: 60_000 },
      monotonicNow(),
    );
    this.closed = new Promise((resolve) => stream.on("close", resolve));
    stream.on("error", () => undefined);
    this.ready = new Promise((resolve, reject) => {
      const carryOut = (output: HandshakeOutput): void => {
        if (output.type === "send") this.send(output.bytes);
        if (output.type === "introduced") tell({ type: "admit", admission: "ok" });
        if (output.type === "fail") reject(output.error);
        if (output.type === "complete") {
          this.#lengthBytes = 4;
          this.#reader.expect(4, 1 << 28);
          resolve();
        }
      };
      const tell = (input: Parameters<ErlangHandshake["handle"]>[0]): void => {
        handshake.handle(input, monotonicNow());
        for (let output = handshake.poll(); output !== undefined; output = handshake.poll()) carryOut(output);
      };
      stream.on("data", (chunk: Buffer) => {
        this.#reader.feed(new Uint8Array(chunk));
        for (let packet = this.#reader.next(); packet !== undefined; packet = this.#reader.next()) {
          this.packets.push(packet);
          if (this.#lengthBytes === 2) tell({ type: "packet", bytes: packet });
          else this.onPacket(packet);
        }
      });
      stream.on("end", () => tell({ type: "ended", error: undefined }));
      if (role === "dialler") tell({ type: "start" });
    });
    this.ready.catch(() => undefined);
  }

  /** A packet, with its length before it. */
  send(packet: Uint8Array): void {
    const header = Buffer.alloc(this.#lengthBytes);
    header.writeUIntBE(packet.length, 0, this.#lengthBytes);
    this.#stream.write(Buffer.concat([header, packet]));
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }
}
