import type { Duplex } from "node:stream";
import { MeshError, toError } from "../../base/errors.ts";
import { after, earliest, type Instant } from "../../base/time.ts";
import {
  type ErlangHandshake,
  type ErlangPeer,
  type HandshakeOutput,
  handshakePacketMax,
  PacketReader,
  Ticker,
} from "../../erlang/index.ts";

type Admission = Extract<Parameters<ErlangHandshake["handle"]>[0], { type: "admit" }>["admission"];

export interface ErlangConnectionUser {
  /** A dialler says who it is, unproven: answer with `admit`. */
  onIntroduced(connection: ErlangConnection, name: string): void;
  /** The handshake is over; packets follow. */
  onComplete(connection: ErlangConnection, peer: ErlangPeer): void;
  /** The peer's own dial is the one that stays. The connection is closed. */
  onSuperseded(connection: ErlangConnection): void;
  /** A packet that is no tick. What it throws ends the connection. */
  onPacket(connection: ErlangConnection, packet: Uint8Array): void;
  /** The socket takes bytes again. */
  onWritable(connection: ErlangConnection): void;
  /** A deadline has come nearer. */
  onTouched(connection: ErlangConnection): void;
  /** Told once, whoever ended it. */
  onClosed(connection: ErlangConnection, error: MeshError): void;
}

export interface ErlangConnectionSetup {
  /** Unique among the connections of this node. */
  readonly number: number;
  /** Owned by the connection from now on. */
  readonly stream: Duplex;
  readonly handshake: ErlangHandshake;
  readonly user: ErlangConnectionUser;
  readonly clock: () => Instant;
  readonly tickTimeMs: number;
  readonly packetMax: number;
  /** How long bytes that were written may take when the connection is ended in order, milliseconds. */
  readonly leaveTimeoutMs: number;
}

const tick = new Uint8Array(4);

/**
 * One connection of the Erlang distribution on a byte stream, a socket or a tunnel: runs the handshake, then hands on
 * packets and keeps the peer alive with ticks.
 */
export class ErlangConnection {
  readonly number: number;
  readonly #setup: ErlangConnectionSetup;
  readonly #stream: Duplex;
  readonly #handshake: ErlangHandshake;
  readonly #user: ErlangConnectionUser;
  readonly #packets = new PacketReader(2, handshakePacketMax);
  #ticker: Ticker | undefined;
  #blocked = false;
  #paused = false;
  #reading = false;
  #ended = false;
  #leaving: Instant | undefined;

  constructor(setup: ErlangConnectionSetup) {
    this.#setup = setup;
    this.number = setup.number;
    this.#stream = setup.stream;
    this.#handshake = setup.handshake;
    this.#user = setup.user;
  }

