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
} from "../etf/index.ts";

/**
 * `term` as a value for JSON, for other programs to read. Types that JSON lacks turn into the nearest it has: atoms, pids
 * and references into text, tuples into arrays, bytes into base64, integers beyond 2^53 into text.
 */
export function termToJson(term: Term): unknown {
  if (term === undefined) return null;
  if (typeof term === "bigint") return String(term);
  if (term === null || typeof term !== "object") return term;
  if (Array.isArray(term)) return term.map((element: Term) => termToJson(element));
  if (term instanceof Atom) return term.name;
  if (term instanceof Tuple) return Array.from(term, (element: Term) => termToJson(element));
  if (term instanceof Float) return term.value;
  if (term instanceof Uint8Array) return Buffer.from(term).toString("base64");
  if (term instanceof BitString)
    return { bits: term.bits, bytes: Buffer.from(term.bytes).toString("base64") };
  if (term instanceof ImproperList) {
    return { elements: term.elements.map(termToJson), tail: termToJson(term.tail) };
  }
  if (term instanceof Pid || term instanceof Port || term instanceof Reference) return term.toString();
  if (term instanceof ExportFun) return `fun ${term.module}:${term.name}/${term.arity}`;
  if (term instanceof OpaqueFun) return "#Fun";
  const entries = term instanceof Map ? [...(term as ReadonlyMap<Term, Term>)] : Object.entries(term);
  return Object.fromEntries(entries.map(([key, value]) => [jsonKey(key), termToJson(value as Term)]));
}

function jsonKey(key: Term): string {
  const value = termToJson(key);
  return typeof value === "string" ? value : JSON.stringify(value);
}
