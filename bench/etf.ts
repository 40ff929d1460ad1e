import * as cborx from "cbor-x";
import * as msgpackr from "msgpackr";
import { seededRandom } from "../src/base/random.ts";
import { atom, decode, encode, Pid, type Term, tuple } from "../src/etf/index.ts";
import type { BenchRow, BenchTable } from "./table.ts";

/** The same payload as each codec has it by nature: terms for us, plain values for the others. */
interface Payload {
  readonly name: string;
  readonly terms: readonly Term[];
  readonly values: readonly unknown[];
}

interface Codec {
  readonly name: string;
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/** How long each codec runs at a time, and how often; the codecs take turns, because the machine's speed varies. */
const turnMs = 40;
const turns = 5;

const etf: Codec = {
  name: "etf",
  encode: (value) => encode(value as Term),
  decode: (bytes) => decode(bytes),
};
/** As between our nodes: strings marked, so that bytes stay bytes. */
const marked: Codec = {
  name: "etf marked",
  encode: (value) => encode(value as Term, { text: "marked" }),
  decode: (bytes) => decode(bytes, { binaries: "bytes" }),
};
const cbor: Codec = {
  name: "cbor-x",
  encode: (value) => cborx.encode(value),
  decode: (bytes) => cborx.decode(bytes),
};
const msgpack: Codec = {
  name: "msgpackr",
  encode: (value) => msgpackr.pack(value),
  decode: (bytes) => msgpackr.unpack(bytes),
};

/** Operations per microsecond, by codec. */
type Speeds = Record<string, number>;

export async function run(): Promise<BenchTable> {
  const rows: BenchRow[] = [];
  for (const direction of ["encode", "decode"] as const) {
    const all: Speeds[] = [];
    for (const payload of payloads()) {
      const speeds = measure(payload, direction);
      all.push(speeds);
      rows.push({ name: `${direction}: ${payload.name}`, figures: figures(speeds) });
    }
    rows.push(...means(direction, all));
  }
  const natives = [
    `msgpackr's native addon ${msgpackr.isNativeAccelerationEnabled ? "in use" : "not installed"}`,
    `cbor-x's ${cborx.isNativeAccelerationEnabled ? "in use" : "not installed"}`,
  ];
  return { title: `etf: terms per second (${natives.join(", ")})`, rows };
}

function figures(speeds: Speeds): Record<string, number | string> {
  const own = speeds[etf.name] as number;
  return {
    ...Object.fromEntries(
      Object.entries(speeds).map(([name, speed]) => [`${name} k/s`, round(speed * 1_000)]),
    ),
    "x cbor-x": round(own / (speeds[cbor.name] as number)),
    "x msgpackr": round(own / (speeds[msgpack.name] as number)),
  };
}

/** Geometric means over the payloads, against what the issue asks for. */
function means(direction: string, all: readonly Speeds[]): BenchRow[] {
  const mean = (own: Codec, other: Codec): number =>
    Math.exp(
      all.reduce(
        (sum, speeds) => sum + Math.log((speeds[own.name] as number) / (speeds[other.name] as number)),
        0,
      ) / all.length,
    );
  return [etf, marked].flatMap((own) => {
    const toCbor = mean(own, cbor);
    const toMsgpack = mean(own, msgpack);
    return [
      {
        name: `${direction}, ${own.name}: geometric mean`,
        figures: { "x cbor-x": round(toCbor), "x msgpackr": round(toMsgpack) },
        target: "1.0 x cbor-x, 0.7 x msgpackr",
        met: toCbor >= 1 && toMsgpack >= 0.7,
      },
    ];
  });
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}

function measure({ terms, values }: Payload, direction: "encode" | "decode"): Speeds {
  const loops = [etf, marked, cbor, msgpack].map((codec) => {
    const inputs = codec === etf || codec === marked ? terms : values;
    // Copied, because results of `encode` share buffers.
    const encoded = inputs.map((input) => new Uint8Array(codec.encode(input)));
    const once =
      direction === "encode"
        ? () => inputs.reduce<number>((sum, input) => sum + codec.encode(input).length, 0)
        : () => encoded.reduce((sum, bytes) => sum + (codec.decode(bytes) === undefined ? 1 : 0), 0);
    return { name: codec.name, once, speeds: [] as number[] };
  });
  for (const { once } of loops) runFor(once, turnMs);
  for (let turn = 0; turn < turns; turn++) {
    for (const { once, speeds } of loops) speeds.push(runFor(once, turnMs) * terms.length);
  }
  return Object.fromEntries(loops.map(({ name, speeds }) => [name, median(speeds)]));
}

/** Rounds per microsecond. */
function runFor(once: () => number, milliseconds: number): number {
  const start = performance.now();
  let rounds = 0;
  let sum = 0;
  let now = start;
  do {
    sum += once();
    rounds++;
    now = performance.now();
  } while (now - start < milliseconds);
  if (sum < 0) throw new Error("never, but the engine must not know");
  return rounds / ((now - start) * 1_000);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}

function payloads(): Payload[] {
  const random = seededRandom(1);
  const many = <Value>(make: (index: number) => Value): Value[] =>
    Array.from({ length: 50 }, (_, index) => make(index));
  const same = (name: string, values: readonly Term[]): Payload => ({ name, terms: values, values });
  const words = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor".split(" ");
  const sentence = (count: number): string =>
    Array.from({ length: count }, () => words[random.integer(words.length)]).join(" ");

  const bytes = many(() => random.bytes(100));
  const pids = many((index) => new Pid("node1@localhost:4433", 100 + index, 0, 1_700_000_000));
  const numbers = many(() => Array.from({ length: 100 }, () => random.integer(100_000)));
  const floats = many(() => Array.from({ length: 100 }, () => random.float() * 1_000));
  return [
    same(
      "chat message",
      many((index) => ({
        type: "message",
        room: "general",
        from: `user${index}`,
        text: sentence(8),
        at: 1_795_000_000_000 + index,
        seq: index,
      })),
    ),
    {
      name: "100 bytes in a tuple with a pid",
      terms: many((index) => tuple(atom("message"), pids[index], bytes[index])),
      values: many((index) => [
        "message",
        [pids[index]?.node, pids[index]?.id, pids[index]?.serial, pids[index]?.creation],
        bytes[index],
      ]),
    },
    same(
      "nested configuration",
      many((index) => ({
        name: `service-${index}`,
        enabled: true,
        listen: {
          host: "127.0.0.1",
          port: 8_000 + index,
          tls: { certificate: "/etc/tls/cert.pem", minVersion: 1.3 },
        },
        limits: { connections: 10_000, perSecond: 250, burst: { size: 50, refillMs: 1_000 } },
        log: {
          level: "info",
          targets: [
            { type: "file", path: "/var/log/service.log" },
            { type: "console", path: null },
          ],
        },
      })),
    ),
    same("100 integers", numbers),
    { name: "100 floats", terms: floats, values: floats },
    same(
      "20 objects",
      many(() =>
        Array.from({ length: 20 }, (_, index) => ({
          id: index * 1_000,
          name: sentence(2),
          score: random.float(),
          active: index % 2 === 0,
          tags: [sentence(1), sentence(1)],
        })),
      ),
    ),
    same(
      "2 KB of text",
      many(() => sentence(340)),
    ),
    same(
      "200 characters, not ASCII",
      many(() => `${sentence(28)} äöü`),
    ),
    same(
      "64 KiB of bytes",
      many(() => random.bytes(65_536)),
    ),
  ];
}
