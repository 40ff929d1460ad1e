import { isIP } from "node:net";
import { toError } from "../src/base/errors.ts";
import type { NodeId } from "../src/base/node-id.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { hex } from "../src/base/text.ts";
import { at } from "../src/base/time.ts";
import { Instances } from "../src/io/mdns/instances.ts";
import { decodePacket, encodeAnswers, encodeQuestions } from "../src/io/mdns/packets.ts";
import { realmHash, Service, serviceName } from "../src/io/mdns/service.ts";

const realm = "fuzz";
const service = (name: string): Service =>
  new Service({ name: `${name}@localhost:4433`, nodeId: "a".repeat(52) as NodeId, realm, port: 4433 });
const own = service("own");
const corpus = [
  encodeAnswers(service("peer").records(["192.0.2.1", "2001:db8::1"])),
  encodeAnswers(service("peer").records(["192.0.2.1"], "leaving")),
  encodeQuestions([
    { type: "PTR", name: serviceName },
    { type: "SRV", name: own.instance },
  ]),
];
const heard = { address: "192.0.2.1", link: { contains: () => true } };

/**
 * Throws damaged packets at what reads multicast DNS for `seconds`; returns how many. Nothing may be thrown, only hosts and
 * ports that can be dialled may be found, and what is written in answer can be read again.
 * @throws Error with the seed of the packet that broke that promise.
 */
export function fuzz(seconds: number, seed: number): number {
  const end = performance.now() + seconds * 1_000;
  const instances = new Instances(realmHash(realm), own.instance);
  let runs = 0;
  for (; performance.now() < end; runs++) {
    const packet = damaged(seededRandom((seed + runs) >>> 0));
    try {
      read(instances, packet, runs);
    } catch (cause) {
      const text = `fuzz mdns: seed ${(seed + runs) >>> 0}, ${hex(packet)}: ${toError(cause).message}`;
      throw new Error(text, { cause });
    }
  }
  return runs;
}

function damaged(random: Random): Uint8Array {
  const bytes = Uint8Array.from(corpus[random.integer(corpus.length)] as Uint8Array);
  for (let count = random.integer(6); count > 0; count--) {
    // Some of them pointers, which lead anywhere in the packet.
    bytes[random.integer(bytes.length)] = random.integer(3) === 0 ? 0xc0 : random.integer(256);
  }
  return random.integer(8) === 0 ? bytes.slice(0, random.integer(bytes.length)) : bytes;
}

function read(instances: Instances, bytes: Uint8Array, now: number): void {
  const packet = decodePacket(bytes);
  if (packet === undefined) return;
  const { found, questions } = instances.handle(packet, heard, at(now));
  for (const { host, port } of found) {
    if (isIP(host) === 0 || port < 1 || port > 65_535) throw new Error(`found ${host} port ${port}`);
  }
  if (own.isAskedFor(packet)) reread(encodeAnswers(own.records(["192.0.2.2"], "legacy"), packet));
  if (questions.length > 0) reread(encodeQuestions(questions));
}

function reread(bytes: Uint8Array): void {
  if (decodePacket(bytes) === undefined) throw new Error(`wrote ${hex(bytes)}, which nobody can read`);
}
