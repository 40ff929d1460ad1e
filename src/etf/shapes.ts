import { utf8 } from "../base/text.ts";
import { compare } from "./compare.ts";

/** Up to here Erlang writes a map in the order of its keys; larger ones in an order of its own, which nobody relies on. */
export const sortedKeysMax = 32;

/** How to write the objects with certain keys: each key with its encoding, in the order in which they are written. */
export interface Shape {
  readonly keys: readonly string[];
  readonly encodedKeys: readonly Uint8Array[];
  /** Sum of the lengths of `encodedKeys`. */
  readonly keyBytes: number;
}

interface Known extends Shape {
  /** The keys in the order of the object. */
  readonly given: readonly string[];
}

/** Bounds what programs that use objects as dictionaries could make us keep. */
const firstKeysMax = 1_024;
const shapesPerFirstKeyMax = 8;

/**
 * Remembers the shapes of the objects written so far, because sorting and encoding the keys of every object again
 * takes most of the time. Objects with many keys are not remembered: they are dictionaries.
 */
export class Shapes {
  readonly #byFirstKey = new Map<string, Known[]>();

  of(given: readonly string[]): Shape {
    if (given.length > sortedKeysMax) return describe(given);
    const first = given[0] as string;
    const known = this.#byFirstKey.get(first);
    if (known === undefined) {
      if (this.#byFirstKey.size >= firstKeysMax) this.#byFirstKey.clear();
      const made = describe(given);
      this.#byFirstKey.set(first, [made]);
      return made;
    }
    for (const shape of known) if (sameKeys(shape.given, given)) return shape;
    const made = describe(given);
    if (known.length >= shapesPerFirstKeyMax) known.shift();
    known.push(made);
    return made;
  }
}

function sameKeys(a: readonly string[], b: readonly string[]): boolean {
  const length = a.length;
  if (length !== b.length) return false;
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return false;
  return true;
}

function describe(given: readonly string[]): Known {
  const keys = given.length <= sortedKeysMax ? given.slice().sort(compare) : given;
  const encodedKeys = keys.map(encodeKey);
  const keyBytes = encodedKeys.reduce((total, key) => total + key.length, 0);
  return { given, keys, encodedKeys, keyBytes };
}

/** BINARY_EXT: tag 109, length u32, UTF-8. */
function encodeKey(key: string): Uint8Array {
  const text = utf8(key);
  const encoded = new Uint8Array(5 + text.length);
  new DataView(encoded.buffer).setUint32(1, text.length);
  encoded[0] = 109;
  encoded.set(text, 5);
  return encoded;
}
