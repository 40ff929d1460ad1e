import { measure } from "mitata";
import { at } from "../src/base/time.ts";
import { Inbox, Outbox, ReassemblyBudget } from "../src/wire/index.ts";
import type { BenchRow, BenchTable } from "./table.ts";

const short = new Uint8Array(100).fill(7);
const messages = 600;

/** What framing costs, both ways, on one thread: it must not show beside the engine (300 MB/s, 1,000,000 writes/s). */
export async function run(): Promise<BenchTable> {
  const rows = [
    await shortOut(),
    await shortIn(),
    await longOut("split 64 KiB payloads, copied in", 65_536),
    await longOut("split 1 MiB payloads, copied in", 0x10_0000),
    await longIn("reassemble 64 KiB payloads", 65_536),
    await longIn("reassemble 1 MiB payloads", 0x10_0000),
  ];
  return { title: "wire: frames", rows };
}

async function shortOut(): Promise<BenchRow> {
  const outbox = new Outbox();
  const stats = await measure(() => {
    for (let index = 0; index < messages; index++) outbox.frame(1, 3, (writer) => writer.raw(short));
    while (outbox.take(262_144) !== undefined);
  });
  return perMessage("encode 100-byte frames in place", stats.p50);
}

async function shortIn(): Promise<BenchRow> {
  const outbox = new Outbox();
  for (let index = 0; index < messages; index++) outbox.push(1, 3, short);
  const chunks: Uint8Array[] = [];
  for (let bytes = outbox.take(65_536); bytes !== undefined; bytes = outbox.take(65_536)) chunks.push(bytes);
  const inbox = new Inbox({ budget: new ReassemblyBudget() });
  const stats = await measure(() => {
    for (const chunk of chunks) {
      inbox.feed(chunk);
      while (inbox.next(at(0)) !== undefined);
    }
  });
  return perMessage("decode 100-byte frames", stats.p50);
}

async function longOut(name: string, length: number): Promise<BenchRow> {
  const payload = new Uint8Array(length).fill(7);
  const outbox = new Outbox();
  const stats = await measure(() => {
    // Copied in, since an encoder would write the payload to where it is split from.
    outbox.frame(1, 3, (writer) => writer.raw(payload));
    while (outbox.take(262_144) !== undefined);
  });
  return throughput(name, length, stats.p50);
}

async function longIn(name: string, length: number): Promise<BenchRow> {
  const outbox = new Outbox();
  outbox.push(1, 3, new Uint8Array(length));
  const chunks: Uint8Array[] = [];
  for (let bytes = outbox.take(60_000); bytes !== undefined; bytes = outbox.take(60_000)) chunks.push(bytes);
  const inbox = new Inbox({ budget: new ReassemblyBudget() });
  const stats = await measure(() => {
    for (const chunk of chunks) {
      inbox.feed(chunk);
      while (inbox.next(at(0)) !== undefined);
    }
  });
  return throughput(name, length, stats.p50);
}

function perMessage(name: string, nanoseconds: number): BenchRow {
  const each = nanoseconds / messages;
  return { name, figures: { "ns each": Math.round(each) }, target: "200 ns or less", met: each <= 200 };
}

function throughput(name: string, length: number, nanoseconds: number): BenchRow {
  const rate = (length / nanoseconds) * 1_000;
  // A tenth of the time the engine needs for the same bytes.
  return { name, figures: { "MB/s": Math.round(rate) }, target: "3,000 MB/s", met: rate >= 3_000 };
}
