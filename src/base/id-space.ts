/*
 * The space in which nodes and directory keys live: 256-bit numbers, shown as 52 characters of base32. Distances are
 * taken digit by digit on that text: two random ids differ within the first or second digit, so nothing is decoded.
 */

/** A number of 256 bits in canonical base32: a `NodeId`, or the key of a directory record. */
export type Point = string;

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
const digits = new Uint8Array(128);
for (let value = 0; value < 32; value++) digits[alphabet.charCodeAt(value)] = value;

/** Characters of a point; the last carries one bit. */
const pointDigits = 52;

/** Order by value: negative when `a` is the smaller number. Not the order of the texts, as digits follow letters in base32. */
export function comparePoints(a: Point, b: Point): number {
  for (let index = 0; index < pointDigits; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return (digits[left] as number) - (digits[right] as number);
  }
  return 0;
}

/** Negative when `a` is nearer to `target` by XOR than `b`. Zero only when `a` is `b`. */
export function compareDistance(target: Point, a: Point, b: Point): number {
  for (let index = 0; index < pointDigits; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    const wanted = digits[target.charCodeAt(index)] as number;
    return ((digits[left] as number) ^ wanted) - ((digits[right] as number) ^ wanted);
  }
  return 0;
}

/** Leading bits that two points have in common, 0 … 256. It is the number of the Kademlia bucket of `b` as seen from `a`. */
export function sharedBits(a: Point, b: Point): number {
  for (let index = 0; index < pointDigits; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left === right) continue;
    // clz32 counts from 32 bits; a digit has 5.
    return index * 5 + Math.clz32((digits[left] as number) ^ (digits[right] as number)) - 27;
  }
  return 256;
}

/** The bit of a point at `index`, 0 (most significant) … 255. */
export function bitOf(point: Point, index: number): number {
  return ((digits[point.charCodeAt(Math.floor(index / 5))] as number) >> (4 - (index % 5))) & 1;
}

/**
 * The first 48 bits of a point, in two halves. Routing compares distances of a dozen links for each message that
 * passes; 48 bits tell apart all nodes there are (of 100,000 nodes the nearest two differ after about 33 bits) and fit
 * a number.
 */
export interface Position {
  readonly high: number;
  readonly low: number;
}

/** Above every distance between positions. */
export const farthest = 2 ** 48;

export function positionOf(point: Point): Position {
  let high = 0;
  for (let index = 0; index < 5; index++) high = high * 32 + (digits[point.charCodeAt(index)] as number);
  let low = 0;
  for (let index = 5; index < 10; index++) low = low * 32 + (digits[point.charCodeAt(index)] as number);
  // Ten digits are 50 bits, 25 and 25: one bit moves from the second half to the first and becomes part of neither.
  return { high: high >>> 1, low: ((high & 1) << 23) | (low >>> 2) };
}

/** Distance by XOR, 0 … 2^48 − 1. */
export function xorDistance(a: Position, b: Position): number {
  return (a.high ^ b.high) * 0x100_0000 + (a.low ^ b.low);
}

/** Distance along the ring of all ids, the shorter way, 0 … 2^47. */
export function ringDistance(a: Position, b: Position): number {
  const apart = Math.abs((a.high - b.high) * 0x100_0000 + (a.low - b.low));
  return Math.min(apart, farthest - apart);
}
