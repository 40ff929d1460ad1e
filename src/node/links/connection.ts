import { MeshError, toError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { earliest, type Instant } from "../../base/time.ts";
import type { QuicConnection, QuicStream } from "../../io/quic/index.ts";
import {
  type ConnectionNumber,
  closeCode,
  closeCodeName,
  decodeRetire,
  type Ending,
  encodeRetire,
  endingOf,
  type Handshake,
  type HandshakeOutput,
  type Introduction,
  type Lanes,
  Link,
  type LinkOptions,
  type LinkOutput,
  peerLanesMax,
  wireReason,
} from "../../link/index.ts";
import { type Frame, frameType } from "../../wire/index.ts";
import type { ConnectionSetup, ConnectionUser } from "./connection-user.ts";
import { Control } from "./control.ts";
import { closingOf, unexpected } from "./endings.ts";
import { Incoming, type IncomingUser } from "./incoming.ts";
import { MeshLanes } from "./mesh-lanes.ts";
import { Outgoing } from "./outgoing.ts";
import { ReadTurns } from "./read-turns.ts";

/** What both ends must be able to do for the mesh to use a link. */
export const meshCapability = "mesh";

/** One QUIC connection with a peer: runs its handshake, then its link. */
export class LinkConnection implements IncomingUser {
  readonly number: ConnectionNumber;
  readonly transport: QuicConnection;
  readonly #setup: ConnectionSetup;
  readonly #handshake: Handshake;
  readonly #user: ConnectionUser;
  readonly #clock: () => Instant;
  readonly #control: Control;
  /** Streams that came before they may be read: so the engine's window bounds them. */
  #waiting: QuicStream[] = [];
  readonly #incoming = new Map<number, Incoming>();
  readonly #turns: ReadTurns;
  #link: Link | undefined;
  /** Of the mesh, and of the processes. */
  readonly #outgoing: Outgoing[] = [];
  #mesh: MeshLanes | undefined;
  #peer: Introduction | undefined;
  #reads = false;
  #ended = false;

  constructor(setup: ConnectionSetup) {
    this.#setup = setup;
    this.number = setup.number;
    this.transport = setup.transport;
    this.#handshake = setup.handshake;
    this.#user = setup.user;
    this.#clock = setup.clock;
    this.#turns = new ReadTurns(setup.options.turnFrameBudget, () => this.#user.onMore(this));
    this.#control = new Control(
      {
        // What comes behind the handshake is for the link, which may not be open yet.
        mayRead: () => !this.#ended && (this.#peer === undefined || this.#link !== undefined),
        onFrame: (frame, now) => this.#onControlFrame(frame, now),
        onEnd: () => this.#onControlEnd(),
        onBroken: (error) => this.#broken(error),
      },
      setup.clock,
    );
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

  /** Whether the mesh may use the link: both ends speak of it. */
  get isOfMesh(): boolean {
    const { capabilities } = this.#setup.options;
    return [capabilities, this.#peer?.capabilities].every((each) => each?.includes(meshCapability));
  }

  /** Makes the proven connection a link; `use` and `read` let the processes have it. */
  open(): Link {
    const options = heartbeatsOf(this.transport.side, this.#setup.options);
    const queuedBytes = (): number => this.#outgoing.reduce((sum, each) => sum + each.queuedBytes, 0);
    const link = new Link(options, queuedBytes, this.#clock());
    this.#link = link;
    this.transport.onStreamsAvailable = () => {
      for (const outgoing of this.#outgoing) outgoing.onStreamsAvailable();
      this.#user.onFlushable(this);
    };
    if (this.isOfMesh) {
      this.#mesh = new MeshLanes(this.#setup.buffers);
      this.#addOutgoing(this.#mesh.lanes);
    }
    // Only now: a question that overtook the end of the handshake has waited in the engine.
    this.transport.onDatagram = (bytes) => this.#tell({ type: "datagram", bytes });
    this.#user.onTouched(this);
    return link;
  }

  /** From now on sends what is in `lanes`. */
  use(lanes: Lanes): void {
    this.#addOutgoing(lanes);
    this.#user.onFlushable(this);
  }

  /** Reads the peer's lanes. */
  read(): void {
    this.#reads = true;
    this.#tell({ type: "inSession" });
    for (const stream of this.#waiting.splice(0)) this.#openIncoming(stream);
  }

  /** What came behind the handshake on the control stream. */
  readControl(): void {
    this.#control.read();
  }

  /** SESSION. */
  greet(payload: Uint8Array): void {
    this.#say(frameType.session, payload);
  }

  /** A frame of the mesh, in order and once. False from the moment on at which no more should be forwarded by the link. */
  sendMesh(type: number, payload: Uint8Array): boolean {
    if (this.#mesh === undefined || this.#link?.open !== true) return true;
    const below = this.#mesh.send(type, payload);
    this.#user.onFlushable(this);
    return below;
  }

  /** A datagram, which may be lost. */
  sendDatagram(bytes: Uint8Array): void {
    if (!this.#ended && this.#mesh !== undefined) this.transport.sendDatagram(bytes);
  }

  /** Writes what waits in the lanes. */
  flush(): void {
    for (const outgoing of this.#outgoing) outgoing.flush();
    if (this.#mesh?.drained() === true) this.#user.onMeshReady(this);
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

  /** Others hold the peer for dead: it gets one interval of the heartbeats for a sign of life. */
  doubt(): void {
    this.#tell({ type: "doubt" });
  }

  /** Ends the link in order. */
  leave(reason: string): void {
    if (this.#link === undefined) this.end({ code: "goodbye", reason });
    else this.#tell({ type: "leave", reason });
  }

  /** Ends the link so that nothing is lost either way. */
  retire(): void {
    this.#tell({ type: "retire" });
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
    this.#control.close();
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
    if (this.#mesh !== undefined && type >= frameType.probe && type < firstFreeType) {
      this.#user.onMeshFrame(this, frame, now);
      return !this.#ended;
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
    if (bidirectional && this.transport.side === "server" && !this.#control.isOpen) {
      this.#control.take(stream);
      this.#control.read();
    } else if (bidirectional || this.#waiting.length + this.#incoming.size >= peerLanesMax) {
      // Threat: streams by the thousand, each with an inbox. The engine's own limit is a setting; this one holds anyway.
      this.#broken(new MeshError("PROTOCOL", "a stream beyond control and lanes"));
    } else if (this.#reads) this.#openIncoming(stream);
    else this.#waiting.push(stream);
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

  #addOutgoing(lanes: Lanes): void {
    const refused = (): void => this.#broken(new MeshError("PROTOCOL", "the peer refused a stream"));
    this.#outgoing.push(new Outgoing(this.transport, lanes, () => this.#user.onFlushable(this), refused));
  }

  #openControl(): void {
    if (!this.#control.open(this.transport))
      this.end({ code: "protocol", reason: "the peer allows no stream" });
  }

  #say(type: number, payload: Uint8Array): void {
    if (this.#ended || this.#control.write(type, payload)) return;
    this.end({ code: "protocol", reason: "what was to be said did not fit the window" });
  }

  /** What was said as early data is lost, with its stream. */
  #onEarlyRejected(): void {
    if (this.#ended || this.transport.side === "server") return;
    this.#openControl();
    this.#handshake.handle({ type: "restart" }, this.#clock());
    this.#afterHandshakeInput();
  }

  #onControlFrame({ type, payload }: Frame, now: Instant): void {
    if (type === frameType.handshake && this.#peer === undefined) {
      this.#handshake.handle({ type: "message", payload }, now);
      this.#afterHandshakeInput();
    } else if (type === frameType.session && this.#mesh !== undefined) {
      this.#user.onGreeting(this, payload);
    } else if (type === frameType.retire && this.#mesh !== undefined) {
      this.#tell({ type: "peerRetires", readAll: decodeRetire(payload) });
    } else throw new MeshError("PROTOCOL", `a frame of type ${type} has no place on the control stream`);
  }

  #onControlEnd(): void {
    if (this.#link !== undefined) this.#tell({ type: "peerLeaves" });
    else if (this.#peer === undefined) {
      this.#broken(new MeshError("PROTOCOL", "the control stream ended during the handshake"));
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
      case "send":
        this.#say(frameType.handshake, output.payload);
        break;
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
  async #finish(retire: { readonly readAll: boolean } | undefined): Promise<void> {
    await Promise.all(this.#outgoing.map((outgoing) => outgoing.finish()));
    if (this.#ended) return;
    if (retire !== undefined) this.#say(frameType.retire, encodeRetire(retire.readAll));
    this.#control.finish();
  }

  #onLinkOutput(output: LinkOutput): void {
    if (this.#ended) return;
    switch (output.type) {
      case "datagram":
        // A full datagram queue loses this one, as the network might have.
        this.transport.sendDatagram(output.bytes);
        break;
      case "received":
        if (this.#mesh !== undefined) this.#user.onMeshDatagram(this, output.frameType, output.payload);
        break;
      case "retiring":
        this.#user.onRetiring(this);
        break;
      case "answered":
        this.#user.onAnswered(this, output.rttMs);
        break;
      case "finish":
        void this.#finish(output.retire);
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

/** Types from here on are no business of the mesh. */
const firstFreeType = 0x40;
