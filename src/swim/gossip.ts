import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { transmissionsMax } from "./formulas.ts";
import type { Member } from "./member.ts";
import { News } from "./news.ts";
import type { ResolvedSwimOptions } from "./options.ts";
import { encodePacket, headBytes, type NewsItem, newsHeaderBytes, type PacketHead } from "./packet.ts";
import type { Table } from "./table.ts";

/** What gossip needs of the node. */
export interface GossipSurroundings {
  readonly options: ResolvedSwimOptions;
  readonly table: Table;
  readonly random: Random;
  /** Living members to which there are links. */
  linked(): Member[];
  /** What a node must be told before anything else: what is said of it. */
  first(to: NodeId): NewsItem | undefined;
  send(to: NodeId, payload: Uint8Array): void;
}

/**
 * Fills packets with news, and sends some of its own accord while there is any: a few members, a few times a second. A
 * quiet mesh sends nothing but probes.
 */
export class Gossip {
  readonly #around: GossipSurroundings;
  readonly #news: News;
  #due: Instant | undefined;
  #hurried = false;

  constructor(around: GossipSurroundings) {
    this.#around = around;
    this.#news = new News(around.options.newsMax);
  }

  deadline(): Instant | undefined {
    return this.#due;
  }

  /** Whether there is still something to be told about `subject`. */
  has(subject: NodeId): boolean {
    return this.#news.has(subject);
  }

  record(subject: NodeId, bytes: Uint8Array, now: Instant, isStranger = false): void {
    this.#news.putRecord(subject, bytes, isStranger);
    this.#arrange(now);
  }

  accusation(subject: NodeId, bytes: Uint8Array, now: Instant): void {
    this.#news.putAccusation(subject, bytes);
    this.#arrange(now);
  }

  /** The node is going: tells what there is to tell at once, and ten times as often. */
  hurry(now: Instant, hurried = true): void {
    this.#hurried = hurried;
    if (this.#news.size > 0) this.#due = now;
  }

  forget(subject: NodeId): void {
    this.#news.forget(subject);
  }

  tick(now: Instant): void {
    if (this.#due === undefined || now < this.#due) return;
    const { options } = this.#around;
    for (const { record } of this.#partners()) {
      if (this.#news.size > 0) this.send(record.id, { kind: "gossip" });
    }
    const gapMs = this.#hurried ? options.gossipIntervalMs / 10 : options.gossipIntervalMs;
    this.#due = this.#news.size > 0 ? after(now, gapMs) : undefined;
  }

  /**
   * A packet with as much news as it has room for; before that, what is said of its receiver (Lifeguard §IV.C), and a
   * `record` that it must hear of.
   */
  send(to: NodeId, head: PacketHead, record?: Uint8Array): void {
    const { options, table } = this.#around;
    const first = this.#around.first(to);
    const news = first === undefined ? [] : [first];
    if (record !== undefined) news.push({ kind: "record", bytes: record });
    if (this.#news.size > 0) {
      const used = news.reduce((sum, { bytes }) => sum + newsHeaderBytes + bytes.length, headBytes(head));
      const toldMax = transmissionsMax(options.retransmitFactor, table.livingCount + 1);
      news.push(...this.#news.take(options.datagramBytesMax - used, toldMax));
    }
    this.#around.send(to, encodePacket(head, news));
  }

  /**
   * Mostly members to which there is a link: news crosses one link then, and not as many as it takes to a member somewhere. One
   * at least is anybody, so that news gets wherever links do not lead.
   */
  #partners(): Member[] {
    const { table, random, options } = this.#around;
    const linked = this.#around.linked();
    const picked: Member[] = [];
    while (picked.length < options.gossipFanout - 1 && linked.length > 0)
      picked.push(...linked.splice(random.integer(linked.length), 1));
    return [
      ...picked,
      ...table.pick(options.gossipFanout - picked.length, (member) => !picked.includes(member)),
    ];
  }

  #arrange(now: Instant): void {
    // Not at once: what arrives together is passed on together.
    this.#due ??= after(now, this.#around.options.gossipIntervalMs * this.#around.random.float());
  }
}
