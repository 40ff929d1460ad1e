import { concat } from "../../src/base/bytes.ts";
import { at, type Instant } from "../../src/base/time.ts";
import { decodeFrame, type Frame, type Inbox, type Outbox } from "../../src/wire/index.ts";

/** `length` bytes that differ from place to place and from one `seed` to the next, and do not compress. */
export function bytesOf(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** Every message there is, with payloads that stand for good. */
export function drain(inbox: Inbox, now: Instant = at(0)): Frame[] {
  const frames: Frame[] = [];
  for (let frame = inbox.next(now); frame !== undefined; frame = inbox.next(now)) {
    frames.push({ ...frame, payload: frame.payload.slice(), owned: true });
  }
  return frames;
}

/** What `take` gives, with the long piece whose headers that may be. */
export function takeFrames(outbox: Outbox, maxBytes: number): Uint8Array | undefined {
  const taken = outbox.take(maxBytes);
  if (taken === undefined || decodeFrame(taken).result === "frame") return taken;
  return concat([taken, outbox.take(maxBytes) ?? new Uint8Array(0)]);
}

/** Everything queued, in pieces of `maxBytes`. */
export function takeAll(outbox: Outbox, maxBytes = 65_536): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (let bytes = takeFrames(outbox, maxBytes); bytes !== undefined; bytes = takeFrames(outbox, maxBytes)) {
    taken.push(bytes);
  }
  return taken;
}

/** `bytes` cut into copies of `lengths[0]`, `lengths[1]`, … bytes, over and over. */
export function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let start = 0, index = 0; start < bytes.length; index++) {
    const length = Math.max(1, lengths[index % Math.max(1, lengths.length)] ?? bytes.length);
    pieces.push(bytes.slice(start, start + length));
    start += length;
  }
  return pieces;
}
