import { equal } from "../base/bytes.ts";
import { toError } from "../base/errors.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import {
  type ChannelPacket,
  channelBytes,
  decodeChannelPacket,
  encodeChannelPacket,
  type SealedPacket,
} from "./channel-packets.ts";
import { decodeFence, encodeFence, type Fence } from "./fence.ts";
import { Incoming, type ReorderBudget } from "./incoming.ts";
import type { ChannelsOptions } from "./options.ts";
import { Outgoing, type Waiting } from "./outgoing.ts";
import type { FailureReason } from "./packet.ts";
import { Rates } from "./rates.ts";
import type { SealCrypto } from "./seal-crypto.ts";

export type ChannelsInput =
  /** For the process side of node `to`. `token` names it in `lost` and `refused`. */
  | { readonly type: "send"; readonly to: NodeId; readonly token: number; readonly message: Uint8Array }
  /** A packet of protocol `channel` for this node. */
  | { readonly type: "packet"; readonly source: NodeId; readonly via: NodeId; readonly payload: Uint8Array }
  | {
      readonly type: "undeliverable";
      readonly target: NodeId;
      readonly reason: FailureReason;
      readonly mark: Uint8Array;
    }
  | { readonly type: "linkUp"; readonly id: NodeId }
  /** The link is gone, and all that came by it has been read. */
  | { readonly type: "linkDown"; readonly id: NodeId }
  /** FENCE over the link to `from`. */
  | { readonly type: "fence"; readonly from: NodeId; readonly payload: Uint8Array }
  /** The receiver of what `from` sends wants no more for the time being, or does again. */
  | { readonly type: "pause"; readonly from: NodeId; readonly paused: boolean }
  /** The member is dead: nothing for it needs to be tried any more. */
  | { readonly type: "memberDown"; readonly id: NodeId }
  | { readonly type: "tick" };

export type ChannelsOutput =
  /** Hand to the forwarder, protocol `channel`. */
  | { readonly type: "packet"; readonly to: NodeId; readonly payload: Uint8Array; readonly variant: number }
  /** A message from `from`, which is proven, in order. */
  | { readonly type: "deliver"; readonly from: NodeId; readonly message: Uint8Array }
  /** Send over the link, in this order. */
  | { readonly type: "direct"; readonly to: NodeId; readonly message: Uint8Array }
  | { readonly type: "fence"; readonly to: NodeId; readonly payload: Uint8Array }
  /** Not delivered as far as we know. In the order in which they were sent. */
  | { readonly type: "lost"; readonly to: NodeId; readonly token: number; readonly reason: "no_route" }
  /** Too much waits for `to`, or the message is too long. */
  | { readonly type: "refused"; readonly to: NodeId; readonly token: number }
  /** So much is sent to `to` that a link is worth while; or no longer. */
  | { readonly type: "wantLink"; readonly to: NodeId; readonly wanted: boolean };

/** How messages get to a node. */
interface Peer {
  readonly id: NodeId;
  linked: boolean;
  outgoing: Outgoing | undefined;
  /** There is a link, and what was sent before is not settled: what comes after waits here. */
  readonly held: Queue<Waiting>;
  heldBytes: number;
  /** FENCE was sent and is not answered. */
  fence: number | undefined;
  paused: boolean;
  /** Incoming channels: the one in use, and one that is not proven. */
  active: Incoming | undefined;
  pending: Incoming | undefined;
  sentLately: number;
  linkWanted: boolean;
}

/** How often channels are looked at while messages are under way, and while none are. */
const pulseMs = 50;
const idlePulseMs = 1_000;
const trafficMs = 10_000;

/**
 * Messages between nodes, each once and in order, with or without a link between them.
 *
 * Without a link they go through the forwarder, sealed for the receiver alone, on a channel for each direction: numbered,
 * acknowledged, sent again by other ways, put in order. With a link they go over it.
 *
 * When a link comes up, what is sent from then on waits until all that is under way was delivered or is given up. Then FENCE
 * goes over the link: the receiver drops what the channel may still bring, and says so; only then the messages that
 * waited take the link. So nothing overtakes and nothing comes late. When the link goes down, a new channel is opened; the
 * other end does not answer before it has lost the link, too, and read what came by it.
 */
export class Channels implements Machine<ChannelsInput, ChannelsOutput> {
  readonly #options: Required<ChannelsOptions>;
  readonly #crypto: SealCrypto;
  readonly #random: Random;
  readonly #outputs = new Queue<ChannelsOutput>();
  readonly #timers = new Timers<"pulse" | "traffic">();
  readonly #peers = new Map<NodeId, Peer>();
  readonly #agreements: Rates;
  readonly #budget: ReorderBudget;
  #incoming = 0;
  #busy = false;
  readonly #counters = { malformed: 0, forged: 0, replayed: 0, limited: 0, unknown: 0, early: 0 };

