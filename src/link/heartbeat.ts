import type { Machine } from "../base/machine.ts";
import { Queue } from "../base/queue.ts";
import { after, type Instant } from "../base/time.ts";
import { atom, decode, encode, type Term, Tuple, tuple } from "../etf/index.ts";

// Payload of a HEARTBEAT frame (0x02), which travels as one datagram: `{ping, Sequence}`, answered by `{pong, Sequence}`.
const ping = atom("ping");
const pong = atom("pong");

export interface HeartbeatOptions {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatMissesMax: number;
}

export type HeartbeatInput =
  | { readonly type: "payload"; readonly payload: Uint8Array }
  /** Ask now, whatever the interval says. */
  | { readonly type: "ask" }
  /** Others hold the peer for dead: ask now, and one interval without a sign of life is enough. */
  | { readonly type: "doubt" }
  | { readonly type: "tick" };

export type HeartbeatOutput =
  | { readonly type: "send"; readonly payload: Uint8Array }
  | { readonly type: "answered"; readonly rttMs: number }
  /** Nothing was heard for `forMs`; told once. */
  | { readonly type: "lost"; readonly forMs: number };

/**
 * Finds out whether a peer is alive, and how far away. Anything that arrives from the peer is a sign of
 * life (`heard`); after an interval without one it asks, and after `heartbeatMissesMax` questions without one the peer is lost.
 */
export class Heartbeat implements Machine<HeartbeatInput, HeartbeatOutput> {
  readonly #options: HeartbeatOptions;
  readonly #outputs = new Queue<HeartbeatOutput>();
  #due: Instant;
  #lastHeard: Instant;
  #sequence = 0;
  #misses = 0;
  #doubtedAt: Instant | undefined;
  #lost = false;
  /** When the last questions went out, newest last; one that is older than all of them gets no round trip. */
  #asked: { readonly sequence: number; readonly at: Instant }[] = [];
  #rttMs: number | undefined;

  constructor(options: HeartbeatOptions, now: Instant) {
    this.#options = options;
    this.#lastHeard = now;
    this.#due = after(now, options.heartbeatIntervalMs);
  }

  /** Smoothed round trip (7/8 old, 1/8 new, as in RFC 9002 §5.3), milliseconds; `undefined` before the first answer. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Something arrived from the peer. Hot path: no more than two assignments. */
  heard(now: Instant): void {
    this.#lastHeard = now;
    this.#misses = 0;
  }

  handle(input: HeartbeatInput, now: Instant): void {
    switch (input.type) {
      case "payload":
        this.heard(now);
        this.#onPayload(input.payload, now);
        break;
      case "ask":
        this.#ask(now);
        break;
      case "doubt":
        this.#onDoubt(now);
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): HeartbeatOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#lost ? undefined : this.#due;
  }

  get #isDoubted(): boolean {
    return this.#doubtedAt !== undefined && this.#doubtedAt >= this.#lastHeard;
  }

  #onDoubt(now: Instant): void {
    // The interval of the first doubt counts: whoever repeats it must not put off the end.
    if (this.#isDoubted || this.#lost) return;
    this.#doubtedAt = now;
    this.#due = after(now, this.#options.heartbeatIntervalMs);
    this.#ask(now);
  }

  #onPayload(payload: Uint8Array, now: Instant): void {
    const heartbeat = decodeHeartbeat(payload);
    // A datagram that is not a heartbeat of ours is dropped: later versions may send others.
    if (heartbeat === undefined) return;
    const { kind, sequence } = heartbeat;
    if (kind === ping) this.#outputs.push({ type: "send", payload: encode(tuple(pong, sequence)) });
    else if (kind === pong) {
      const asked = this.#asked.find((each) => each.sequence === sequence);
      if (asked === undefined) return;
      this.#asked = this.#asked.filter((each) => each.sequence > sequence);
      const rttMs = now - asked.at;
      this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs * 0.875 + rttMs * 0.125;
      this.#outputs.push({ type: "answered", rttMs });
    }
  }

  #onTick(now: Instant): void {
    if (now < this.#due || this.#lost) return;
    const { heartbeatIntervalMs, heartbeatMissesMax } = this.#options;
    // A tick that comes this late means that our own process stood still: the peer's answers may lie unread in the
    // socket, so that silence proves nothing about the peer.
    const stalled = now - this.#due > heartbeatIntervalMs;
    const silentMs = now - this.#lastHeard;
    if (stalled) this.#misses = 0;
    else if (silentMs >= heartbeatIntervalMs) this.#misses++;
    if (this.#misses >= (this.#isDoubted ? 1 : heartbeatMissesMax)) {
      this.#lost = true;
      this.#outputs.push({ type: "lost", forMs: silentMs });
      return;
    }
    // Exactly an interval after the last sign of life, so that idle links are looked at no more often than they must.
    const silent = silentMs >= heartbeatIntervalMs || stalled;
    this.#due = after(silent ? now : this.#lastHeard, heartbeatIntervalMs);
    // Whoever was heard needs no question: of two idle nodes one asks, and the question is the other's sign of life.
    if (silent) this.#ask(now);
  }

  #ask(now: Instant): void {
    this.#sequence = (this.#sequence + 1) >>> 0;
    if (this.#asked.length >= 16) this.#asked.shift();
    this.#asked.push({ sequence: this.#sequence, at: now });
    this.#outputs.push({ type: "send", payload: encode(tuple(ping, this.#sequence)) });
  }
}

/** Well above what a heartbeat takes: whatever is longer is not looked at. */
const payloadBytesMax = 64;

function decodeHeartbeat(
  payload: Uint8Array,
): { readonly kind: Term; readonly sequence: number } | undefined {
  if (payload.length > payloadBytesMax) return undefined;
  try {
    const term = decode(payload);
    if (!(term instanceof Tuple) || term.length !== 2) return undefined;
    const [kind, sequence] = term.elements;
    return Number.isInteger(sequence) ? { kind, sequence: sequence as number } : undefined;
  } catch {
    return undefined;
  }
}
