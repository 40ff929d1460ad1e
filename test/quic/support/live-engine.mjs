// Run by process.test.ts in a process of its own, on the bare binding: plain JavaScript, since Node 20 runs no TypeScript.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

const [binding, mode] = isMainThread ? process.argv.slice(2) : [workerData.binding, workerData.mode];
const given = isMainThread ? JSON.parse(readFileSync(0, "utf8")) : workerData.given;
const { NativeEngine } = createRequire(import.meta.url)(binding);
const bytes = (text) => Buffer.from(text, "base64");

/** An engine with a socket, a connection to itself under way, and callbacks that throw. */
function live() {
  const identity = { chain: [bytes(given.certificate)], privateKey: bytes(given.privateKey) };
  const trust = { authorities: [bytes(given.authority)], revoked: [], revokedSerials: [] };
  const engine = new NativeEngine(identity, trust, { alpn: ["test"] }, false, 0, Date.now());
  const fail = () => {
    throw new Error("a callback that throws into the engine");
  };
  const { port } = engine.attach("127.0.0.1", 0, 65_536, 65_536, fail, fail);
  engine.connect("127.0.0.1", port, undefined, "test", undefined, 0);
  engine.flush(new Uint8Array(0), 0, 0);
  return engine;
}

async function workers() {
  for (const end of ["terminate", "exit", "return"]) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { binding, mode: end, given } });
    await new Promise((resolve) => worker.once("message", resolve));
    if (end === "terminate") await worker.terminate();
    else await new Promise((resolve) => worker.once("exit", resolve));
  }
}

if (mode === "workers") await workers();
else if (mode === "nonsense") {
  const engine = live();
  for (const call of [
    () => engine.read(1, 2, new Uint8Array(10), 5, 10),
    () => engine.read(Number.NaN, -1, new Uint8Array(0), 0, 0),
    () => engine.flush(new Uint8Array(3), 10, 0),
    () => engine.writeBatch(new Uint8Array(100).fill(255), 100, Number.POSITIVE_INFINITY),
    () => engine.write(2 ** 60, 0, new Uint8Array(1), 0),
    () => engine.close(-1, -1, new Uint8Array(0), 0),
    () => engine.connect("not an address", 1, undefined, "x", undefined, 0),
    () => engine.connect("127.0.0.1", 70_000, undefined, "x", undefined, 0),
    () => engine.connect("127.0.0.1", 0, undefined, "x", undefined, 0),
    () => engine.connect("127.0.0.1", 1, new Uint8Array(3), "x", undefined, 0),
    () => engine.connect("127.0.0.1", 1, undefined, "x".repeat(300), undefined, 0),
    () => engine.connect("127.0.0.1", 1, undefined, "", undefined, 0),
    () => engine.events(new Float64Array(3)),
    () => engine.events("text"),
    () => engine.receive(undefined, 0),
    () =>
      engine.attach(
        "127.0.0.1",
        0,
        1,
        1,
        () => {},
        () => {},
      ),
    () => engine.mapAddress("10.0.0.1", 1, undefined),
    () => engine.setIdentity({ chain: [], privateKey: new Uint8Array(0) }),
    () => Reflect.apply(engine.flush, {}, []),
    () => new NativeEngine(),
  ]) {
    try {
      call();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  engine.detach();
  engine.detach();
} else {
  const engine = live();
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has none
  parentPort?.postMessage("up");
  if (mode === "exit") setTimeout(() => process.exit(0), 20);
  if (mode === "return") setTimeout(() => engine.detach(), 20);
}
