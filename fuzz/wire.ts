import { MeshError, toError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { after, at, type Instant } from "../src/base/time.ts";
import { decodeFrame, Inbox, Outbox, ReassemblyBudget } from "../src/wire/index.ts";

/** What an Inbox may answer to bytes from outside. */
const expected = new Set(["DECODE", "LIMIT", "VERSION_MISMATCH", "TIMEOUT"]);

/**
 * Throws garbage and damaged streams at the frame decoder and the Inbox for `seconds`; returns how many streams it was.
 * Only typed errors may come out, no more memory may be taken than the budget says, and all of it must come back.
 * @throws Error with the seed of the stream that broke a promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  let runs = 0;
  for (; performance.now() < end; runs++) {
    // A seed for each stream, so that a failure is repeated by itself.
    const own = (seed + runs) >>> 0;
    try {
      one(seededRandom(own));
    } catch (cause) {
      throw new Error(`fuzz wire: seed ${own}: ${toError(cause).message}`, { cause });
    }
  }
  return runs;
}

function one(random: Random): void {
  const bytes = random.integer(4) === 0 ? random.bytes(random.integer(400)) : honest(random);
  const damaged = damage(bytes, random);
  let rest = damaged;
  for (;;) {
    const decoded = decodeFrame(rest);
    if (decoded.result !== "frame") break;
    rest = decoded.rest;
  }
  receive(damaged, random);
}

/** What an Outbox sends for messages of all sizes. */
function honest(random: Random): Uint8Array {
  const outbox = new Outbox({
    fragmentBytes: 1_024,
    compressAboveBytes: random.integer(2) === 0 ? 200 : Infinity,
  });
  for (let count = random.integer(12); count >= 0; count--) {
    const payload = random.bytes(random.integer(random.integer(4) === 0 ? 6_000 : 300));
    if (random.integer(2) === 0) payload.fill(random.u32(), 0, payload.length >> 1);
    outbox.push(random.integer(4), random.integer(256), payload);
  }
  return outbox.take(random.integer(20_000)) ?? new Uint8Array(0);
}

/** Changes, drops, repeats and inserts a few bytes, most often where headers are. */
function damage(bytes: Uint8Array, random: Random): Uint8Array {
  let damaged = bytes;
  for (let count = random.integer(4); count > 0 && damaged.length > 0; count--) {
    const where = random.integer(random.integer(2) === 0 ? Math.min(40, damaged.length) : damaged.length);
    const how = random.integer(4);
    if (how < 2) {
      damaged = damaged.slice();
      damaged[where] =
        random.integer(2) === 0 ? random.u32() : (damaged[where] as number) ^ (1 << random.integer(8));
    } else {
      const until = Math.min(damaged.length, where + random.integer(64));
      const middle = how === 2 ? [] : [...damaged.subarray(where, until), ...damaged.subarray(where, until)];
      damaged = Uint8Array.from([...damaged.subarray(0, where), ...middle, ...damaged.subarray(until)]);
    }
  }
  return damaged;
}

function receive(bytes: Uint8Array, random: Random): void {
  const budget = new ReassemblyBudget();
  const inbox = new Inbox({ budget, incompleteTimeoutMs: 1_000 });
  let now = at(0);
  let delivered = 0;
  try {
    for (let start = 0; start < bytes.length; ) {
      const end = Math.min(bytes.length, start + 1 + random.integer(random.integer(2) === 0 ? 20 : 3_000));
      // The chunk is overwritten afterwards: nothing of it may be kept.
      const chunk = bytes.slice(start, end);
      inbox.feed(chunk);
      delivered += drain(inbox, now);
      chunk.fill(0xee);
      start = end;
      // 1 MiB for each of the nine things that may be incomplete, or four times what came.
      check(budget.usedBytes <= 9 * 0x10_0000 + 4 * end, `${budget.usedBytes} bytes held for ${end}`);
      now = after(now, random.integer(400));
      inbox.expire(now);
    }
    // Inflated by at most zlib's ratio.
    check(delivered <= bytes.length * 1_032, `${delivered} bytes out of ${bytes.length}`);
  } catch (error) {
    if (!(error instanceof MeshError && expected.has(error.code))) throw error;
    check(inbox.deadline() === undefined, "a lost stream waits for nothing");
  }
  inbox.close();
  check(budget.usedBytes === 0, `${budget.usedBytes} bytes did not come back`);
}

function drain(inbox: Inbox, now: Instant): number {
  let bytes = 0;
  for (let frame = inbox.next(now); frame !== undefined; frame = inbox.next(now))
    bytes += frame.payload.length;
  return bytes;
}

function check(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
