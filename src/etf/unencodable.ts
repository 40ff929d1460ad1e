import { MeshError } from "../base/errors.ts";
import { isPlain } from "./encoder.ts";
import { Unencodable } from "./leaf-encoder.ts";
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
 * The error for a value that could not be encoded: says which part of it, and why. Looks for that part by itself, so
 * that the encoder need not keep track of where it is.
 */
export function explain(term: unknown, failure: unknown, depthMax: number): unknown {
  if (!(failure instanceof Unencodable || failure instanceof TypeError || failure instanceof RangeError))
    return failure;
  const what = search(term, depthMax) ?? `the term: ${failure.message}`;
  return new MeshError("ENCODE", `cannot encode ${what}`, { cause: failure });
}

function search(term: unknown, depthMax: number): string | undefined {
  try {
    return new Search(depthMax).find(term, "", depthMax);
  } catch {
    // The stack, or a getter that throws: then the first failure has to say enough.
    return undefined;
  }
}

const leaves = [Atom, BitString, ExportFun, OpaqueFun, Pid, Port, Reference, Uint8Array];

class Search {
  readonly #depthMax: number;
  readonly #enclosing = new Set<object>();

  constructor(depthMax: number) {
    this.#depthMax = depthMax;
  }

  /** What is wrong within `value`, at the first place where something is. */
  find(value: unknown, path: string, depth: number): string | undefined {
    const at = path === "" ? "" : ` at ${path.startsWith(".") ? path.slice(1) : path}`;
    if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}${at}`;
    const number = value instanceof Float ? value.value : value;
    if (typeof number === "number" && !Number.isFinite(number)) return `the number ${number}${at}`;
    if (typeof value !== "object" || value === null || value instanceof Float) return undefined;
    if (leaves.some((leaf) => value instanceof leaf)) return undefined;
    if (this.#enclosing.has(value)) return `a value that contains itself${at}`;
    if (depth === 0) return `a value nested deeper than ${this.#depthMax}`;
    this.#enclosing.add(value);
    for (const [step, child] of children(value)) {
      const found = this.find(child, path + step, depth - 1);
      if (found !== undefined) return found;
    }
    this.#enclosing.delete(value);
    return isTerm(value)
      ? undefined
      : `an object of class ${value.constructor.name || "without a name"}${at}`;
  }
}

function isTerm(value: object): boolean {
  return (
    Array.isArray(value) ||
    value instanceof Tuple ||
    value instanceof ImproperList ||
    value instanceof Map ||
    isPlain(value)
  );
}

/** The parts of a value, each with how to get there. */
function* children(value: object): Generator<[string, unknown]> {
  if (Array.isArray(value)) yield* steps(value);
  else if (value instanceof Tuple) yield* steps(value.elements);
  else if (value instanceof ImproperList) {
    yield* steps(value.elements);
    yield [".tail", value.tail];
  } else if (value instanceof Map) {
    for (const [key, child] of value as ReadonlyMap<Term, Term>) {
      yield [".key", key];
      yield [typeof key === "string" ? step(key) : ".value", child];
    }
  } else if (isPlain(value)) {
    for (const [key, child] of Object.entries(value)) yield [step(key), child];
  }
}

function* steps(elements: readonly unknown[]): Generator<[string, unknown]> {
  for (const [index, child] of elements.entries()) yield [`[${index}]`, child];
}

function step(key: string): string {
  return /^[\p{ID_Start}_$][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}
