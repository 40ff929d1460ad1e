import { MeshError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import type { Random } from "../../base/random.ts";
import type { Instant } from "../../base/time.ts";
import { Session, type SessionInput, type SessionOutput } from "../../session/index.ts";
import { type Frame, frameType, Inbox, ReassemblyBudget } from "../../wire/index.ts";
import type { LinkCounters } from "./counters.ts";
import type { MeshPort } from "./mesh-port.ts";
import type { Peer, Peers } from "./peers.ts";

/** What a channel is given at a time, below the 64 KiB that a message may have. */
const chunkBytes = 48 << 10;
/** What waits in a channel from which on nothing more is given to it: the rest stays in the lanes, which tell their senders. */
const channelBytesMax = 512 << 10;
/** Signals within a weighing from which on a link is worth while; and down to an eighth of it, so that links do not come and go. */
const heavySignals = 64;
/** Bytes that wait from which on the same. */
const heavyBytes = 64 << 10;

/** Nodes that are still to be told that their session is over. */
const noticesMax = 4_096;

export interface SessionsSetup {
  /** Of this node. */
  readonly creation: number;
  readonly random: Random;
  readonly clock: () => Instant;
  readonly peers: Peers;
  readonly counters: LinkCounters;
  readonly mesh: () => MeshPort | undefined;
  /** The session with the peer begins. `creation`: its life. */
  readonly onUp: (peer: Peer, creation: number) => void;
  /** It is over: what was queued is gone. */
  readonly onDown: (peer: Peer) => void;
  /** Nothing came of what it sent. */
  readonly onIdle: (peer: Peer) => void;
  /** A signal that came by a channel. @throws MeshError when it is none. */
  readonly onSignal: (peer: Peer, frame: Frame, now: Instant) => void;
}

interface Incoming {
  readonly inboxes: Map<number, Inbox>;
  readonly budget: ReassemblyBudget;
}

/**
 * The sessions with other nodes (`src/session`): carries out what they decide, and brings what is in a peer's lanes to it by a
 * channel while there is no link that takes it.
 *
 * A channel carries the bytes of lanes as a link's streams do, so that everything of `wire` holds for both: order, fragments, bounds.
 */
export class Sessions {
  readonly #setup: SessionsSetup;
  readonly #incoming = new Map<Peer, Incoming>();
  /** Their channels are full. */
  readonly #blocked = new Set<Peer>();
  /** For nodes that were given up: they may live, and hold the session for up. */
  readonly #notices = new Map<NodeId, Uint8Array>();

  constructor(setup: SessionsSetup) {
    this.#setup = setup;
  }

  /** The session with the peer, from now on. */
  of(peer: Peer): Session {
    peer.session ??= new Session(this.#setup.creation, this.#setup.random);
    return peer.session;
  }

  tell(peer: Peer, input: SessionInput): void {
    const session = this.of(peer);
    const { malformed } = session;
    session.handle(input);
    this.#setup.counters.malformedSessions += session.malformed - malformed;
    for (let output = session.poll(); output !== undefined; output = session.poll())
      this.#carryOut(peer, output);
  }

  /** There is a link with the peer. What was given to a channel or waits for one goes that way to its end. */
  onLinkUp(peer: Peer, plain: { readonly creation: number } | undefined): void {
    if (peer.routed && peer.lanes.queuedBytes > 0 && peer.draining === undefined)
      peer.draining = this.#setup.peers.swapLanes(peer);
    peer.routed = false;
    this.tell(peer, plain === undefined ? { type: "linkUp" } : { type: "linkUp", plain });
  }

  /** From now on what is sent to the peer, which is `id`, goes through the mesh. */
  route(peer: Peer, id: NodeId): void {
    if (peer.nodeId !== id) {
      // Another node has the name now.
      if (peer.nodeId !== undefined) this.tell(peer, { type: "memberDown" });
      peer.session = undefined;
      this.#setup.peers.identify(peer, id);
    }
    this.of(peer);
    peer.routed = true;
    this.#setup.peers.flushLater(peer);
  }

  /** Asks a peer that is reached through the mesh to begin a session. */
  greet(peer: Peer): void {
    this.#send(peer, this.of(peer).hello());
  }

  /** A message by the channel from `id`. */
  onMessage(id: NodeId, payload: Uint8Array): void {
    const { peers } = this.#setup;
    let peer = peers.findById(id);
    if (peer === undefined) {
      const name = this.#setup.mesh()?.nameOf(id);
      if (name === undefined) return;
      peer = peers.get(name);
      const isFree = peer.nodeId === undefined || (peer.connection === undefined && this.#has(id, name));
      // Two nodes of one name: the one that has it keeps it. It may have passed to another, which was made anew.
      if (!isFree) return;
      if (peer.connection === undefined) this.route(peer, id);
      else peers.identify(peer, id);
    }
    this.tell(peer, { type: "message", payload });
    // Threat: members that come and go, and leave something here each time by a message that is none.
    if (this.of(peer).isIdle) this.#setup.onIdle(peer);
  }

  onSettled(id: NodeId): void {
    const peer = this.#setup.peers.findById(id);
    if (peer === undefined) return;
    if (peer.draining !== undefined && peer.draining.queuedBytes > 0) {
      this.#setup.peers.flushLater(peer);
      return;
    }
    peer.draining = undefined;
    this.tell(peer, { type: "settled" });
  }

  /** Something of what was sent to it by a channel, under this token, is lost. */
  onLost(id: NodeId, token: number): void {
    const peer = this.#setup.peers.findById(id);
    if (peer?.session !== undefined) this.tell(peer, { type: "lost", number: token });
  }

  onMemberDown(id: NodeId): void {
    const peer = this.#setup.peers.findById(id);
    // It may be back before the link is silent for long enough: what is sent to it then must not take the link to its former life.
    peer?.connection?.doubt();
    if (peer?.session === undefined) return;
    const { isUp } = peer.session;
    this.tell(peer, { type: "memberDown" });
    const notice = isUp && !peer.session.isUp ? peer.session.notice() : undefined;
    if (notice === undefined) return;
    const [oldest] = this.#notices.size >= noticesMax ? this.#notices.keys() : [];
    if (oldest !== undefined) this.#notices.delete(oldest);
    this.#notices.set(id, notice);
  }

  /** It lives after all. Else a monitor that it has here, and that we have dropped, would never be answered. */
  onMemberUp(id: NodeId): void {
    const notice = this.#notices.get(id);
    if (notice === undefined) return;
    this.#notices.delete(id);
    this.#setup.mesh()?.send(id, notice, 0);
  }

  /** Channels may have room again. */
  onProgress(): void {
    for (const peer of this.#blocked) {
      if (this.#isFull(peer)) continue;
      this.#blocked.delete(peer);
      this.#setup.peers.flushLater(peer);
    }
  }

  /** Gives the channel what waits for it, as far as it takes it. */
  flush(peer: Peer): void {
    const mesh = this.#setup.mesh();
    if (mesh === undefined || peer.nodeId === undefined) return;
    const holder = peer.routed && peer.connection === undefined ? mesh.idOf(peer.name) : undefined;
    if (holder !== undefined && holder !== peer.nodeId) this.route(peer, holder);
    const { nodeId, session } = peer;
    if (session === undefined) return;
    this.#weighNow(peer, nodeId, mesh);
    for (;;) {
      const lanes = peer.draining ?? (peer.routed && peer.connection === undefined ? peer.lanes : undefined);
      if (lanes === undefined || !lanes.pending) return;
      if (this.#isFull(peer)) {
        this.#blocked.add(peer);
        return;
      }
      const lane = lanes.nextDirty() as number;
      const bytes = lanes.take(lane, chunkBytes);
      if (bytes === undefined) continue;
      this.#send(peer, session.message(lane, bytes));
      lanes.again(lane);
    }
  }

  /** Every ten seconds: which peers have so much traffic that a link should stay, or be made; and who owes the rest of a message. */
  weigh(): void {
    const mesh = this.#setup.mesh();
    this.#expireHalfMessages(this.#setup.clock());
    for (const peer of this.#setup.peers.all()) {
      const { nodeId, sent, held } = peer;
      peer.sent = 0;
      if (mesh === undefined || nodeId === undefined) continue;
      if (held ? sent * 8 >= heavySignals : sent < heavySignals) continue;
      peer.held = !held;
      mesh.hold(nodeId, peer.held);
    }
  }

  /** The peer is forgotten. */
  forget(peer: Peer): void {
    this.#closeIncoming(peer);
    this.#blocked.delete(peer);
    if (peer.held && peer.nodeId !== undefined) this.#setup.mesh()?.hold(peer.nodeId, false);
    peer.held = false;
  }

  /** Whether the name is this member's. */
  #has(id: NodeId, name: string): boolean {
    return this.#setup.mesh()?.idOf(name) === id;
  }

  #send(peer: Peer, message: Uint8Array): void {
    if (peer.nodeId !== undefined) this.#setup.mesh()?.send(peer.nodeId, message, this.of(peer).number);
  }

  #weighNow(peer: Peer, id: NodeId, mesh: MeshPort): void {
    if (peer.held || (peer.sent < heavySignals && peer.lanes.queuedBytes < heavyBytes)) return;
    peer.held = true;
    mesh.hold(id, true);
  }

  #isFull({ nodeId }: Peer): boolean {
    return nodeId !== undefined && (this.#setup.mesh()?.waitingBytes(nodeId) ?? 0) >= channelBytesMax;
  }

  #carryOut(peer: Peer, output: SessionOutput): void {
    switch (output.type) {
      case "greet":
        peer.connection?.greet(output.payload);
        break;
      case "answer":
        this.#send(peer, output.message);
        break;
      case "useLink":
        if (peer.leaving !== undefined) break;
        peer.usesLink = true;
        peer.connection?.use(peer.lanes);
        break;
      case "readLink":
        peer.connection?.read();
        break;
      case "endLink":
        peer.connection?.end({ code: "replaced", reason: "the nodes have begun anew" });
        break;
      case "up":
        this.#setup.onUp(peer, output.creation);
        break;
      case "down":
        this.#onDown(peer);
        break;
      case "deliver":
        this.#onDeliver(peer, output.lane, output.bytes);
        break;
      default:
        output satisfies never;
    }
  }

  #onDown(peer: Peer): void {
    this.#closeIncoming(peer);
    this.#blocked.delete(peer);
    // What was sent after `disconnect` is for the next session.
    if (peer.leaving !== "disconnected") this.#setup.peers.drop(peer);
    // Whoever had enough of this session's messages has none of the next one's.
    if (peer.nodeId !== undefined) this.#setup.mesh()?.pause(peer.nodeId, false);
    this.#setup.onDown(peer);
  }

  #onDeliver(peer: Peer, lane: number, bytes: Uint8Array): void {
    const incoming = this.#incoming.get(peer) ?? { inboxes: new Map(), budget: new ReassemblyBudget() };
    this.#incoming.set(peer, incoming);
    const inbox = incoming.inboxes.get(lane) ?? new Inbox({ budget: incoming.budget });
    incoming.inboxes.set(lane, inbox);
    const now = this.#setup.clock();
    try {
      inbox.feed(bytes);
      for (let frame = inbox.next(now); frame !== undefined; frame = inbox.next(now)) {
        if (frame.type < frameType.send || frame.type > frameType.spawnReply)
          throw new MeshError("PROTOCOL", `a frame of type ${frame.type} in a channel`);
        this.#setup.onSignal(peer, frame, now);
        // The session may have ended over what the signal led to.
        if (this.#incoming.get(peer) !== incoming) return;
      }
    } catch (error) {
      this.#onBroken(peer, error);
    }
  }

  /** As a link does with its inboxes. */
  #expireHalfMessages(now: Instant): void {
    for (const [peer, { inboxes }] of this.#incoming) {
      try {
        for (const inbox of inboxes.values()) inbox.expire(now);
      } catch (error) {
        this.#onBroken(peer, error);
      }
    }
  }

  /** The peer's fault: what it says cannot be followed any more, so all that was between us is over. */
  #onBroken(peer: Peer, error: unknown): void {
    if (!(error instanceof MeshError)) throw error;
    this.tell(peer, { type: "lost", number: this.of(peer).number });
  }

  #closeIncoming(peer: Peer): void {
    for (const inbox of this.#incoming.get(peer)?.inboxes.values() ?? []) inbox.close();
    this.#incoming.delete(peer);
  }
}
