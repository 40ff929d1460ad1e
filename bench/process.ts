import { at } from "../src/base/time.ts";
import { Writer } from "../src/base/writer.ts";
import { Pid, type Term, tuple } from "../src/etf/index.ts";
import { decodeSignal, encodeSignal, ProcessRuntime, type Self, type Signal } from "../src/process/index.ts";
import type { BenchTable } from "./table.ts";

const runs = 5;

function runtime(): ProcessRuntime {
  return new ProcessRuntime({
    node: "bench@host:1",
    creation: 1,
    sink: { send: () => true },
    clock: () => at(performance.now()),
    wake: () => undefined,
    later: (run) => void setImmediate(run),
  });
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

/** Median over some runs of how many per second `measure` reached for `count`. */
async function rate(count: number, measure: (count: number) => Promise<void>): Promise<number> {
  await measure(count / 10);
  const rates: number[] = [];
  for (let run = 0; run < runs; run++) {
    const start = performance.now();
    await measure(count);
    rates.push((count * 1_000) / (performance.now() - start));
  }
  return Math.round(median(rates));
}

async function spawnAndExit(count: number): Promise<void> {
  const node = runtime();
  for (let left = count; left > 0; left -= 1_000) {
    for (let each = 0; each < 1_000; each++) node.spawn(async () => undefined);
    await new Promise(setImmediate);
  }
  while (node.processes().length > 2) await new Promise(setImmediate);
}

/** One process sends `count` messages to another, waiting when that has enough. */
async function messages(count: number): Promise<void> {
  const node = runtime();
  await new Promise<void>((resolve) => {
    const receiver = node.spawn(async (self) => {
      for (let left = count; left > 0; left--) await self.receive();
      resolve();
    });
    const body = { text: "hello", number: 1 };
    node.spawn(async (self) => {
      for (let left = count; left > 0; left--) {
        if (!self.send(receiver, body)) await self.drained(receiver);
      }
    });
  });
}

async function pingPong(count: number): Promise<void> {
  const node = runtime();
  await new Promise<void>((resolve) => {
    const pong = node.spawn(async (self) => {
      for (;;) self.send((await self.receive()) as Pid, self.pid);
    });
    node.spawn(async (self) => {
      for (let left = count; left > 0; left--) {
        self.send(pong, self.pid);
        await self.receive();
      }
      resolve();
    });
  });
}

const remote = new Pid("other@host:2", 7, 0, 3);
const hundredBytes = new Uint8Array(80).fill(120);

async function remoteSend(count: number): Promise<void> {
  const writer = new Writer(1_048_576);
  const node = new ProcessRuntime({
    node: "bench@host:1",
    creation: 1,
    clock: () => at(performance.now()),
    wake: () => undefined,
    later: (run) => void setImmediate(run),
    sink: {
      send: (_node, _lane, _key, signal) => {
        encodeSignal(signal, writer);
        if (writer.length > 1_000_000) writer.truncate(0);
        return true;
      },
    },
  });
  await new Promise<void>((resolve) => {
    node.spawn((self: Self) => {
      for (let left = count; left > 0; left--) self.send(remote, hundredBytes);
      resolve();
    });
  });
}

/** Payloads of SEND frames are decoded and given to a process that waits, in batches as a chunk of a stream holds. */
async function remoteReceive(count: number): Promise<void> {
  const node = runtime();
  node.handle({ type: "nodeUp", node: remote.node, creation: 3 }, at(0));
  let done = (): void => undefined;
  const received = new Promise<void>((resolve) => {
    done = resolve;
  });
  const receiver = node.spawn(async (self) => {
    for (let left = count; left > 0; left--) await self.receive();
    done();
  });
  const writer = new Writer();
  const signal: Signal = { type: "send", from: remote, to: receiver, message: hundredBytes };
  encodeSignal(signal, writer);
  const encoded = writer.take();
  // As in a chunk of a stream.
  const chunk = new Uint8Array(65_536);
  chunk.set(encoded);
  const payload = chunk.subarray(0, encoded.length);
  for (let sent = 0; sent < count; ) {
    for (let batch = 0; batch < 500 && sent < count; batch++, sent++) {
      const decoded = decodeSignal(0x03, payload);
      node.handle(
        { type: "signal", node: remote.node, stream: 1, bytes: payload.length, signal: decoded },
        at(0),
      );
    }
    await new Promise(setImmediate);
  }
  await received;
}

async function selective(count: number): Promise<void> {
  const node = runtime();
  await new Promise<void>((resolve) => {
    const pid = node.spawn(async (self) => {
      for (let number = 0; number < count; number++) {
        const wanted = number;
        await self.receive((message: Term) => message === wanted);
      }
      resolve();
    });
    node.spawn(async (self) => {
      for (let number = 0; number < count; number += 2) {
        self.send(pid, number + 1);
        if (!self.send(pid, number)) await self.drained(pid);
      }
    });
  });
}

/** Resident memory that 100,000 waiting processes add, megabytes. */
async function memory(): Promise<number> {
  const collect = (globalThis as { gc?: () => void }).gc;
  const node = runtime();
  collect?.();
  const before = process.memoryUsage().rss;
  for (let left = 100; left > 0; left--) {
    for (let each = 0; each < 1_000; each++) {
      node.spawn(async (self) => {
        for (;;) self.send(remote, tuple(self.pid, await self.receive()));
      });
    }
    await new Promise(setImmediate);
  }
  while (node.processInfo(node.processes().at(-1) as Pid)?.status !== "waiting")
    await new Promise(setImmediate);
  collect?.();
  const after = process.memoryUsage().rss;
  return Math.round((after - before) / 1_048_576);
}

export async function run(): Promise<BenchTable> {
  const megabytes = await memory();
  const spawned = await rate(200_000, spawnAndExit);
  const figure = async (name: string, count: number, measure: (count: number) => Promise<void>) => ({
    name,
    figures: { "per second": await rate(count, measure) },
  });
  return {
    title: "processes, one node",
    rows: [
      {
        name: "100,000 live processes",
        figures: { MB: megabytes },
        target: "under 250 MB",
        met: megabytes < 250,
      },
      {
        name: "spawn + exit",
        figures: { "per second": spawned },
        target: "above 200,000/s",
        met: spawned > 200_000,
      },
      await figure("messages, one process to one", 1_000_000, messages),
      await figure("round trips between two", 500_000, pingPong),
      await figure("selective receives", 500_000, selective),
      await figure("remote send, encoded (100 bytes)", 1_000_000, remoteSend),
      await figure("remote receive, decoded (100 bytes)", 1_000_000, remoteReceive),
    ],
  };
}
