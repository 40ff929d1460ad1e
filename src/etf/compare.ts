import { utf8 } from "../base/text.ts";
import {
  Atom,
  BitString,
  ExportFun,
  Float,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
} from "./terms.ts";

/**
 * Erlang's order of terms (`<`, `==`): number < atom < reference < fun < port < pid < tuple < map < nil < list < bit
 * string. Integers and floats of the same value are equal: `compare(1, float(1))` is 0.
 * @returns below, equal to or above zero. Throws TypeError for values that are no terms.
 */
export function compare(a: Term, b: Term): number {
  return order(a, b, valueOrder);
}

/** Erlang's `=:=`: the same term, so an integer never equals a float. Text equals its UTF-8 bytes. */
export function equals(a: Term, b: Term): boolean {
  return order(a, b, keyOrder) === 0;
}

interface How {
  /** Whether 1 and 1.0 differ; all integers then come before all floats, which is the order of keys in a map. */
  readonly exact: boolean;
  /** The atom that `null` is. */
  readonly nullName: string;
}
const valueOrder: How = { exact: false, nullName: "null" };
const keyOrder: How = { exact: true, nullName: "null" };
const keyOrderNil: How = { exact: true, nullName: "nil" };

/**
 * `keys` in the order of keys in a map, in which all integers come before all floats; `undefined` when two of them are
 * one term, as two tuples of the same elements are.
 */
export function sortKeys(keys: readonly Term[], nullName = "null"): readonly Term[] | undefined {
  const how = nullName === "nil" ? keyOrderNil : keyOrder;
  // Wrapped, because `Array.sort` moves `undefined`, which is an atom, to the end without asking.
  const sorted = keys.map((key) => [key] as const).sort((a, b) => order(a[0], b[0], how));
  for (let index = 1; index < sorted.length; index++) {
    if (order(sorted[index - 1]?.[0], sorted[index]?.[0], how) === 0) return undefined;
  }
  return sorted.map(([key]) => key);
}

const rank = {
  number: 0,
  atom: 1,
  reference: 2,
  fun: 3,
  port: 4,
  pid: 5,
  tuple: 6,
  map: 7,
  nil: 8,
  list: 9,
  bits: 10,
} as const;

function rankOf(term: Term): number {
  switch (typeof term) {
    case "number":
    case "bigint":
      return rank.number;
    case "string":
      return rank.bits;
    case "boolean":
    case "undefined":
      return rank.atom;
    case "object":
      return rankOfObject(term);
    default:
      throw new TypeError(`${typeof term} is no term`);
  }
}

function rankOfObject(term: Term & (object | null)): number {
  if (term === null || term instanceof Atom) return rank.atom;
  if (Array.isArray(term)) return term.length === 0 ? rank.nil : rank.list;
  if (term instanceof Tuple) return rank.tuple;
  if (term instanceof Uint8Array || term instanceof BitString) return rank.bits;
  if (term instanceof Float) return rank.number;
  if (term instanceof Pid) return rank.pid;
  if (term instanceof Reference) return rank.reference;
  if (term instanceof Port) return rank.port;
  if (term instanceof ExportFun || term instanceof OpaqueFun) return rank.fun;
  // An improper list without elements is its tail.
  if (term instanceof ImproperList) return term.elements.length === 0 ? rankOf(term.tail) : rank.list;
  return rank.map;
}

function order(a: Term, b: Term, how: How): number {
  if (a === b && typeof a !== "number") return 0;
  const rankA = rankOf(a);
  const rankB = rankOf(b);
  if (rankA !== rankB) return rankA - rankB;
  switch (rankA) {
    case rank.number:
      return orderNumbers(a as number | bigint | Float, b as number | bigint | Float, how);
    case rank.atom:
      return orderText(atomName(a, how), atomName(b, how));
    case rank.bits:
      return orderBits(a as Bits, b as Bits);
    case rank.tuple:
      return orderTuples(a as Tuple, b as Tuple, how);
    case rank.nil:
      return 0;
    case rank.list:
      return orderLists(a, b, how);
    case rank.map:
      return orderMaps(a as TermMap, b as TermMap, how);
    case rank.pid:
      return orderPids(a as Pid, b as Pid);
    case rank.reference:
      return orderReferences(a as Reference, b as Reference);
    case rank.port:
      return orderPorts(a as Port, b as Port);
    default:
      return orderFuns(a as ExportFun | OpaqueFun, b as ExportFun | OpaqueFun, how);
  }
}

