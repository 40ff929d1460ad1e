import type { BufferPool } from "../../base/buffer-pool.ts";
import { MeshError, toError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { earliest, type Instant } from "../../base/time.ts";
import type { QuicConnection, QuicStream } from "../../io/quic/index.ts";
import {
  type CloseCodeName,
  type ConnectionNumber,
  closeCode,
  closeCodeName,
  type Ending,
  endingOf,
  type Handshake,
  type HandshakeOutput,
  handshakeBytesMax,
  type Introduction,
  type Lanes,
  Link,
  type LinkOptions,
  type LinkOutput,
  peerLanesMax,
  wireReason,
} from "../../link/index.ts";
import { encodeFrame, type Frame, frameType, Inbox, ReassemblyBudget } from "../../wire/index.ts";
import { Incoming, type IncomingUser } from "./incoming.ts";
import { Outgoing } from "./outgoing.ts";
import { ReadTurns } from "./read-turns.ts";

/** The control stream goes before all others: heartbeats aside, it is what tells the peer that we leave. */
const controlPriority = 1;

export interface ConnectionUser {
  onIntroduced(connection: LinkConnection, peer: Introduction, early: boolean): void;
  onEstablished(connection: LinkConnection): void;
  /** The handshake is over; `open` makes it a link. */
  onComplete(connection: LinkConnection, peer: Introduction): void;
  /** A signal frame. False when the payload's defect closed the link. */
  onFrame(connection: LinkConnection, incoming: Incoming, frame: Frame, now: Instant): boolean;
  onAnswered(connection: LinkConnection, rttMs: number): void;
  /** There is more to read in the next turn: call `readMore` then. */
  onMore(connection: LinkConnection): void;
  /** The link has something to flush. */
  onFlushable(connection: LinkConnection): void;
  /** A deadline may have changed. */
  onTouched(connection: LinkConnection): void;
  /** Told once, whoever ended it. */
  onClosed(connection: LinkConnection, ending: Ending, cause?: Error): void;
}

export interface ConnectionSetup {
  readonly number: ConnectionNumber;
  readonly transport: QuicConnection;
  readonly handshake: Handshake;
  readonly options: Required<LinkOptions>;
  /** For what is read. */
  readonly buffers: BufferPool;
  readonly user: ConnectionUser;
  readonly clock: () => Instant;
  /** Gives numbers to incoming streams. */
  readonly streamNumber: () => number;
}

/** One QUIC connection with a peer: runs its handshake, then its link. */
export class LinkConnection implements IncomingUser {
  readonly number: ConnectionNumber;
  readonly transport: QuicConnection;
  readonly #setup: ConnectionSetup;
  readonly #handshake: Handshake;
  readonly #user: ConnectionUser;
  readonly #clock: () => Instant;
  readonly #handshakeInbox = new Inbox({
    budget: new ReassemblyBudget(),
    payloadMaxBytes: handshakeBytesMax,
  });
  #control: QuicStream | undefined;
  /** Streams that came before the link was open: unread, so that the engine's window bounds them. */
  #waiting: QuicStream[] = [];
  readonly #incoming = new Map<number, Incoming>();
  readonly #turns: ReadTurns;
  #link: Link | undefined;
  #outgoing: Outgoing | undefined;
  #peer: Introduction | undefined;
  #ended = false;

  constructor(setup: ConnectionSetup) {
    this.#setup = setup;
    this.number = setup.number;
    this.transport = setup.transport;
    this.#handshake = setup.handshake;
    this.#user = setup.user;
    this.#clock = setup.clock;
    this.#turns = new ReadTurns(setup.options.turnFrameBudget, () => this.#user.onMore(this));
  }

  /** Who is at the other end, proven; `undefined` during the handshake. */
  get peer(): Introduction | undefined {
    return this.#peer;
  }

  get link(): Link | undefined {
    return this.#link;
  }

  /** Streams being read. */
  get incomingStreams(): number {
    return this.#incoming.size;
  }

  /** Begins the handshake. */
  start(): void {
    const { transport } = this;
    void transport.closed.then((error) => this.#onTransportClosed(error));
    if (transport.side === "client") this.#openControl();
    this.#handshake.handle({ type: "start" }, this.#clock());
    this.#afterHandshakeInput();
    if (transport.handshakeComplete) this.#onEstablished();
    else {
      transport.onEarlyRejected = () => this.#onEarlyRejected();
      transport.established.then(
        () => this.#onEstablished(),
        // `closed` tells why.
        () => undefined,
      );
    }
    // Last, since what has come already is handed over at once.
    transport.onStream = (stream) => this.#onStream(stream);
  }

  /** Whose certificate the engine accepted; `undefined` before that is known. */
  get claimedNodeId(): NodeId | undefined {
    return this.transport.handshakeComplete ? this.transport.peerNodeId : undefined;
  }

  /** The pool agrees with the peer. */
  admit(): void {
    this.#handshake.handle({ type: "admit" }, this.#clock());
    this.#afterHandshakeInput();
  }

  /** Makes the proven connection a link that sends what is in `lanes`. */
  open(lanes: Lanes): Link {
    const options = heartbeatsOf(this.transport.side, this.#setup.options);
    const link = new Link(options, lanes, this.#clock());
    this.#link = link;
    this.#outgoing = new Outgoing(
      this.transport,
      lanes,
      () => this.#user.onFlushable(this),
      () => this.#broken(new MeshError("PROTOCOL", "the peer refused a stream")),
    );
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) this.#openIncoming(stream);
    // Only now: a question that overtook the end of the handshake has waited in the engine.
    this.transport.onDatagram = (bytes) => this.#tell({ type: "datagram", bytes });
    this.#user.onFlushable(this);
    this.#user.onTouched(this);
    // What came behind the handshake on the control stream: nothing, or the end.
    this.#readControl();
    return link;
  }

  /** Writes what waits in the lanes. */
  flush(): void {
    this.#outgoing?.flush();
    if (this.#link !== undefined && !this.#link.open) this.#tell({ type: "flushed" });
  }

  /** Reads on where the last turn's budget was used up. */
  readMore(): void {
    this.#turns.next();
  }

  /** Asks the peer for a sign of life. */
  ask(): void {
    this.#tell({ type: "ask" });
  }

  /** Ends the link in order. */
  leave(reason: string): void {
    if (this.#link === undefined) this.end({ code: "goodbye", reason });
    else this.#tell({ type: "leave", reason });
  }

  /** The payload of a frame is not what its type says. */
  defect(error: unknown): void {
    this.#broken(error);
  }

  /** Ends the connection at once. */
  end(ending: Ending, cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const incoming of this.#incoming.values()) incoming.stop();
    this.#turns.clear();
    this.#handshakeInbox.close();
    this.#waiting = [];
    this.transport.close(closeCode[ending.code], wireReason(ending.reason));
    this.#user.onClosed(this, ending, cause);
  }

  incoming(number: number): Incoming | undefined {
    return this.#incoming.get(number);
  }

  deadline(): Instant | undefined {
    if (this.#ended) return undefined;
    return earliest(this.#handshake.deadline(), this.#link?.deadline());
  }

  tick(now: Instant): void {
    if (this.#link === undefined) {
      this.#handshake.handle({ type: "tick" }, now);
      this.#afterHandshakeInput();
    } else this.#tell({ type: "tick" });
  }

  onFrame(incoming: Incoming, frame: Frame, now: Instant): boolean {
    const { type } = frame;
    if (type >= frameType.send && type <= frameType.spawnReply) {
      return this.#user.onFrame(this, incoming, frame, now);
    }
    this.#tell({ type: "misplaced", frameType: type });
    return false;
  }

  onDefect(error: unknown): void {
    this.#broken(error);
  }

  onEnd(incoming: Incoming): void {
    this.#incoming.delete(incoming.number);
    this.#afterLinkInput();
  }

  #onStream(stream: QuicStream): void {
    const bidirectional = (stream.id & 2) === 0;
    if (this.#ended) return;
    if (bidirectional && this.transport.side === "server" && this.#control === undefined) {
      this.#takeControl(stream);
      this.#readControl();
    } else if (bidirectional || this.#waiting.length + this.#incoming.size >= peerLanesMax) {
      // Threat: streams by the thousand, each with an inbox. The engine's own limit is a setting; this one holds anyway.
      this.#broken(new MeshError("PROTOCOL", "a stream beyond control and lanes"));
    } else if (this.#link === undefined) this.#waiting.push(stream);
    else this.#openIncoming(stream);
  }

  #openIncoming(stream: QuicStream): void {
    const link = this.#link;
    if (link === undefined || this.#ended) return;
    const { buffers, streamNumber } = this.#setup;
    const incoming = new Incoming(streamNumber(), stream, link, this, this.#turns, buffers, this.#clock);
    this.#incoming.set(incoming.number, incoming);
    // In the next turn: whoever made this link is still being told that it is up.
    this.#turns.wait(incoming);
  }

  #openControl(): void {
    const control = this.transport.openStream({ bidirectional: true, priority: controlPriority });
    if (control === undefined) this.end({ code: "protocol", reason: "the peer allows no stream" });
    else this.#takeControl(control);
  }

  /** What was said as early data is lost, with its stream. */
  #onEarlyRejected(): void {
    if (this.#ended || this.transport.side === "server") return;
    this.#openControl();
    this.#handshake.handle({ type: "restart" }, this.#clock());
    this.#afterHandshakeInput();
  }

  #takeControl(stream: QuicStream): void {
    this.#control = stream;
    stream.setPriority(controlPriority);
    stream.onReadable = () => this.#readControl();
    stream.onReset = () => this.#broken(new MeshError("PROTOCOL", "the peer reset the control stream"));
  }

  #readControl(): void {
    const control = this.#control;
    if (control === undefined || this.#ended) return;
    const now = this.#clock();
    try {
      for (let chunk = control.read(); chunk !== undefined && !this.#ended; chunk = control.read()) {
        this.#handshakeInbox.feed(chunk);
        this.#readControlFrames(now);
      }
    } catch (error) {
      this.#broken(error);
    }
    if (!control.readEnded || this.#ended) return;
    if (this.#link !== undefined) this.#tell({ type: "peerLeaves" });
    else if (this.#peer === undefined) {
      this.#broken(new MeshError("PROTOCOL", "the control stream ended during the handshake"));
    }
  }

  #readControlFrames(now: Instant): void {
    for (;;) {
      const frame = this.#ended ? undefined : this.#handshakeInbox.next(now);
      if (frame === undefined) return;
      if (frame.type !== frameType.handshake || this.#peer !== undefined) {
        throw new MeshError("PROTOCOL", `a frame of type ${frame.type} has no place on the control stream`);
      }
      this.#handshake.handle({ type: "message", payload: frame.payload }, now);
      this.#afterHandshakeInput();
    }
  }

  #onEstablished(): void {
    if (this.#ended) return;
    try {
      const { peerNodeId: nodeId, peerPublicKey: publicKey } = this.transport;
      this.#user.onEstablished(this);
      this.#handshake.handle({ type: "established", peer: { nodeId, publicKey } }, this.#clock());
    } catch (error) {
      this.#broken(error);
      return;
    }
    this.#afterHandshakeInput();
  }

  #onTransportClosed(error: Error | undefined): void {
    if (this.#ended) return;
    const said = this.transport.applicationClose;
    if (said === undefined) this.end(closingOf(error), error);
    else this.end({ code: closeCodeName(said.code) ?? "protocol", reason: said.reason });
  }

  #broken(error: unknown): void {
    if (this.#link !== undefined) this.#tell({ type: "broken", error });
    else if (!this.#ended)
      this.end(error instanceof MeshError ? endingOf(error) : unexpected(error), toError(error));
  }

  #afterHandshakeInput(): void {
    for (let output = this.#handshake.poll(); output !== undefined; output = this.#handshake.poll()) {
      this.#onHandshakeOutput(output);
    }
    this.#user.onTouched(this);
  }

  #onHandshakeOutput(output: HandshakeOutput): void {
    if (this.#ended) return;
    switch (output.type) {
      case "send": {
        const bytes = encodeFrame(frameType.handshake, output.payload);
        // A handshake fits any window: an engine that does not take it whole is of no use.
        if (this.#control?.write(bytes) !== bytes.length) {
          this.end({ code: "protocol", reason: "the handshake did not fit the window" });
        }
        break;
      }
      case "introduced":
        this.#user.onIntroduced(this, output.peer, output.early);
        break;
      case "complete":
        this.#peer = output.peer;
        this.#user.onComplete(this, output.peer);
        break;
      case "fail":
        this.end(output.ending);
        break;
      default:
        output satisfies never;
    }
  }

  #tell(input: Parameters<Link["handle"]>[0]): void {
    if (this.#link === undefined || this.#ended) return;
    this.#link.handle(input, this.#clock());
    this.#afterLinkInput();
  }

  #afterLinkInput(): void {
    const link = this.#link;
    if (link === undefined) return;
    for (let output = link.poll(); output !== undefined; output = link.poll()) this.#onLinkOutput(output);
    this.#user.onTouched(this);
  }

  /** Control comes last: its end must not overtake a lane that the peer has never heard of, and so would not wait for. */
  async #finish(): Promise<void> {
    await this.#outgoing?.finish();
    this.#control?.finish();
  }

  #onLinkOutput(output: LinkOutput): void {
    if (this.#ended) return;
    switch (output.type) {
      case "datagram":
        // A full datagram queue loses this one, as the network might have.
        this.transport.sendDatagram(output.bytes);
        break;
      case "answered":
        this.#user.onAnswered(this, output.rttMs);
        break;
      case "finish":
        void this.#finish();
        break;
      case "close":
        this.end(output.ending);
        break;
      default:
        output satisfies never;
    }
  }
}

/**
 * The listener waits longer before it asks: so one question serves both sides, the dialler's, and they never ask at the
 * same time.
 */
function heartbeatsOf(side: "client" | "server", options: Required<LinkOptions>): Required<LinkOptions> {
  if (side === "client") return options;
  return { ...options, heartbeatIntervalMs: options.heartbeatIntervalMs * 1.125 };
}

const closeNames: Readonly<Partial<Record<string, CloseCodeName>>> = {
  TIMEOUT: "timeout",
  REFUSED: "overloaded",
  WRONG_REALM: "not_in_realm",
  CERTIFICATE_EXPIRED: "not_in_realm",
  REVOKED: "not_in_realm",
  WRONG_NODE: "wrong_node",
};

/** How the engine's reason for the end of a connection counts here. */
export function closingOf(error: Error | undefined): Ending {
  if (!(error instanceof MeshError)) return { code: "goodbye", reason: error?.message ?? "closed" };
  return { code: closeNames[error.code] ?? "protocol", reason: error.message };
}

function unexpected(error: unknown): Ending {
  return { code: "protocol", reason: toError(error).message };
}