  /** Begins the handshake. @param dials whether this side speaks first. */
  start(dials: boolean): void {
    const stream = this.#stream;
    stream.on("data", (chunk: Buffer) => {
      if (this.#ended) return;
      if (this.#ticker?.heard(this.#setup.clock()) === true) this.#tick();
      this.#packets.feed(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
      this.#read();
    });
    stream.on("drain", () => {
      this.#blocked = false;
      if (!this.#ended) this.#user.onWritable(this);
    });
    stream.on("error", (error) => this.#onStreamEnded(error));
    stream.on("end", () => this.#onStreamEnded(undefined));
    stream.on("close", () => this.#onStreamEnded(undefined));
    // Whoever had it before may have paused it.
    stream.resume();
    if (dials) this.#tell({ type: "start" });
    this.#user.onTouched(this);
  }

  /** Bytes that the stream has taken and not passed on. */
  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  /** Whether bytes may be written now: `onWritable` tells when again. */
  get isWritable(): boolean {
    return !this.#blocked && !this.#ended && this.#ticker !== undefined && this.#leaving === undefined;
  }

  admit(admission: Admission): void {
    this.#tell({ type: "admit", admission });
  }

  /** Writes whole packets. */
  write(bytes: Uint8Array): void {
    this.#ticker?.wrote(this.#setup.clock());
    this.#blocked = !this.#stream.write(bytes);
  }

  /** Stops reading. Ticks are sent all the same, and silence of the peer is not held against it. */
  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#ticker?.pause();
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#ended) return;
    this.#paused = false;
    this.#ticker?.resume(this.#setup.clock());
    this.#user.onTouched(this);
    // In a later turn: whoever resumes is in the middle of something.
    setImmediate(() => {
      if (this.#paused || this.#ended) return;
      this.#read();
      if (!this.#paused) this.#stream.resume();
    });
  }

  /** Ends the connection in order: what was written arrives. */
  leave(): void {
    if (this.#ended || this.#leaving !== undefined) return;
    this.#leaving = after(this.#setup.clock(), this.#setup.leaveTimeoutMs);
    this.#stream.end(() => this.end(new MeshError("CLOSED", "disconnected")));
    this.#user.onTouched(this);
  }

  /** Ends the connection at once. */
  end(error: MeshError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.destroy();
    this.#user.onClosed(this, error);
  }

  deadline(): Instant | undefined {
    if (this.#ended) return undefined;
    return earliest(this.#leaving, earliest(this.#handshake.deadline(), this.#ticker?.deadline()));
  }

  onDue(now: Instant): void {
    if (this.#leaving !== undefined && now >= this.#leaving) {
      this.end(new MeshError("CLOSED", "disconnected"));
      return;
    }
    this.#tell({ type: "tick" });
    switch (this.#ticker?.expire(now)) {
      case "tick":
        this.#tick();
        break;
      case "silent":
        this.end(new MeshError("TIMEOUT", "no sign of life (net_ticktime)"));
        break;
      case undefined:
        break;
    }
  }

  /** While the peer takes nothing, what waits for it is sign of life enough. */
  #tick(): void {
    if (this.isWritable) this.write(tick);
  }

  #read(): void {
    // A packet's receiver may resume, or pause, while we are at it.
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (!this.#paused && !this.#ended) {
        const packet = this.#packets.next();
        if (packet === undefined) break;
        if (this.#ticker === undefined) this.#tell({ type: "packet", bytes: packet });
        else if (packet.length > 0) this.#user.onPacket(this, packet);
      }
    } catch (error) {
      this.end(error instanceof MeshError ? error : new MeshError("PROTOCOL", toError(error).message));
    }
    this.#reading = false;
  }

  #tell(input: Parameters<ErlangHandshake["handle"]>[0]): void {
    if (this.#ended) return;
    this.#handshake.handle(input, this.#setup.clock());
    for (let output = this.#handshake.poll(); output !== undefined; output = this.#handshake.poll()) {
      this.#carryOut(output);
    }
  }

  #carryOut(output: HandshakeOutput): void {
    if (this.#ended) return;
    switch (output.type) {
      case "send": {
        const { bytes } = output;
        this.#stream.write(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff, ...bytes));
        break;
      }
      case "introduced":
        this.#user.onIntroduced(this, output.name);
        break;
      case "complete": {
        const { clock, tickTimeMs, packetMax } = this.#setup;
        this.#packets.expect(4, packetMax);
        this.#ticker = new Ticker(tickTimeMs, clock());
        this.#user.onTouched(this);
        this.#user.onComplete(this, output.peer);
        break;
      }
      case "superseded":
        this.#ended = true;
        this.#stream.destroy();
        this.#user.onSuperseded(this);
        break;
      case "fail":
        this.#fail(output.error);
        break;
      default:
        output satisfies never;
    }
  }

  /** The last status still goes out. */
  #fail(error: MeshError): void {
    this.#ended = true;
    const stream = this.#stream;
    const timer = setTimeout(() => stream.destroy(), this.#setup.leaveTimeoutMs);
    timer.unref();
    stream.once("close", () => clearTimeout(timer));
    stream.end(() => stream.destroy());
    this.#user.onClosed(this, error);
  }

  #onStreamEnded(error: Error | undefined): void {
    if (this.#ended) return;
    if (this.#ticker === undefined) {
      this.#tell({ type: "ended", error });
      return;
    }
    const why = error === undefined ? "the peer closed the connection" : error.message;
    this.end(new MeshError("CLOSED", why, error === undefined ? {} : { cause: error }));
  }
}
