import type { BufferPool } from "../base/buffer-pool.ts";
import { MeshError } from "../base/errors.ts";
import type { Writer } from "../base/writer.ts";
import { Outbox, SendBudget } from "../wire/index.ts";

/** Enough for a turn of the event loop, however many lanes are busy. */
const leastMarkBytes = 65_536;

export interface LanesOptions {
  readonly laneHighWaterBytes: number;
  readonly laneQueueBytesMax: number;
  readonly peerQueueBytesMax: number;
}

interface Lane {
  readonly outbox: Outbox;
  /** Bytes that the engine did not take: they come before everything in the outbox. */
  rest: Uint8Array | undefined;
  /** What counts in the total: outbox and rest, as of the last change. */
  counted: number;
  dirty: boolean;
  /** Somebody was told to wait. */
  full: boolean;
}

/**
 * What waits to be sent to one node, one queue per lane. All signals of a process take the same lane, and each lane is
 * a stream of its own, so that order holds within it and a stalled one delays nobody else.
 *
 * It exists before there is a link (signals wait here while the pool dials) and is handed to the link when that is up:
 * so a signal is in one place at any time and is neither lost nor doubled when two connections compete.
 *
 * Bounds: `frame` says false from the high-water mark on (the sender should wait for `drained`) and throws `LIMIT` at
 * the hard bound of the lane or of the peer, with nothing queued.
 */
export class Lanes {
  readonly #options: LanesOptions;
  readonly #buffers: BufferPool | undefined;
  readonly #budget = new SendBudget();
  readonly #lanes: (Lane | undefined)[] = [];
  /** Lanes with bytes that nobody took yet, in the order in which they got them. */
  #dirty: number[] = [];
  #drained: number[] = [];
  #queuedBytes = 0;
  /** Lanes in which something waits. */
  #busy = 0;

  /** @param buffers see `OutboxOptions`; may serve all lanes of a node. */
  constructor(options: LanesOptions, buffers?: BufferPool) {
    this.#options = options;
    this.#buffers = buffers;
  }

  /**
   * What one lane may hold before its senders should wait: less when many are busy, or all of them together would be
   * encoding for a tenth of a second before the first byte leaves.
   */
  get #mark(): number {
    const { laneHighWaterBytes } = this.#options;
    return this.#busy <= 1
      ? laneHighWaterBytes
      : Math.max(laneHighWaterBytes / this.#busy, Math.min(laneHighWaterBytes, leastMarkBytes));
  }

  /** Bytes in all lanes. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Whether `nextDirty` has something to say. */
  get pending(): boolean {
    return this.#dirty.length > 0;
  }

  /** Hot path: encodes a frame in place. False when the lane is above its high-water mark now. */
  frame(number: number, key: number, type: number, write: (writer: Writer) => void): boolean {
    const lane = this.#lanes[number] ?? this.#open(number);
    if (
      lane.counted >= this.#options.laneQueueBytesMax ||
      this.#queuedBytes >= this.#options.peerQueueBytesMax
    ) {
      throw new MeshError(
        "LIMIT",
        `lane_full: ${lane.counted} bytes wait in lane ${number}, ${this.#queuedBytes} for the node; the sender did not wait`,
      );
    }
    lane.outbox.frame(key, type, write);
    this.#count(lane);
    if (!lane.dirty) {
      lane.dirty = true;
      this.#dirty.push(number);
    }
    if (lane.counted <= this.#mark) return true;
    lane.full = true;
    return false;
  }

  /** The next lane with bytes to take; each is named once until `frame` or `again` names it anew. */
  nextDirty(): number | undefined {
    const number = this.#dirty.shift();
    const lane = number === undefined ? undefined : this.#lanes[number];
    if (lane !== undefined) lane.dirty = false;
    return number;
  }

  /** Names the lane again: it has a stream now, or its stream takes bytes again. */
  again(number: number): void {
    const lane = this.#lanes[number];
    if (lane === undefined || lane.dirty || lane.counted === 0) return;
    lane.dirty = true;
    this.#dirty.push(number);
  }

  /**
   * Up to about `maxBytes` ready for the stream of the lane: the rest of the last time, or whole frames; they stand
   * until the next `take`. `undefined`
   * when there is nothing, or what there is waits for the link's budget of long messages; the lane is named again then.
   */
  take(number: number, maxBytes: number): Uint8Array | undefined {
    const lane = this.#lanes[number];
    if (lane === undefined) return undefined;
    const bytes = lane.rest ?? lane.outbox.take(maxBytes);
    lane.rest = undefined;
    this.#settle(number, lane);
    return bytes;
  }

  /** What the engine, which takes no more for now, did not take of the bytes just taken; the next `take` returns it. */
  putBack(number: number, rest: Uint8Array): void {
    const lane = this.#lanes[number] as Lane;
    lane.rest = rest;
    lane.outbox.stalled();
    this.#settle(number, lane);
  }

  /** A lane whose senders were told to wait and may go on: it fell below half of its mark. */
  nextDrained(): number | undefined {
    const number = this.#drained.shift();
    if (number === undefined) return undefined;
    const lane = this.#lanes[number];
    if (lane === undefined || !lane.full || lane.counted * 2 > this.#mark) {
      return this.nextDrained();
    }
    lane.full = false;
    return number;
  }

  /** Nobody waits any more for these lanes; returns those for which somebody did. */
  letGo(): number[] {
    const waiting = [...this.#lanes.keys()].filter((number) => this.#lanes[number]?.full);
    for (const lane of this.#lanes) if (lane !== undefined) lane.full = false;
    return waiting;
  }

  /** Throws everything away; returns the lanes whose senders wait. */
  discard(): number[] {
    const waiting = this.letGo();
    for (const lane of this.#lanes) lane?.outbox.close();
    this.#lanes.length = 0;
    this.#dirty = [];
    this.#drained = [];
    this.#queuedBytes = 0;
    this.#busy = 0;
    return waiting;
  }

  #open(number: number): Lane {
    // Lane numbers come from our own runtime and are below `lanesMax`, so the array cannot be made huge.
    // `onReady` comes while another lane of ours is being emptied, so whoever does that finds this one next.
    const outbox = new Outbox({
      budget: this.#budget,
      onReady: () => this.again(number),
      ...(this.#buffers && { buffers: this.#buffers }),
    });
    const lane: Lane = { outbox, rest: undefined, counted: 0, dirty: false, full: false };
    this.#lanes[number] = lane;
    return lane;
  }

  #count(lane: Lane): void {
    const bytes = lane.outbox.queuedBytes + (lane.rest?.length ?? 0);
    this.#queuedBytes += bytes - lane.counted;
    this.#busy += Number(bytes > 0) - Number(lane.counted > 0);
    lane.counted = bytes;
  }

  #settle(number: number, lane: Lane): void {
    this.#count(lane);
    if (lane.full && lane.counted * 2 <= this.#mark) this.#drained.push(number);
  }
}
