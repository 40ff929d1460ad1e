import type { Machine } from "../base/machine.ts";
import { Queue } from "../base/queue.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Timers } from "../base/timers.ts";
import { decodeFrame, encodeFrame, frameType, Inbox, ReassemblyBudget } from "../wire/index.ts";
import { type Ending, endingOf } from "./codes.ts";
import { Heartbeat } from "./heartbeat.ts";
import type { LinkOptions } from "./options.ts";

export type LinkInput =
  | { readonly type: "datagram"; readonly bytes: Uint8Array }
  /** Ask for a sign of life now. */
  | { readonly type: "ask" }
  /** Others hold the peer for dead. */
  | { readonly type: "doubt" }
  /** The link belongs to a session: what the peer's lanes bring is read from now on. */
  | { readonly type: "inSession" }
  /** A frame that has no place on the stream where it came. */
  | { readonly type: "misplaced"; readonly frameType: number }
  /** Reading or decoding of something from the peer failed with this MeshError. */
  | { readonly type: "broken"; readonly error: unknown }
  /** End the link in order: deliver what is queued first. */
  | { readonly type: "leave"; readonly reason: string }
  /** Nobody here needs the link: end it so that nothing is lost, either way. */
  | { readonly type: "retire" }
  /** The peer says so; `readAll`: and that it has read all that we sent. */
  | { readonly type: "peerRetires"; readonly readAll: boolean }
  /** The lanes may have become empty. */
  | { readonly type: "flushed" }
  /** The peer ended its control stream: it is leaving, and all streams it ever opened are here. */
  | { readonly type: "peerLeaves" }
  | { readonly type: "tick" };

export type LinkOutput =
  | { readonly type: "datagram"; readonly bytes: Uint8Array }
  | { readonly type: "answered"; readonly rttMs: number }
  /** A datagram that is no heartbeat. */
  | { readonly type: "received"; readonly frameType: number; readonly payload: Uint8Array }
  /** The peer retires the link: send nothing more by it. */
  | { readonly type: "retiring" }
  /** Everything is written: finish the lanes and, when the peer has acknowledged all of them, control. `retire`: say that first. */
  | { readonly type: "finish"; readonly retire: { readonly readAll: boolean } | undefined }
  | { readonly type: "close"; readonly ending: Ending };

type TimerName = "leaving" | "halfMessages" | "session";

/**
 * A link after its handshake: heartbeats, one inbox per incoming stream, and the end.
 *
 * Frames do not pass through `handle`: at a million a second an input object each would be what we measure. The driver
 * takes bytes from the lanes and pulls frames from the inboxes of `openInbox`; all that decides something comes here.
 *
 * A side that leaves has all it sent delivered. A link that is retired ends so that nothing is lost either way: whoever asks finishes
 * its lanes; the other reads them to the end, finishes its own and says so; who asked reads those to the end, and closes.
 */
export class Link implements Machine<LinkInput, LinkOutput> {
  readonly #options: Required<LinkOptions>;
  readonly #outputs = new Queue<LinkOutput>();
  readonly #timers = new Timers<TimerName>();
  readonly #heartbeat: Heartbeat;
  readonly #budget = new ReassemblyBudget();
  readonly #inboxes = new Set<Inbox>();
  #state: "up" | "leaving" | "finishing" | "closed" = "up";
  readonly #queuedBytes: () => number;
  #peerLeaves = false;
  #leaveReason = "";
  #retiring: "asked" | "asked by the peer" | undefined;
  /** The peer has said that it retires the link, and whether it had read everything then. */
  #peerRetires: { readonly readAll: boolean } | undefined;

  /** @param queuedBytes what waits in the lanes of this link. */
  constructor(options: Required<LinkOptions>, queuedBytes: () => number, now: Instant) {
    this.#options = options;
    this.#queuedBytes = queuedBytes;
    this.#heartbeat = new Heartbeat(options, now);
    // Half messages are bounded in bytes; a coarse timer is enough to let go of those that will not be completed.
    this.#timers.set("halfMessages", after(now, halfMessagesIntervalMs));
    // Threat: a peer that proves itself and then says nothing of a session keeps a link, its windows, and all who wait for it.
    this.#timers.set("session", after(now, options.handshakeTimeoutMs));
  }

  /** Smoothed round trip, milliseconds; `undefined` before the first heartbeat was answered. */
  get rttMs(): number | undefined {
    return this.#heartbeat.rttMs;
  }

  /** Whether signals may still be queued. */
  get open(): boolean {
    return this.#state === "up";
  }