function orderNumbers(a: number | bigint | Float, b: number | bigint | Float, how: How): number {
  const valueA = a instanceof Float ? a.value : a;
  const valueB = b instanceof Float ? b.value : b;
  if (how.exact) {
    const floatA = isFloat(a);
    if (floatA !== isFloat(b)) return floatA ? 1 : -1;
  }
  // JavaScript compares number with bigint by exact value, as Erlang does.
  if (valueA < valueB) return -1;
  if (valueA > valueB) return 1;
  // −0.0 and 0.0 are two terms (Erlang/OTP 27), but `==`.
  if (!how.exact || valueA !== 0) return 0;
  return Number(Object.is(valueB, -0)) - Number(Object.is(valueA, -0));
}

/** Whether a number is written as a float: not integral, −0, or an integer too large to be exact. */
function isFloat(value: number | bigint | Float): boolean {
  if (typeof value === "bigint") return false;
  if (typeof value === "number") return !Number.isSafeInteger(value) || Object.is(value, -0);
  return true;
}

/** The name of an atom, which may be written as a JavaScript value. */
function atomName(term: Term, how: How): string {
  if (term instanceof Atom) return term.name;
  if (term === null) return how.nullName;
  if (term === undefined) return "undefined";
  return term === true ? "true" : "false";
}

