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
  /** The receiver of what `from` sends wants no more for the time being, or does again. */
  | { readonly type: "pause"; readonly from: NodeId; readonly paused: boolean }
  /** `from` says, which is proven, that it does not know this channel of ours: it has forgotten it, or begun another life. */
  | { readonly type: "reset"; readonly from: NodeId; readonly channel: Uint8Array }
  /** The member is dead: nothing for it needs to be tried any more. */
  | { readonly type: "memberDown"; readonly id: NodeId }
  | { readonly type: "tick" };

export type ChannelsOutput =
  /** Hand to the forwarder, protocol `channel`. */
  | { readonly type: "packet"; readonly to: NodeId; readonly payload: Uint8Array; readonly variant: number }
  /** A message from `from`, which is proven, in order. */
  | { readonly type: "deliver"; readonly from: NodeId; readonly message: Uint8Array }
  /** Tell `to` in a way that proves who says it, with `reset`, that its channel is not known here. */
  | { readonly type: "reset"; readonly to: NodeId; readonly channel: Uint8Array }
  /** All that was sent to `to` has been delivered there or is `lost`: what comes next may take another way. */
  | { readonly type: "settled"; readonly to: NodeId }
  /** Not delivered as far as we know. In the order in which they were sent. */
  | { readonly type: "lost"; readonly to: NodeId; readonly token: number; readonly reason: "no_route" }
  /** Too much waits for `to`, or the message is too long. */
  | { readonly type: "refused"; readonly to: NodeId; readonly token: number };

/** How messages get to a node. */
interface Peer {
  readonly id: NodeId;
  outgoing: Outgoing | undefined;
  /** Something was sent, and `settled` is due. */
  unsettled: boolean;
  paused: boolean;
  /** Incoming channels: the one in use, and one that is not proven. */
  active: Incoming | undefined;
  pending: Incoming | undefined;
}

/** How often channels are looked at while messages are under way, and while none are. */
const pulseMs = 50;
const idlePulseMs = 1_000;

/**
 * Messages between nodes that have no link, each once and in order: through the forwarder, sealed for the receiver alone, on
 * a channel for each direction: numbered, acknowledged, sent again by other ways, put in order.
 *
 * What is acknowledged has been delivered. So whoever waits for `settled` before it sends by another way keeps the order.
 */
export class Channels implements Machine<ChannelsInput, ChannelsOutput> {
  readonly #options: Required<ChannelsOptions>;
  readonly #crypto: SealCrypto;
  readonly #random: Random;
  readonly #outputs = new Queue<ChannelsOutput>();
  readonly #timers = new Timers<"pulse">();
  readonly #peers = new Map<NodeId, Peer>();
  readonly #agreements: Rates;
  readonly #budget: ReorderBudget;
  #incoming = 0;
  #busy = false;
  readonly #counters = { malformed: 0, forged: 0, replayed: 0, limited: 0, unknown: 0 };

  constructor(options: Required<ChannelsOptions>, crypto: SealCrypto, random: Random) {
    this.#options = options;
    this.#crypto = crypto;
    this.#random = random;
    this.#agreements = new Rates(options.agreementsPerSecond);
    this.#budget = { usedBytes: 0, mostBytes: options.reorderBytesMax };
  }

  /** What was not accepted, so far. `unknown`: of no channel; `limited`: too many. */
  get counters(): Readonly<Record<"malformed" | "forged" | "replayed" | "limited" | "unknown", number>> {
    return this.#counters;
  }