  constructor(options: Required<ChannelsOptions>, crypto: SealCrypto, random: Random) {
    this.#options = options;
    this.#crypto = crypto;
    this.#random = random;
    this.#agreements = new Rates(options.agreementsPerSecond);
    this.#budget = { usedBytes: 0, mostBytes: options.reorderBytesMax };
  }

  /** What was not accepted, so far. `early`: OPEN while there is a link; `unknown`: of no channel; `limited`: too many. */
  get counters(): Readonly<
    Record<"malformed" | "forged" | "replayed" | "limited" | "unknown" | "early", number>
  > {
    return this.#counters;
  }

  /** Channels from others, and bytes that wait in them. */
  get sizes(): { readonly incoming: number; readonly reorderBytes: number; readonly peers: number } {
    return { incoming: this.#incoming, reorderBytes: this.#budget.usedBytes, peers: this.#peers.size };
  }

  /** Bytes that wait for `to`: what tells a sender to slow down. */
  waitingBytes(to: NodeId): number {
    const peer = this.#peers.get(to);
    return peer === undefined ? 0 : peer.heldBytes + (peer.outgoing?.bytes ?? 0);
  }

  handle(input: ChannelsInput, now: Instant): void {
    switch (input.type) {
      case "send":
        this.#onSend(input.to, input, now);
        this.#watch(input.to, now);
        break;
      case "packet":
        this.#onPacket(input.source, input.via, input.payload, now);
        this.#watch(input.source, now);
        break;
      case "undeliverable":
        this.#peers.get(input.target)?.outgoing?.onFailure(input.reason, input.mark, now);
        break;
      case "linkUp":
        this.#onLinkUp(this.#peer(input.id));
        break;
      case "linkDown":
        this.#onLinkDown(input.id, now);
        this.#watch(input.id, now);
        break;
      case "fence":
        this.#onFence(input.from, input.payload);
        break;
      case "pause":
        this.#onPause(this.#peer(input.from), input.paused);
        break;
      case "memberDown":
        this.#onMemberDown(input.id);
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): ChannelsOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#timers.deadline();
  }

  #onSend(to: NodeId, { token, message }: Waiting, now: Instant): void {
    const peer = this.#peer(to);
    const full = this.waitingBytes(to) + message.length > this.#options.queueBytesMax;
    if (full || message.length > this.#options.messageBytesMax) {
      this.#outputs.push({ type: "refused", to, token });
      return;
    }
    this.#countTraffic(peer);
    if (peer.linked && peer.outgoing === undefined && peer.fence === undefined) {
      this.#outputs.push({ type: "direct", to, message });
    } else if (peer.linked) {
      peer.held.push({ token, message });
      peer.heldBytes += message.length;
    } else {
      peer.outgoing ??= this.#open(to, now);
      peer.outgoing.push({ token, message }, now);
    }
  }

  #open(to: NodeId, now: Instant): Outgoing {
    const channel = this.#random.bytes(channelBytes);
    const emit = (payload: Uint8Array, variant: number): void => {
      this.#outputs.push({ type: "packet", to, payload, variant });
    };
    return new Outgoing(to, channel, this.#crypto, this.#options, emit, now);
  }

  // The hand-over.

