// node scripts/soak-quic.mjs --seconds N (after npm run build:bench): garbage of every kind at a live endpoint, strangers,
// and connections that come and go, while an echo must go on and memory must stay where it is. How fast it goes is not
// looked at: on a machine that is busy with other things all of this may stand still for seconds.
import { createSocket } from "node:dgram";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" } } });
const { TestRealm } = await import("../build/test/quic/support/certificates.js");
const { QuicEndpoint, serveEcho, echoAlpn } = await import("../build/src/io/quic/index.js");

const realm = await TestRealm.create();
const stranger = await TestRealm.create();
const [a, b, c] = await Promise.all([realm.issue(), realm.issue(), stranger.issue()]);
const base = { host: "127.0.0.1", alpn: [echoAlpn], keepAliveMs: 500 };
const server = await serveEcho({ ...base, identity: a.identity, trust: realm.trust });
const client = await QuicEndpoint.listen({ ...base, identity: b.identity, trust: realm.trust });
const enemy = await QuicEndpoint.listen({ ...base, identity: c.identity, trust: stranger.trust });
const udp = createSocket("udp4");
udp.on("message", () => undefined);

let seed = 1;
const random = (below) => {
  seed = (seed * 48_271) % 2_147_483_647;
  return seed % below;
};
const garbage = () => {
  const bytes = Buffer.alloc(1 + random(1_400));
  for (let index = 0; index < bytes.length; index++) bytes[index] = random(256);
  // Half of it looks like QUIC: long headers of version 1, short headers.
  if (random(2) === 0) bytes[0] = random(2) === 0 ? 0xc0 | random(64) : 0x40 | random(64);
  if ((bytes[0] & 0x80) !== 0 && bytes.length > 30) bytes.set([0, 0, 0, 1, 8], 1);
  return bytes;
};

const counts = { garbage: 0, echoes: 0, strangers: 0, visitors: 0, unanswered: 0 };
const { port } = server.address;
const ends = Date.now() + Number(values.seconds) * 1_000;
const goingOn = () => Date.now() < ends;
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function throwGarbage() {
  while (goingOn()) {
    for (let index = 0; index < 20; index++) udp.send(garbage(), port, "127.0.0.1");
    counts.garbage += 20;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function echo() {
  const connection = await client.connect(server.address);
  const stream = connection.openStream({ bidirectional: true });
  for (let round = 0; goingOn(); round++) {
    const message = Buffer.alloc(1 + random(20_000), round);
    await stream.writeAll(message);
    for (let rest = message.length; rest > 0; ) {
      const chunk = stream.read(rest);
      if (chunk === undefined) {
        if (stream.readError !== undefined) throw stream.readError;
        await stream.readable();
        continue;
      }
      if (!chunk.every((byte) => byte === (round & 255))) throw new Error(`echo ${round} came back changed`);
      rest -= chunk.length;
    }
    counts.echoes++;
    await turn();
  }
}

async function knockAsStranger() {
  while (goingOn()) {
    const code = await enemy.connect(server.address).then(
      () => "let in",
      (error) => error.code,
    );
    // Garbage fills the server's socket, and then their packets are lost.
    if (code === "TIMEOUT") counts.unanswered++;
    else if (code === "WRONG_REALM" || code === "REFUSED") counts.strangers++;
    else throw new Error(`a stranger was ${code}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Connections that leave in the middle of everything. */
async function visit() {
  while (goingOn()) {
    const connection = await client.connect(server.address).catch((error) => {
      if (error.code !== "TIMEOUT") throw error;
      counts.unanswered++;
    });
    if (connection === undefined) continue;
    for (let index = random(20); index > 0; index--) {
      const stream = connection.openStream({ bidirectional: random(2) === 0 });
      stream?.write(new Uint8Array(random(100_000)));
      if (random(3) === 0) stream?.reset(random(100));
      else if (random(2) === 0) stream?.finish();
    }
    if (random(2) === 0) await turn();
    connection.close(random(100), "leaving");
    counts.visitors++;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const memory = [];
const watch = setInterval(() => memory.push(Math.round(process.memoryUsage().rss / 1e6)), 1_000);
let failure;
await Promise.all([throwGarbage(), echo(), knockAsStranger(), visit()]).catch((error) => (failure = error));
clearInterval(watch);
const stats = server.stats();
const bugs = [server, client, enemy].map((endpoint) => {
  const { callbackErrors, malformedBatches } = endpoint.stats();
  return callbackErrors + malformedBatches;
});
udp.close();
await Promise.all([client.close(), enemy.close(), server.close()]);
console.log({ ...counts, memoryMB: memory, server: stats });

const middle = Math.ceil(memory.length / 2);
const before = Math.max(0, ...memory.slice(0, middle));
const last = memory.at(-1) ?? 0;
const failures = [
  [failure !== undefined, failure],
  [last > before * 1.5 + 50, `memory grows: ${before} MB until half time, ${last} MB at the end`],
  [bugs.some((count) => count > 0), `callbacks threw, or batches were malformed: ${bugs.join(", ")}`],
  // Else nothing was tested.
  [
    counts.echoes === 0 || counts.strangers === 0 || counts.visitors === 0,
    "one of them never got to its end",
  ],
].flatMap(([failed, why]) => (failed ? [why] : []));
for (const why of failures) console.error("failed:", why);
process.exitCode = failures.length === 0 ? 0 : 1;
