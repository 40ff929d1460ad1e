import { equal } from "../base/bytes.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import { after, type Instant } from "../base/time.ts";
import {
  type Ack,
  acceptInfo,
  associated,
  type ChannelPacket,
  dataInfo,
  decodeAck,
  encodeChannelPacket,
  receivedBits,
} from "./channel-packets.ts";
import { type SealContext, setUpReceiver, setUpSender } from "./hpke.ts";
import type { ChannelsOptions } from "./options.ts";
import { type FailureReason, markOf } from "./packet.ts";
import type { SealCrypto } from "./seal-crypto.ts";

/** A message that waits, under the name its sender gave it. */
export interface Waiting {
  readonly token: number;
  readonly message: Uint8Array;
}

interface Sent extends Waiting {
  readonly packet: Uint8Array;
  at: Instant;
  tries: number;
  arrived: boolean;
}

type Emit = (payload: Uint8Array, variant: number) => void;

const firstTimeoutMs = 1_000;
const leastTimeoutMs = 200;
/** Each try takes another way, so it is worth while to try often before giving up; a second is longer than most ways. */
const mostTimeoutMs = 1_000;
/** How soon it is tried again when somebody on the way said why it went no further. */
const hintMs = 250;
const firstWindow = 16;

/**
 * The sending end of a channel: opens it, numbers and seals messages, sends them again until they are acknowledged, each
 * time by another way, and holds back what network and receiver do not take (additive increase, multiplicative decrease).
 */
export class Outgoing {
  readonly target: NodeId;
  readonly #crypto: SealCrypto;
  readonly #options: Required<ChannelsOptions>;
  readonly #emit: Emit;
  readonly #channel: Uint8Array;
  readonly #open: Uint8Array;
  readonly #queue = new Queue<Waiting>();
  readonly #sent = new Map<number, Sent>();
  #queueBytes = 0;
  #next = 0;
  #seal: { readonly enc: Uint8Array; readonly context: SealContext; readonly acks: SealContext } | undefined;
  #confirmed = false;
  #lastAck = 0;
  #window = firstWindow;
  #room = 1;
  #timeoutMs = firstTimeoutMs;
  #smoothMs: number | undefined;
  #varianceMs = 0;
  #openedAt: Instant;
  #openTries = 0;
  #heardAt: Instant;
  #usedAt: Instant;
  #noRoutes = 0;

