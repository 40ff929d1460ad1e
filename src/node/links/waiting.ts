import type { Instant } from "../../base/time.ts";
import type { Lanes } from "../../link/index.ts";
import { decodeSignal } from "../../process/codec.ts";
import type { Signal } from "../../process/signals.ts";
import { Inbox, ReassemblyBudget } from "../../wire/index.ts";

export interface WaitingSignal {
  readonly lane: number;
  readonly signal: Signal;
}

const takeBytes = 262_144;

/** Takes what waits in `lanes` out as the signals that it was. Within a lane they keep their order. */
export function takeSignals(lanes: Lanes, now: Instant): WaitingSignal[] {
  const signals: WaitingSignal[] = [];
  const inboxes = new Map<number, Inbox>();
  const budget = new ReassemblyBudget();
  for (let lane = lanes.nextDirty(); lane !== undefined; lane = lanes.nextDirty()) {
    const inbox = inboxes.get(lane) ?? new Inbox({ budget });
    inboxes.set(lane, inbox);
    for (let bytes = lanes.take(lane, takeBytes); bytes !== undefined; bytes = lanes.take(lane, takeBytes)) {
      inbox.feed(bytes);
      for (let frame = inbox.next(now); frame !== undefined; frame = inbox.next(now)) {
        signals.push({ lane, signal: decodeSignal(frame.type, frame.payload) });
      }
    }
  }
  return signals;
}