  #onLinkUp(peer: Peer): void {
    peer.linked = true;
    if (peer.outgoing?.opened === false) {
      // Nothing has left yet, and the other end may not answer any more.
      for (const { message } of peer.outgoing.remains())
        this.#outputs.push({ type: "direct", to: peer.id, message });
      peer.outgoing = undefined;
    }
    this.#settle(peer);
  }

  /** Once nothing is under way on the channel, its end is told over the link. */
  #settle(peer: Peer): void {
    if (!peer.linked || peer.outgoing === undefined || !peer.outgoing.idle) return;
    peer.outgoing = undefined;
    peer.fence = this.#random.u32();
    this.#outputs.push({
      type: "fence",
      to: peer.id,
      payload: encodeFence({ type: "fence", token: peer.fence }),
    });
  }

  #onLinkDown(id: NodeId, now: Instant): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.linked = false;
    // The other end may have closed the channel that was fenced off: what waits takes a new one.
    peer.fence = undefined;
    for (let waiting = peer.held.shift(); waiting !== undefined; waiting = peer.held.shift()) {
      peer.outgoing ??= this.#open(id, now);
      peer.outgoing.push(waiting, now);
    }
    peer.heldBytes = 0;
    this.#forgetUnused(peer);
  }

  #onFence(from: NodeId, payload: Uint8Array): void {
    let fence: Fence;
    try {
      fence = decodeFence(payload);
    } catch {
      this.#counters.malformed++;
      return;
    }
    const peer = this.#peer(from);
    if (fence.type === "fence") {
      // What it holds was acknowledged or given up by its sender; what could be delivered was.
      this.#close(peer);
      this.#outputs.push({ type: "fence", to: from, payload: encodeFence({ ...fence, type: "fenced" }) });
      return;
    }
    if (fence.token !== peer.fence) return;
    peer.fence = undefined;
    for (let waiting = peer.held.shift(); waiting !== undefined; waiting = peer.held.shift()) {
      this.#outputs.push({ type: "direct", to: from, message: waiting.message });
    }
    peer.heldBytes = 0;
  }

  #onMemberDown(id: NodeId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#giveUp(peer);
    for (let waiting = peer.held.shift(); waiting !== undefined; waiting = peer.held.shift()) {
      this.#outputs.push({ type: "lost", to: id, token: waiting.token, reason: "no_route" });
    }
    peer.heldBytes = 0;
    peer.fence = undefined;
    this.#close(peer);
    if (!peer.linked) this.#peers.delete(id);
  }

  #giveUp(peer: Peer): void {
    for (const { token } of peer.outgoing?.remains() ?? []) {
      this.#outputs.push({ type: "lost", to: peer.id, token, reason: "no_route" });
    }
    if (!peer.linked) peer.outgoing = undefined;
  }

  // Packets.

  #onPacket(source: NodeId, via: NodeId, payload: Uint8Array, now: Instant): void {
    let packet: ChannelPacket;
    try {
      packet = decodeChannelPacket(payload);
    } catch {
      this.#counters.malformed++;
      return;
    }
    if (packet.type === "open") this.#onOpen(source, via, packet, now);
    else if (packet.type === "accept" || packet.type === "ack") this.#onReply(source, via, packet, now);
    else this.#onMessage(source, via, packet, now);
  }

  #onOpen(source: NodeId, via: NodeId, packet: Extract<ChannelPacket, { type: "open" }>, now: Instant): void {
    if (this.#crypto.nodeIdOf(packet.point) !== source) {
      this.#counters.forged++;
      return;
    }
    const known = this.#peers.get(source);
    if (known?.linked === true) {
      // It has lost a link that we have not: what came by it is read first. It will ask again.
      this.#counters.early++;
      return;
    }
    const open = encodeChannelPacket(packet);
    for (const incoming of [known?.pending, known?.active]) {
      if (incoming === undefined || !equal(incoming.open, open)) continue;
      this.#outputs.push({ type: "packet", to: source, payload: incoming.accept, variant: 0 });
      return;
    }
    if (this.#incoming >= this.#options.incomingMax || !this.#agreements.take(via, now)) {
      this.#counters.limited++;
      return;
    }
    const incoming = Incoming.answering(packet, this.#crypto, this.#options.windowMax, this.#budget, now);
    if (incoming === undefined) {
      this.#counters.forged++;
      return;
    }
    const peer = this.#peer(source);
    if (peer.pending === undefined) this.#incoming++;
    peer.pending?.close();
    peer.pending = incoming;
    this.#outputs.push({ type: "packet", to: source, payload: incoming.accept, variant: 0 });
  }

  #onReply(
    source: NodeId,
    via: NodeId,
    packet: Extract<ChannelPacket, { type: "accept" | "ack" }>,
    now: Instant,
  ): void {
    const peer = this.#peers.get(source);
    if (peer?.outgoing === undefined) {
      this.#counters.unknown++;
      return;
    }
    if (packet.type === "accept" && !this.#agreements.take(via, now)) {
      this.#counters.limited++;
      return;
    }
    let result: "ok" | "forged";
    try {
      result =
        packet.type === "accept" ? peer.outgoing.onAccept(packet, now) : peer.outgoing.onAck(packet, now);
    } catch (thrown) {
      // An acknowledgement that its sender sealed and that is none.
      if (toError(thrown).name !== "MeshError") throw thrown;
      this.#counters.malformed++;
      return;
    }
    if (result === "forged") this.#counters.forged++;
    this.#settle(peer);
  }

  #onMessage(
    source: NodeId,
    via: NodeId,
    packet: SealedPacket<"start"> | SealedPacket<"data">,
    now: Instant,
  ): void {
    const peer = this.#peers.get(source);
    const incoming = [peer?.active, peer?.pending].find((each) => each?.isOf(packet.channel));
    if (peer === undefined || incoming === undefined) {
      this.#counters.unknown++;
      return;
    }
    if (incoming.costs(packet) && !this.#agreements.take(via, now)) {
      this.#counters.limited++;
      return;
    }
    const received = incoming.receive(packet, now);
    if (received === "forged" || received === "beyond") {
      this.#counters[received === "forged" ? "forged" : "limited"]++;
      return;
    }
    if (received === "again") this.#counters.replayed++;
    if (incoming === peer.pending) {
      // Proven to be newer than the one before, of which nothing may be delivered any more.
      if (peer.active !== undefined) this.#incoming--;
      peer.active?.close();
      peer.active = incoming;
      peer.pending = undefined;
    }
    this.#deliver(peer);
    this.#acknowledge(peer);
  }

  #deliver(peer: Peer): void {
    if (peer.paused) return;
    for (let message = peer.active?.take(); message !== undefined; message = peer.active?.take()) {
      this.#outputs.push({ type: "deliver", from: peer.id, message });
    }
  }

  #acknowledge(peer: Peer): void {
    if (peer.active === undefined) return;
    const payload = peer.active.acknowledge(peer.paused);
    this.#outputs.push({ type: "packet", to: peer.id, payload, variant: 0 });
  }

  #onPause(peer: Peer, paused: boolean): void {
    peer.paused = paused;
    this.#deliver(peer);
    if (!paused) this.#acknowledge(peer);
  }

  // Time.

  /** Looks at the peer often while something is under way to it, seldom while a channel may become idle, else never. */
  #watch(id: NodeId, now: Instant): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    const busy = peer.outgoing !== undefined && !peer.outgoing.idle;
    if (busy && !this.#busy) {
      this.#busy = true;
      this.#timers.set("pulse", after(now, pulseMs));
    } else if (peer.outgoing ?? peer.active ?? peer.pending) {
      if (!this.#timers.has("pulse")) this.#timers.set("pulse", after(now, idlePulseMs));
    }
    if (peer.sentLately > 0 && !this.#timers.has("traffic"))
      this.#timers.set("traffic", after(now, trafficMs));
  }

  #onTick(now: Instant): void {
    const due = this.#timers.expire(now);
    if (due.includes("pulse")) {
      this.#busy = false;
      for (const peer of this.#peers.values()) {
        this.#pulse(peer, now);
        this.#watch(peer.id, now);
      }
    }
    if (due.includes("traffic")) {
      for (const peer of this.#peers.values()) {
        this.#weighTraffic(peer);
        if (peer.linkWanted) this.#timers.set("traffic", after(now, trafficMs));
        this.#forgetUnused(peer);
      }
    }
  }

  #pulse(peer: Peer, now: Instant): void {
    const state = peer.outgoing?.tick(now);
    if (state === "idle") peer.outgoing = undefined;
    else if (state === "no_route") this.#giveUp(peer);
    this.#settle(peer);
    for (const incoming of [peer.active, peer.pending]) {
      if (incoming === undefined || now - incoming.usedAt <= 2 * this.#options.idleMs) continue;
      if (incoming === peer.active) peer.active = undefined;
      else peer.pending = undefined;
      incoming.close();
      this.#incoming--;
    }
    this.#forgetUnused(peer);
  }

  #forgetUnused(peer: Peer): void {
    const used = peer.linked || peer.paused || peer.linkWanted || peer.outgoing !== undefined;
    if (!used && peer.active === undefined && peer.pending === undefined) this.#peers.delete(peer.id);
  }

  #countTraffic(peer: Peer): void {
    if (++peer.sentLately < this.#options.linkAboveMessages || peer.linkWanted) return;
    peer.linkWanted = true;
    this.#outputs.push({ type: "wantLink", to: peer.id, wanted: true });
  }

  #weighTraffic(peer: Peer): void {
    // Kept down to an eighth of what it was made for, so that it does not come and go.
    if (peer.linkWanted && peer.sentLately * 8 < this.#options.linkAboveMessages) {
      peer.linkWanted = false;
      this.#outputs.push({ type: "wantLink", to: peer.id, wanted: false });
    }
    peer.sentLately = 0;
  }

  #close(peer: Peer): void {
    for (const incoming of [peer.active, peer.pending]) {
      if (incoming === undefined) continue;
      incoming.close();
      this.#incoming--;
    }
    peer.active = undefined;
    peer.pending = undefined;
  }

  #peer(id: NodeId): Peer {
    const known = this.#peers.get(id);
    if (known !== undefined) return known;
    const peer: Peer = {
      id,
      linked: false,
      outgoing: undefined,
      held: new Queue(),
      heldBytes: 0,
      fence: undefined,
      paused: false,
      active: undefined,
      pending: undefined,
      sentLately: 0,
      linkWanted: false,
    };
    this.#peers.set(id, peer);
    return peer;
  }
}
