import { equal } from "../base/bytes.ts";
import {
  Atom,
  BitString,
  Float,
  ImproperList,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
} from "../etf/index.ts";

/**
 * Patterns of `receive(pattern)`: a term with wildcards where anything, or anything of a type, may stand. A wildcard
 * has the static type of what it stands for, so the type of a pattern is the type of the messages that it matches:
 *
 * ```ts
 * const [, text, from] = (await self.receive(tuple(atom("print"), is.string, is.pid))).elements; // string, Pid
 * ```
 *
 * Maps match when they have the pattern's keys, as in Erlang; everything else must match as a whole. A function in
 * place of a pattern is a predicate on the message.
 */
export type Pattern<Message extends Term = Term> =
  | Message
  | ((message: Term) => message is Message)
  | ((message: Term) => boolean);

class Wildcard {
  readonly test: (term: Term) => boolean;

  constructor(test: (term: Term) => boolean) {
    this.test = test;
  }
}

/** A wildcard for the terms that `test` accepts. */
export function where<Matched extends Term>(
  test: ((term: Term) => term is Matched) | ((term: Term) => boolean),
): Matched {
  // A wildcard passes for what it stands for, so that a pattern can be built like the message.
  return new Wildcard(test) as unknown as Matched;
}

/** A wildcard for what matches one of `patterns`. */
export function oneOf<const Patterns extends readonly Term[]>(...patterns: Patterns): Patterns[number] {
  return where((term) => patterns.some((pattern) => matches(pattern, term)));
}

/** Matches every term. */
export const any: Term = where(() => true);

/** Wildcards by type. */
export const is = {
  integer: where<number | bigint>((term) => typeof term === "bigint" || Number.isInteger(term)),
  /** Integer or float. */
  number: where<number | bigint>((term) => typeof term === "number" || typeof term === "bigint"),
  string: where<string>((term) => typeof term === "string"),
  bytes: where<Uint8Array>((term) => term instanceof Uint8Array),
  boolean: where<boolean>((term) => typeof term === "boolean"),
  atom: where<Atom>((term) => term instanceof Atom),
  list: where<readonly Term[]>((term) => Array.isArray(term)),
  map: where<ReadonlyMap<Term, Term> | { readonly [key: string]: Term }>(
    (term) => term instanceof Map || isObject(term),
  ),
  tuple: where<Tuple>((term) => term instanceof Tuple),
  pid: where<Pid>((term) => term instanceof Pid),
  reference: where<Reference>((term) => term instanceof Reference),
} as const;

/** Whether `message` is one of those that `pattern` describes. */
export function matches(pattern: Pattern, message: Term): boolean {
  if (pattern === message) return true;
  if (typeof pattern === "function") return pattern(message);
  if (typeof pattern !== "object" || pattern === null) return Object.is(pattern, message);
  if (pattern instanceof Wildcard) return pattern.test(message);
  if (pattern instanceof Tuple) {
    return message instanceof Tuple && allMatch(pattern.elements, message.elements);
  }
  if (Array.isArray(pattern)) return Array.isArray(message) && allMatch(pattern, message);
  if (pattern instanceof Map) return message instanceof Map && entriesMatch(pattern, message);
  if (isObject(pattern)) return fieldsMatch(pattern, message);
  return sameValue(pattern, message);
}

function allMatch(patterns: readonly Term[], terms: readonly Term[]): boolean {
  if (patterns.length !== terms.length) return false;
  for (let index = 0; index < patterns.length; index++) {
    if (!matches(patterns[index], terms[index])) return false;
  }
  return true;
}

function entriesMatch(pattern: ReadonlyMap<Term, Term>, map: ReadonlyMap<Term, Term>): boolean {
  for (const [key, value] of pattern) {
    if (!map.has(key) || !matches(value, map.get(key))) return false;
  }
  return true;
}

function fieldsMatch(pattern: { readonly [key: string]: Term }, message: Term): boolean {
  if (!isObject(message)) return false;
  return Object.entries(pattern).every(
    ([key, value]) => Object.hasOwn(message, key) && matches(value, message[key]),
  );
}

function isObject(term: Term): term is { readonly [key: string]: Term } {
  if (typeof term !== "object" || term === null) return false;
  const prototype: unknown = Object.getPrototypeOf(term);
  return prototype === Object.prototype || prototype === null;
}

function sameValue(pattern: Term, message: Term): boolean {
  if (pattern instanceof Pid) return message instanceof Pid && samePid(pattern, message);
  if (pattern instanceof Reference) return message instanceof Reference && sameReference(pattern, message);
  if (pattern instanceof Uint8Array) return message instanceof Uint8Array && equal(pattern, message);
  if (pattern instanceof Float) return message instanceof Float && Object.is(pattern.value, message.value);
  if (pattern instanceof BitString) {
    return (
      message instanceof BitString && pattern.bits === message.bits && equal(pattern.bytes, message.bytes)
    );
  }
  if (pattern instanceof Port) {
    const { id, node, creation } = pattern;
    return (
      message instanceof Port && id === message.id && node === message.node && creation === message.creation
    );
  }
  if (pattern instanceof ImproperList) {
    if (!(message instanceof ImproperList) || !allMatch(pattern.elements, message.elements)) return false;
    return matches(pattern.tail, message.tail);
  }
  return false;
}

/** The same process: also of the same life of its node. */
export function samePid(a: Pid, b: Pid): boolean {
  return a.id === b.id && a.serial === b.serial && a.creation === b.creation && a.node === b.node;
}

export function sameReference(a: Reference, b: Reference): boolean {
  if (a.creation !== b.creation || a.node !== b.node || a.ids.length !== b.ids.length) return false;
  return a.ids.every((word, index) => word === b.ids[index]);
}
