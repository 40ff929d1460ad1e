import { textOf } from "./utf8.ts";

/** Longer texts are rarely repeated. */
const nameBytesMax = 40;
const slots = 1_024;

interface Entry {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** The slot of the entry that was asked for after this one, last time. */
  next: number;
}

function nothing(): Entry {
  return { bytes: new Uint8Array(0), text: "", next: 0 };
}

/**
 * Texts by their UTF-8 bytes, for names that come again and again (keys of maps, atoms): finding one costs less than
 * making it. Bounded: entries replace each other.
 */
export class Names {
  readonly #slots = Array.from({ length: slots }, nothing);
  #last = nothing();

  /** The text of the bytes from `start` to `end`; `undefined` when they are no UTF-8. */
  text(input: Uint8Array, start: number, end: number): string | undefined {
    const length = end - start;
    if (length > nameBytesMax) return textOf(input, start, end);
    // Objects of one shape have their keys in one order, so the next name is mostly the one that followed last time.
    const expected = this.#slots[this.#last.next] as Entry;
    if (same(expected.bytes, input, start, length)) {
      this.#last = expected;
      return expected.text;
    }
    let hash = length;
    for (let index = start; index < end; index++) hash = Math.imul(hash, 31) + (input[index] as number);
    const slot = (hash ^ (hash >>> 15)) & (slots - 1);
    let entry = this.#slots[slot] as Entry;
    if (!same(entry.bytes, input, start, length)) {
      const text = textOf(input, start, end);
      if (text === undefined) return undefined;
      entry = { bytes: input.slice(start, end), text, next: slot };
      this.#slots[slot] = entry;
    }
    this.#last.next = slot;
    this.#last = entry;
    return entry.text;
  }
}

function same(bytes: Uint8Array, input: Uint8Array, start: number, length: number): boolean {
  if (bytes.length !== length) return false;
  for (let index = 0; index < length; index++) if (bytes[index] !== input[start + index]) return false;
  return true;
}
