import * as fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import type { Self } from "../../src/process/index.ts";
import { deferred, run, start } from "./support/nodes.ts";

/** Contents that tell sender, number and length, so that bytes of another message show anywhere. */
function contents(sender: number, number: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = sender * 31 + number * 7 + (index >>> 4);
  return bytes;
}

const senders = 4;
const each = 300;

test("kept messages stay what they were, whatever is read and written after them in the same buffers", async () => {
  const one = await start();
  const two = await start();
  const [{ seed }] = fc.sample(fc.record({ seed: fc.nat() }), 1) as [{ seed: number }];
  const random = seededRandom(seed);
  // Around the sizes where another path begins: 4 KiB, the fragment, the chunk, and short ones in between.
  const sizes = [0, 100, 100, 1_000, 4_095, 4_200, 16_300, 16_500, 65_500, 65_600, 200_000];
  const lengths = Array.from({ length: senders * each }, () => sizes[random.integer(sizes.length)] as number);
  const all = deferred<[number, number, Uint8Array][]>();
  one.spawn(
    async (self) => {
      const kept: [number, number, Uint8Array][] = [];
      while (kept.length < senders * each) kept.push((await self.receive()) as [number, number, Uint8Array]);
      all.resolve(kept);
    },
    { name: "keeper" },
  );
  const target = { name: "keeper", node: one.name };
  const send = async (self: Self, sender: number): Promise<void> => {
    for (let number = 0; number < each; number++) {
      const bytes = contents(sender, number, lengths[sender * each + number] as number);
      const open = self.send(target, [sender, number, bytes]);
      // Sending copies: what the sender does afterwards is its own business.
      bytes.fill(0xee);
      if (!open) await self.drained(target);
    }
  };
  await Promise.all(Array.from({ length: senders }, (_, sender) => run(two, (self) => send(self, sender))));
  const next = Array.from({ length: senders }, () => 0);
  for (const [sender, number, bytes] of await all.promise) {
    expect(number, `order, seed ${seed}`).toBe((next[sender] as number)++);
    const wanted = contents(sender, number, lengths[sender * each + number] as number);
    expect(Buffer.compare(bytes, wanted), `message ${number} of ${sender}, seed ${seed}`).toBe(0);
  }
});
