import { randomFillSync } from "node:crypto";
import { type Random, randomFrom } from "../base/random.ts";

/** Words fetched at a time: one call into the system's generator costs about as much as a thousand words read from memory. */
const wordsBuffered = 1_024;

/** The system's cryptographic generator, buffered so that `u32` is cheap enough for every packet and every timer. */
function bufferedSystemRandom(): Random {
  const words = new Uint32Array(wordsBuffered);
  let next = wordsBuffered;
  const u32 = (): number => {
    if (next === wordsBuffered) {
      randomFillSync(words);
      next = 0;
    }
    const word = words[next] as number;
    // A word given out is forgotten: it may have become part of a secret.
    words[next++] = 0;
    return word;
  };
  return { ...randomFrom(u32), bytes: (length) => randomFillSync(new Uint8Array(length)) };
}

/** Cryptographically strong, for nodes. One for the process: the state is only a buffer. */
export const systemRandom: Random = bufferedSystemRandom();
