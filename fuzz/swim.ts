import { MeshError, toError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { after, at, type Instant } from "../src/base/time.ts";
import { standInCrypto } from "../src/sim/index.ts";
import { decodePacket, decodeSync, Swim, type SwimOutput } from "../src/swim/index.ts";

const membersMax = 20;
const peersCount = 4;

/**
 * Has a few nodes talk, damages, repeats and invents what they say, and feeds it to one of them, for `seconds`; returns how many
 * inputs it was. Nothing may be thrown but DECODE by a codec, and no table may outgrow its bound.
 * @throws Error with the seed of the conversation that broke a promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  let inputs = 0;
  for (let run = 0; performance.now() < end; run++) {
    // A seed for each conversation, so that a failure is repeated by itself.
    const own = (seed + run) >>> 0;
    try {
      inputs += one(seededRandom(own));
    } catch (cause) {
      throw new Error(`fuzz swim: seed ${own}: ${toError(cause).message}`, { cause });
    }
  }
  return inputs;
}

function one(random: Random): number {
  let now: Instant = at(0);
  const nodes = Array.from({ length: peersCount }, (_, index) => {
    const publicKey = random.bytes(91);
    const setup = {
      publicKey,
      crypto: standInCrypto(publicKey),
      random,
      name: `n${index}@h:1`,
      address: "h:1",
    };
    return new Swim({ ...setup, options: { membersMax, newsMax: 30, relaysMax: 5 } }, now);
  });
  const said: Uint8Array[] = [];
  let inputs = 0;
  for (; inputs < 400; inputs++) {
    const node = nodes[random.integer(nodes.length)] as Swim;
    const from = (nodes[random.integer(nodes.length)] as Swim).id;
    now = after(now, random.integer(400));
    const honest = said[random.integer(Math.max(1, said.length))] ?? new Uint8Array();
    const payload = random.integer(3) === 0 ? honest : damaged(honest, random);
    for (const decode of [decodePacket, (bytes: Uint8Array) => decodeSync(bytes, 100)])
      expectDecode(decode, payload);
    switch (random.integer(6)) {
      case 0:
        node.handle({ type: "message", from, payload }, now);
        break;
      case 1:
        node.handle({ type: "linkUp", peer: from, address: "h:1" }, now);
        break;
      case 2:
        node.handle({ type: "join", address: "h:1" }, now);
        break;
      case 3:
        node.handle({ type: "tick" }, now);
        break;
      default:
        node.handle({ type: "datagram", from, payload }, now);
    }
    for (let output = node.poll(); output !== undefined; output = node.poll()) listen(output, said);
    if (node.members().length > membersMax) throw new Error(`${node.members().length} members`);
  }
  return inputs;
}

function listen(output: SwimOutput, said: Uint8Array[]): void {
  if (output.type !== "datagram" && output.type !== "message") return;
  if (output.type === "datagram" && output.payload.length > 1_100)
    throw new Error(`${output.payload.length} bytes`);
  said.push(output.payload);
  if (said.length > 50) said.shift();
}

function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  const copy =
    bytes.length === 0 || random.integer(10) === 0 ? random.bytes(random.integer(300)) : bytes.slice();
  for (let count = random.integer(4); count > 0 && copy.length > 0; count--) {
    copy[random.integer(copy.length)] = random.integer(256);
  }
  return copy.subarray(0, random.integer(5) === 0 ? random.integer(copy.length + 1) : copy.length);
}

function expectDecode(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
  try {
    decode(bytes);
  } catch (error) {
    if (!(error instanceof MeshError && error.code === "DECODE")) throw error;
  }
}