  constructor(
    target: NodeId,
    channel: Uint8Array,
    crypto: SealCrypto,
    options: Required<ChannelsOptions>,
    emit: Emit,
    now: Instant,
  ) {
    this.target = target;
    this.#channel = channel;
    this.#crypto = crypto;
    this.#options = options;
    this.#emit = emit;
    this.#open = encodeChannelPacket({ type: "open", channel, point: crypto.publicPoint });
    this.#openedAt = now;
    this.#heardAt = now;
    this.#usedAt = now;
    emit(this.#open, 0);
  }

  /** Bytes not acknowledged. */
  get bytes(): number {
    return this.#queueBytes;
  }

  /** Whether anything can have left. */
  get opened(): boolean {
    return this.#seal !== undefined;
  }

  isOf(channel: Uint8Array): boolean {
    return equal(channel, this.#channel);
  }

  /** Nothing waits for anything. */
  get idle(): boolean {
    return this.#queue.length === 0 && this.#sent.size === 0;
  }

  push(waiting: Waiting, now: Instant): void {
    if (this.idle) this.#heardAt = now;
    this.#usedAt = now;
    this.#queue.push(waiting);
    this.#queueBytes += waiting.message.length;
    this.#flush(now);
  }

  onAccept(packet: Extract<ChannelPacket, { type: "accept" }>, now: Instant): "ok" | "forged" {
    if (this.#seal !== undefined || !equal(packet.channel, this.#channel)) return "ok";
    if (this.#crypto.nodeIdOf(packet.point) !== this.target) return "forged";
    const acks = setUpReceiver(this.#crypto, packet.point, packet.enc, acceptInfo(this.#open));
    const accept = encodeChannelPacket(packet);
    const header = accept.subarray(0, accept.length - packet.seal.length);
    if (acks?.open(0, header, packet.seal) === undefined) return "forged";
    const setup = setUpSender(this.#crypto, packet.point, dataInfo(this.#open, accept));
    if (setup === undefined) return "forged";
    this.#seal = { ...setup, acks };
    this.#heard(now);
    this.#flush(now);
    return "ok";
  }

  onAck(packet: Extract<ChannelPacket, { type: "ack" }>, now: Instant): "ok" | "forged" {
    const { channel, number, sealed } = packet;
    if (this.#seal === undefined || !equal(channel, this.#channel)) return "ok";
    const opened = this.#seal.acks.open(number, associated(channel, number), sealed);
    if (opened === undefined) return "forged";
    this.#heard(now);
    this.#confirmed = true;
    // An old one that was overtaken, or played again.
    if (number <= this.#lastAck) return "ok";
    this.#lastAck = number;
    this.#settle(decodeAck(opened), now);
    this.#flush(now);
    return "ok";
  }

  /** Somebody on the way says that a packet went no further. A hint: it may be forged, and costs a packet at most. */
  onFailure(reason: FailureReason, mark: Uint8Array, now: Instant): void {
    const ago = after(now, hintMs - this.#timeoutMs);
    if (this.#seal === undefined) {
      if (!equal(markOf(this.#open), mark)) return;
      this.#openedAt = ago;
    } else {
      const sent = [...this.#sent.values()].find(({ packet }) => equal(markOf(packet), mark));
      if (sent === undefined) return;
      sent.at = ago;
    }
    if (reason === "no_route") this.#noRoutes++;
    else this.#slower();
  }

  /** What is due. Says when it is time to give up. */
  tick(now: Instant): "go on" | "idle" | FailureReason {
    if (this.idle) return now - this.#usedAt > this.#options.idleMs ? "idle" : "go on";
    if (this.#noRoutes >= this.#options.noRouteMax || now - this.#heardAt > this.#options.giveUpMs)
      return "no_route";
    if (this.#seal === undefined) {
      if (now - this.#openedAt >= this.#timeoutMs) {
        this.#openedAt = now;
        this.#emit(this.#open, ++this.#openTries & 0xff);
      }
      return "go on";
    }
    this.#resend(now);
    return "go on";
  }

  /**
   * All that was not delivered as far as we know, in order: also what has arrived, and waited for something before it that
   * now never comes. The channel is of no use afterwards.
   */
  remains(): Waiting[] {
    const remains: Waiting[] = [...this.#sent.values()];
    for (let each = this.#queue.shift(); each !== undefined; each = this.#queue.shift()) remains.push(each);
    this.#sent.clear();
    return remains;
  }

  #heard(now: Instant): void {
    this.#heardAt = now;
    this.#noRoutes = 0;
  }

  #settle({ next, received, room }: Ack, now: Instant): void {
    this.#room = room;
    for (const [number, sent] of this.#sent) {
      const bit = number - next - 1;
      const arrived = number < next || (bit >= 0 && bit < receivedBits && ((received >>> bit) & 1) === 1);
      if (arrived && !sent.arrived) {
        sent.arrived = true;
        if (sent.tries === 1) this.#measure(now - sent.at);
        this.#window = Math.min(this.#options.windowMax, this.#window + 1 / this.#window);
      }
      if (number < next) {
        this.#sent.delete(number);
        this.#queueBytes -= sent.message.length;
      }
    }
  }

  /** RFC 6298 §2. */
  #measure(roundTripMs: number): void {
    if (this.#smoothMs === undefined) {
      this.#smoothMs = roundTripMs;
      this.#varianceMs = roundTripMs / 2;
    } else {
      this.#varianceMs += (Math.abs(this.#smoothMs - roundTripMs) - this.#varianceMs) / 4;
      this.#smoothMs += (roundTripMs - this.#smoothMs) / 8;
    }
    this.#timeoutMs = Math.max(leastTimeoutMs, this.#smoothMs + 4 * this.#varianceMs);
  }

  #slower(): void {
    this.#window = Math.max(1, this.#window / 2);
  }

  #flush(now: Instant): void {
    const seal = this.#seal;
    if (seal === undefined) return;
    // One may always be under way: its acknowledgement tells when there is room again.
    const allowed = Math.max(1, Math.min(Math.floor(this.#window), this.#room));
    while (this.#sent.size < allowed) {
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      const number = this.#next++;
      const sealed = seal.context.seal(number, associated(this.#channel, number), waiting.message);
      const packet = this.#packet(number, sealed);
      this.#sent.set(number, { ...waiting, packet, at: now, tries: 1, arrived: false });
      this.#emit(packet, 0);
    }
  }

  #packet(number: number, sealed: Uint8Array): Uint8Array {
    const { enc } = this.#seal as { readonly enc: Uint8Array };
    // Until the other end has shown that it can open what we seal, each packet says how.
    const start = !this.#confirmed;
    const type = start ? "start" : "data";
    return encodeChannelPacket({
      type,
      channel: this.#channel,
      number,
      enc: start ? enc : new Uint8Array(0),
      sealed,
    });
  }

  #resend(now: Instant): void {
    let late = false;
    for (const sent of this.#sent.values()) {
      // Doubled each time, RFC 6298 §5.5.
      const most = Math.max(mostTimeoutMs, this.#timeoutMs);
      const waitMs = Math.min(most, this.#timeoutMs * 2 ** (sent.tries - 1));
      if (sent.arrived || now - sent.at < waitMs) continue;
      late = true;
      sent.at = now;
      this.#emit(sent.packet, sent.tries++ & 0xff);
    }
    if (late) this.#slower();
  }
}
