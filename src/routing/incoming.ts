import { equal } from "../base/bytes.ts";
import type { Instant } from "../base/time.ts";
import {
  acceptInfo,
  associated,
  type ChannelPacket,
  dataInfo,
  encodeAck,
  encodeChannelPacket,
  receivedBits,
  type SealedPacket,
} from "./channel-packets.ts";
import { type SealContext, setUpReceiver, setUpSender } from "./hpke.ts";
import type { SealCrypto } from "./seal-crypto.ts";

type Numbered = SealedPacket<"start"> | SealedPacket<"data">;

/** What all incoming channels of a node hold that is out of order or not wanted yet. */
export interface ReorderBudget {
  usedBytes: number;
  readonly mostBytes: number;
}

/** What came of a packet: `new` and `again` are to be acknowledged. */
export type Received = "new" | "again" | "forged" | "beyond";

/** The receiving end of a channel: opens messages and puts them in order, each once. */
export class Incoming {
  /** What was sent as OPEN, and what answers it. */
  readonly open: Uint8Array;
  readonly accept: Uint8Array;
  usedAt: Instant;
  /** Times in a row that something came again: its answer may have been lost, and takes another way now. */
  repeats = 0;
  readonly #crypto: SealCrypto;
  readonly #point: Uint8Array;
  readonly #channel: Uint8Array;
  readonly #acks: SealContext;
  readonly #windowMax: number;
  readonly #budget: ReorderBudget;
  readonly #waiting = new Map<number, Uint8Array>();
  #context: SealContext | undefined;
  #next = 0;
  #acksSent = 0;

  /** `undefined` when the point of OPEN is none. */
  static answering(
    packet: Extract<ChannelPacket, { type: "open" }>,
    crypto: SealCrypto,
    windowMax: number,
    budget: ReorderBudget,
    now: Instant,
  ): Incoming | undefined {
    const open = encodeChannelPacket(packet);
    const setup = setUpSender(crypto, packet.point, acceptInfo(open));
    if (setup === undefined) return undefined;
    const { channel } = packet;
    const unsealed = { type: "accept", channel, point: crypto.publicPoint, enc: setup.enc } as const;
    const header = encodeChannelPacket({ ...unsealed, seal: new Uint8Array(0) });
    const seal = setup.context.seal(0, header, new Uint8Array(0));
    const accept = encodeChannelPacket({ ...unsealed, seal });
    return new Incoming(
      { open, accept, point: packet.point.slice(), channel: channel.slice(), acks: setup.context },
      crypto,
      windowMax,
      budget,
      now,
    );
  }

  private constructor(
    made: {
      readonly open: Uint8Array;
      readonly accept: Uint8Array;
      readonly point: Uint8Array;
      readonly channel: Uint8Array;
      readonly acks: SealContext;
    },
    crypto: SealCrypto,
    windowMax: number,
    budget: ReorderBudget,
    now: Instant,
  ) {
    this.open = made.open;
    this.accept = made.accept;
    this.#point = made.point;
    this.#channel = made.channel;
    this.#acks = made.acks;
    this.#crypto = crypto;
    this.#windowMax = windowMax;
    this.#budget = budget;
    this.usedAt = now;
  }

  isOf(channel: Uint8Array): boolean {
    return equal(channel, this.#channel);
  }

  /** Whether opening this packet takes a key agreement. */
  costs(packet: Numbered): boolean {
    return this.#context === undefined && packet.type === "start";
  }

  receive(packet: Numbered, now: Instant): Received {
    const { channel, number, enc, sealed } = packet;
    let context = this.#context;
    if (context === undefined && packet.type === "start") {
      context = setUpReceiver(this.#crypto, this.#point, enc, dataInfo(this.open, this.accept));
    }
    const message = context?.open(number, associated(channel, number), sealed);
    if (message === undefined) return "forged";
    this.#context = context;
    this.usedAt = now;
    if (number < this.#next || this.#waiting.has(number)) return "again";
    // The sender was told how much may be under way.
    if (number >= this.#next + this.#windowMax) return "beyond";
    // The one that is next is taken in any case: it lets the others go.
    const full = this.#budget.usedBytes + message.length > this.#budget.mostBytes;
    if (full && number !== this.#next) return "beyond";
    this.#budget.usedBytes += message.length;
    this.#waiting.set(number, message);
    return "new";
  }

  /** The next message in order, if it has arrived. */
  take(): Uint8Array | undefined {
    const message = this.#waiting.get(this.#next);
    if (message === undefined) return undefined;
    this.#waiting.delete(this.#next++);
    this.#budget.usedBytes -= message.length;
    return message;
  }

  /** Gives back what it holds. */
  close(): void {
    for (const message of this.#waiting.values()) this.#budget.usedBytes -= message.length;
    this.#waiting.clear();
  }

  /** An ACK packet of how things stand. */
  acknowledge(paused: boolean): Uint8Array {
    let received = 0;
    for (let bit = 0; bit < receivedBits; bit++) {
      if (this.#waiting.has(this.#next + 1 + bit)) received |= 1 << bit;
    }
    const number = ++this.#acksSent;
    const room = paused ? 0 : this.#windowMax;
    const plain = encodeAck({ next: this.#next, received: received >>> 0, room });
    const sealed = this.#acks.seal(number, associated(this.#channel, number), plain);
    return encodeChannelPacket({
      type: "ack",
      channel: this.#channel,
      number,
      enc: new Uint8Array(0),
      sealed,
    });
  }
}