/** Order by code points, which is that of UTF-8 bytes; JavaScript's `<` orders by UTF-16 units. */
export function orderText(a: string, b: string): number {
  if (a === b) return 0;
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const unitA = a.charCodeAt(index);
    const unitB = b.charCodeAt(index);
    if (unitA !== unitB) return codePointOrder(unitA) - codePointOrder(unitB);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above U+FFFF, so they sort after U+E000 … U+FFFF. */
function codePointOrder(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Written as U+FFFD, and so ordered. */
const loneSurrogate = /\p{Surrogate}/u;

type Bits = string | Uint8Array | BitString;

function orderBits(a: Bits, b: Bits): number {
  if (typeof a === "string" && typeof b === "string" && !loneSurrogate.test(a) && !loneSurrogate.test(b)) {
    return orderText(a, b);
  }
  const bytesA = bytesOf(a);
  const bytesB = bytesOf(b);
  const bitsA = bytesA.length * 8 - (a instanceof BitString ? 8 - a.bits : 0);
  const bitsB = bytesB.length * 8 - (b instanceof BitString ? 8 - b.bits : 0);
  const shared = Math.min(bitsA, bitsB);
  const whole = shared >> 3;
  for (let index = 0; index < whole; index++) {
    const difference = (bytesA[index] as number) - (bytesB[index] as number);
    if (difference !== 0) return difference;
  }
  const mask = 0xff & ~(0xff >> (shared & 7));
  if (mask !== 0) {
    const difference = ((bytesA[whole] as number) & mask) - ((bytesB[whole] as number) & mask);
    if (difference !== 0) return difference;
  }
  return bitsA - bitsB;
}

function bytesOf(bits: Bits): Uint8Array {
  if (typeof bits === "string") return utf8(bits);
  return bits instanceof BitString ? bits.bytes : bits;
}

function orderTuples(a: Tuple, b: Tuple, how: How): number {
  if (a.length !== b.length) return a.length - b.length;
  return orderElements(a.elements, b.elements, how);
}

function orderElements(a: readonly Term[], b: readonly Term[], how: How): number {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const difference = order(a[index], b[index], how);
    if (difference !== 0) return difference;
  }
  return 0;
}

function orderLists(a: Term, b: Term, how: How): number {
  const listA = flatten(a);
  const listB = flatten(b);
  const difference = orderElements(listA.elements, listB.elements, how);
  if (difference !== 0) return difference;
  const lengthA = listA.elements.length;
  const lengthB = listB.elements.length;
  if (lengthA === lengthB) return order(listA.tail, listB.tail, how);
  // One list ends where the other goes on: its tail meets a list.
  return lengthA < lengthB
    ? order(listA.tail, new ImproperList(listB.elements.slice(lengthA), listB.tail), how)
    : order(new ImproperList(listA.elements.slice(lengthB), listA.tail), listB.tail, how);
}

/** A list as its elements and a tail that is no list with elements. */
export function flatten(list: Term): { readonly elements: readonly Term[]; readonly tail: Term } {
  if (Array.isArray(list)) return { elements: list, tail: [] };
  let { elements, tail } = list as ImproperList;
  while (tail instanceof ImproperList || (Array.isArray(tail) && tail.length > 0)) {
    const next: { elements: readonly Term[]; tail: Term } =
      tail instanceof ImproperList ? tail : { elements: tail, tail: [] };
    elements = elements.concat(next.elements);
    tail = next.tail;
  }
  return { elements, tail };
}

type TermMap = ReadonlyMap<Term, Term> | { readonly [key: string]: Term };

/** Size first, then the keys in their order, then the values in the order of the keys. */
function orderMaps(a: TermMap, b: TermMap, how: How): number {
  const entriesA = sortedEntries(a);
  const entriesB = sortedEntries(b);
  if (entriesA.length !== entriesB.length) return entriesA.length - entriesB.length;
  for (let index = 0; index < entriesA.length; index++) {
    const difference = order(entriesA[index]?.[0], entriesB[index]?.[0], keyOrder);
    if (difference !== 0) return difference;
  }
  for (let index = 0; index < entriesA.length; index++) {
    const difference = order(entriesA[index]?.[1], entriesB[index]?.[1], how);
    if (difference !== 0) return difference;
  }
  return 0;
}

function sortedEntries(map: TermMap): (readonly [Term, Term])[] {
  const entries: (readonly [Term, Term])[] = map instanceof Map ? [...map] : Object.entries(map);
  return entries.sort((a, b) => order(a[0], b[0], keyOrder));
}

// The orders of the following kinds are those of Erlang/OTP 25, found by trying: test/peers/etf.test.ts sorts with it.

function orderPids(a: Pid, b: Pid): number {
  return a.serial - b.serial || a.id - b.id || orderText(a.node, b.node) || a.creation - b.creation;
}

function orderPorts(a: Port, b: Port): number {
  return orderText(a.node, b.node) || a.creation - b.creation || Number(a.id > b.id) - Number(a.id < b.id);
}

function orderReferences(a: Reference, b: Reference): number {
  const nodes = orderText(a.node, b.node) || a.creation - b.creation;
  if (nodes !== 0) return nodes;
  // The last word is the most significant one, and missing words are zero.
  for (let index = Math.max(a.ids.length, b.ids.length) - 1; index >= 0; index--) {
    const difference = (a.ids[index] ?? 0) - (b.ids[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function orderFuns(a: ExportFun | OpaqueFun, b: ExportFun | OpaqueFun, how: How): number {
  if (a instanceof ExportFun && b instanceof ExportFun) {
    return orderText(a.module, b.module) || orderText(a.name, b.name) || a.arity - b.arity;
  }
  if (a instanceof OpaqueFun && b instanceof OpaqueFun) {
    const which = orderText(a.module, b.module) || a.index - b.index || a.unique - b.unique;
    return which || a.free.length - b.free.length || orderElements(a.free, b.free, how);
  }
  return a instanceof OpaqueFun ? -1 : 1;
}