  /** Channels from others, and bytes that wait in them. */
  get sizes(): { readonly incoming: number; readonly reorderBytes: number; readonly peers: number } {
    return { incoming: this.#incoming, reorderBytes: this.#budget.usedBytes, peers: this.#peers.size };
  }

  /** Bytes that wait for `to`: what tells a sender to slow down. */
  waitingBytes(to: NodeId): number {
    return this.#peers.get(to)?.outgoing?.bytes ?? 0;
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
      case "pause":
        this.#onPause(this.#peer(input.from), input.paused);
        break;
      case "reset":
        this.#onReset(input.from, input.channel, now);
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
    peer.unsettled = true;
    peer.outgoing ??= this.#open(to, now);
    peer.outgoing.push({ token, message }, now);
  }

  #open(to: NodeId, now: Instant): Outgoing {
    const channel = this.#random.bytes(channelBytes);
    const emit = (payload: Uint8Array, variant: number): void => {
      this.#outputs.push({ type: "packet", to, payload, variant });
    };
    return new Outgoing(to, channel, this.#crypto, this.#options, emit, now);
  }

  #settle(peer: Peer): void {
    if (!peer.unsettled || peer.outgoing?.idle === false) return;
    peer.unsettled = false;
    this.#outputs.push({ type: "settled", to: peer.id });
  }

  /** What was not acknowledged takes a new channel. Whether it had been delivered is for its users to tell, who may have forgotten, too. */
  #onReset(from: NodeId, channel: Uint8Array, now: Instant): void {
    const peer = this.#peers.get(from);
    if (peer?.outgoing?.opened !== true || !peer.outgoing.isOf(channel)) return;
    const remains = peer.outgoing.remains();
    peer.outgoing = undefined;
    for (const waiting of remains) {
      peer.outgoing ??= this.#open(from, now);
      peer.outgoing.push(waiting, now);
    }
    this.#watch(from, now);
    this.#forgetUnused(peer);
  }

  #onMemberDown(id: NodeId): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#giveUp(peer);
    this.#settle(peer);
    this.#close(peer);
    this.#peers.delete(id);
  }

  #giveUp(peer: Peer): void {
    for (const { token } of peer.outgoing?.remains() ?? []) {
      this.#outputs.push({ type: "lost", to: peer.id, token, reason: "no_route" });
    }
    peer.outgoing = undefined;
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
    const open = encodeChannelPacket(packet);
    for (const incoming of [known?.pending, known?.active]) {
      if (incoming === undefined || !equal(incoming.open, open)) continue;
      const variant = ++incoming.repeats & 0xff;
      this.#outputs.push({ type: "packet", to: source, payload: incoming.accept, variant });
      return;
    }
    if (!this.#agreements.take(via, now) || !this.#makeRoom()) {
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

  /** Threat: channels that are opened and never used. The one opened first, of those that nothing has come by yet, goes. */
  #makeRoom(): boolean {
    if (this.#incoming < this.#options.incomingMax) return true;
    let oldest: Peer | undefined;
    for (const peer of this.#peers.values()) {
      if (peer.pending === undefined) continue;
      if (oldest?.pending === undefined || peer.pending.usedAt < oldest.pending.usedAt) oldest = peer;
    }
    if (oldest === undefined) return false;
    oldest.pending?.close();
    oldest.pending = undefined;
    this.#incoming--;
    this.#forgetUnused(oldest);
    return true;
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
      this.#outputs.push({ type: "reset", to: source, channel: packet.channel.slice() });
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
    incoming.repeats = received === "again" ? incoming.repeats + 1 : 0;
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
    const variant = peer.active.repeats & 0xff;
    this.#outputs.push({ type: "packet", to: peer.id, payload, variant });
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
  }

  #onTick(now: Instant): void {
    if (this.#timers.expire(now).length === 0) return;
    this.#busy = false;
    for (const peer of this.#peers.values()) {
      this.#pulse(peer, now);
      this.#watch(peer.id, now);
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
    if (
      !peer.paused &&
      peer.outgoing === undefined &&
      peer.active === undefined &&
      peer.pending === undefined
    )
      this.#peers.delete(peer.id);
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
      outgoing: undefined,
      unsettled: false,
      paused: false,
      active: undefined,
      pending: undefined,
    };
    this.#peers.set(id, peer);
    return peer;
  }
}