  /** The inbox for an incoming stream; all share the reassembly budget of the peer. @param allocate see `InboxOptions`. */
  openInbox(allocate?: (bytes: number) => Uint8Array): Inbox {
    const inbox = new Inbox({ budget: this.#budget, ...(allocate && { allocate }) });
    this.#inboxes.add(inbox);
    return inbox;
  }

  /** The stream of the inbox ended. */
  closeInbox(inbox: Inbox): void {
    inbox.close();
    this.#inboxes.delete(inbox);
    this.#closeWhenAllRead();
  }

  /** Something arrived from the peer. Hot path. */
  heard(now: Instant): void {
    this.#heartbeat.heard(now);
  }

  handle(input: LinkInput, now: Instant): void {
    if (this.#state === "closed") return;
    switch (input.type) {
      case "datagram":
        this.#onDatagram(input.bytes, now);
        break;
      case "ask":
        this.#heartbeat.handle({ type: "ask" }, now);
        break;
      case "doubt":
        this.#heartbeat.handle({ type: "doubt" }, now);
        break;
      case "inSession":
        this.#timers.clear("session");
        break;
      case "misplaced":
        this.#close({
          code: "protocol",
          reason: `a frame of type ${input.frameType} has no place on this stream`,
        });
        break;
      case "broken":
        this.#close(endingOf(input.error));
        break;
      case "leave":
        this.#onLeave(input.reason, now);
        break;
      case "retire":
        if (this.#state === "up") this.#retiring = "asked";
        this.#onLeave("retired", now);
        break;
      case "peerRetires":
        this.#onPeerRetires(input.readAll, now);
        break;
      case "flushed":
        this.#finishWhenFlushed();
        break;
      case "peerLeaves":
        this.#peerLeaves = true;
        this.#closeWhenAllRead();
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
    this.#drainHeartbeat();
  }

  poll(): LinkOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#state === "closed"
      ? undefined
      : earliest(this.#timers.deadline(), this.#heartbeat.deadline());
  }

  #onDatagram(bytes: Uint8Array, now: Instant): void {
    // Datagrams may be anything a later version sends: what is no frame is dropped, not an error.
    const result = decodeFrame(bytes);
    if (result.result !== "frame") return;
    const { type, payload } = result.frame;
    this.#heartbeat.heard(now);
    if (type === frameType.heartbeat) this.#heartbeat.handle({ type: "payload", payload }, now);
    else this.#outputs.push({ type: "received", frameType: type, payload });
  }

  #onLeave(reason: string, now: Instant): void {
    if (this.#state !== "up") return;
    this.#state = "leaving";
    this.#leaveReason = reason;
    this.#timers.set("leaving", after(now, this.#leaveTimeoutMs));
    this.#finishWhenFlushed();
  }

  /** Of a link that is retired a session goes on: a peer that stands still for a moment must not end it sooner than at other times. */
  get #leaveTimeoutMs(): number {
    const { leaveTimeoutMs, heartbeatIntervalMs, heartbeatMissesMax } = this.#options;
    return this.#retiring === undefined
      ? leaveTimeoutMs
      : Math.max(leaveTimeoutMs, heartbeatIntervalMs * heartbeatMissesMax);
  }

  #onPeerRetires(readAll: boolean, now: Instant): void {
    this.#peerRetires = { readAll };
    if (this.#state !== "up") return;
    this.#retiring = "asked by the peer";
    this.#outputs.push({ type: "retiring" });
    this.#onLeave("retired", now);
  }

  #finishWhenFlushed(): void {
    if (this.#state !== "leaving" || this.#queuedBytes() > 0) return;
    const answers = this.#retiring === "asked by the peer";
    if (answers && !this.#allRead) return;
    this.#state = "finishing";
    this.#outputs.push({ type: "finish", retire: this.#retiring && { readAll: answers } });
  }

  /** All that the peer has sent, and it sends nothing more. */
  get #allRead(): boolean {
    return this.#peerLeaves && this.#inboxes.size === 0;
  }

  #closeWhenAllRead(): void {
    if (!this.#allRead) return;
    if (this.#retiring === "asked by the peer") this.#finishWhenFlushed();
    // Ours to close: the peer waits until we have read to the end of its streams.
    else if (this.#retiring === undefined || this.#peerRetires === undefined)
      this.#close({ code: "goodbye", reason: "the peer left" });
    // Else both have asked at the same time: neither knows what the other has read, and the time-out decides.
    else if (this.#peerRetires.readAll) this.#close({ code: "retired", reason: "nobody needs the link" });
  }

  #onTick(now: Instant): void {
    for (const timer of this.#timers.expire(now)) {
      if (timer === "leaving") this.#close({ code: "goodbye", reason: this.#leaveReason });
      else if (timer === "session") this.#close({ code: "timeout", reason: this.#noSession });
      else this.#expireHalfMessages(now);
    }
    this.#heartbeat.handle({ type: "tick" }, now);
  }

  get #noSession(): string {
    return `no SESSION that begins or goes on with one within ${this.#options.handshakeTimeoutMs} ms`;
  }

  #expireHalfMessages(now: Instant): void {
    this.#timers.set("halfMessages", after(now, halfMessagesIntervalMs));
    try {
      for (const inbox of this.#inboxes) inbox.expire(now);
    } catch (error) {
      this.#close(endingOf(error));
    }
  }

  #drainHeartbeat(): void {
    for (let output = this.#heartbeat.poll(); output !== undefined; output = this.#heartbeat.poll()) {
      if (output.type === "send") {
        this.#outputs.push({ type: "datagram", bytes: encodeFrame(frameType.heartbeat, output.payload) });
      } else if (output.type === "answered") this.#outputs.push(output);
      else this.#close({ code: "silent", reason: `nothing heard for ${Math.round(output.forMs)} ms` });
    }
  }

  #close(ending: Ending): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#timers.clearAll();
    this.#outputs.push({ type: "close", ending });
  }
}

const halfMessagesIntervalMs = 5_000;
