/**
 * The Erlang terms that JavaScript has no value for. All are immutable.
 *
 * `docs/etf.md` has the whole mapping; in short: integers are `number` or, beyond 2^53, `bigint`; floats are `number`
 * or, when integral, `Float`; binaries are `Uint8Array` or text; lists are arrays; maps are plain objects or `Map`;
 * the atoms `true`, `false`, `undefined` and `null` are the JavaScript values.
 */
export type Term =
  | number
  | bigint
  | string
  | boolean
  | null
  | undefined
  | Uint8Array
  | Atom
  | Tuple
  | Float
  | BitString
  | ImproperList
  | Pid
  | Port
  | Reference
  | ExportFun
  | OpaqueFun
  | readonly Term[]
  | ReadonlyMap<Term, Term>
  | { readonly [key: string]: Term };

const atoms = new Map<string, WeakRef<Atom>>();
const forgotten = new FinalizationRegistry<string>((name) => {
  if (atoms.get(name)?.deref() === undefined) atoms.delete(name);
});

/** Of Erlang's grammar: as atoms they are quoted. */
const reservedWords = new Set(
  (
    "after and andalso band begin bnot bor bsl bsr bxor case catch cond div end fun if let maybe not of or orelse " +
    "receive rem try when xor"
  ).split(" "),
);

function escapeControl(character: string): string {
  return character === "\n" ? "\\n" : `\\x{${(character.codePointAt(0) as number).toString(16)}}`;
}

/** An atom. There is one object per name, so `===` compares atoms; unused ones are collected. */
export class Atom {
  readonly name: string;

  /** @internal Use `atom`. */
  constructor(name: string) {
    this.name = name;
  }

  toString(): string {
    if (/^[a-zß-öø-ÿ][A-Za-z0-9_@À-ÖØ-öø-ÿ]*$/.test(this.name) && !reservedWords.has(this.name))
      return this.name;
    const escaped = this.name.replace(/['\\]/g, "\\$&").replace(/\p{Cc}/gu, escapeControl);
    return `'${escaped}'`;
  }
}

/**
 * The atom called `name`: at most 255 characters.
 * @throws RangeError when it is longer.
 */
export function atom(name: string): Atom {
  const known = atoms.get(name)?.deref();
  if (known !== undefined) return known;
  // 255 counts code points, which UTF-16 length overstates.
  if (name.length > 255 && Array.from(name).length > 255)
    throw new RangeError("an atom has at most 255 characters");
  const made = new Atom(name);
  atoms.set(name, new WeakRef(made));
  forgotten.register(made, name);
  return made;
}

/** A tuple. */
export class Tuple<Elements extends readonly Term[] = readonly Term[]> {
  readonly elements: Elements;

  constructor(elements: Elements) {
    this.elements = elements;
  }

  get length(): number {
    return this.elements.length;
  }

  [Symbol.iterator](): IterableIterator<Elements[number]> {
    return this.elements[Symbol.iterator]();
  }
}

/** The tuple of `elements`. */
export function tuple<const Elements extends readonly Term[]>(...elements: Elements): Tuple<Elements> {
  return new Tuple(elements);
}

/** A float whose value is integral (or −0), which a plain number would turn into an integer: `float(1)` is `1.0`. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }

  valueOf(): number {
    return this.value;
  }
}

/** `value` as a float even when it is integral. */
export function float(value: number): Float {
  return new Float(value);
}

/** A bit string whose length is no multiple of 8: all bits of `bytes` but the last `8 - bits` of the last byte. */
export class BitString {
  readonly bytes: Uint8Array;
  /** Bits used in the last byte, 1 … 7, from the most significant on. */
  readonly bits: number;

  constructor(bytes: Uint8Array, bits: number) {
    this.bytes = bytes;
    this.bits = bits;
  }
}

/** A list that ends in something else than the empty list: `[1, 2 | tail]`. */
export class ImproperList {
  readonly elements: readonly Term[];
  readonly tail: Term;

  constructor(elements: readonly Term[], tail: Term) {
    this.elements = elements;
    this.tail = tail;
  }
}

/** A process identifier. */
export class Pid {
  /** Name of the node it lives on. */
  readonly node: string;
  readonly id: number;
  readonly serial: number;
  /** Tells one life of the node from the next, 32 bits. */
  readonly creation: number;

  constructor(node: string, id: number, serial: number, creation: number) {
    this.node = node;
    this.id = id;
    this.serial = serial;
    this.creation = creation;
  }

  toString(): string {
    return `#Pid<${this.node}.${this.id}.${this.serial}>`;
  }
}

/** A port identifier of an Erlang node. */
export class Port {
  readonly node: string;
  readonly id: bigint;
  readonly creation: number;

  constructor(node: string, id: bigint, creation: number) {
    this.node = node;
    this.id = id;
    this.creation = creation;
  }

  toString(): string {
    return `#Port<${this.node}.${this.id}>`;
  }
}

/** A reference: unique among all nodes and their lives. */
export class Reference {
  readonly node: string;
  readonly creation: number;
  /** One to five 32-bit words. */
  readonly ids: readonly number[];

  constructor(node: string, creation: number, ids: readonly number[]) {
    this.node = node;
    this.creation = creation;
    this.ids = ids;
  }

  toString(): string {
    return `#Ref<${this.node}.${this.ids.join(".")}>`;
  }
}

/** An external fun: `fun module:name/arity`. */
export class ExportFun {
  readonly module: string;
  readonly name: string;
  readonly arity: number;

  constructor(module: string, name: string, arity: number) {
    this.module = module;
    this.name = name;
    this.arity = arity;
  }
}

/** A fun of an Erlang node (a closure), carried as it came: it can be sent back, not called. */
export class OpaqueFun {
  /** The term with its tag (NEW_FUN_EXT or the old FUN_EXT). */
  readonly encoded: Uint8Array;
  /** The module it was written in, and which fun of that module it is. */
  readonly module: string;
  readonly index: number;
  readonly unique: number;
  /** The values of its free variables. */
  readonly free: readonly Term[];

  /** @internal Funs come from `decode`. */
  constructor(encoded: Uint8Array, module: string, index: number, unique: number, free: readonly Term[]) {
    this.encoded = encoded;
    this.module = module;
    this.index = index;
    this.unique = unique;
    this.free = free;
  }

  toString(): string {
    return `#Fun<${this.module}.${this.index}.${this.unique}>`;
  }
}

/** The characters of `text` as a list of code points, which is what Erlang's `"text"` is. */
export function charlist(text: string): number[] {
  return Array.from(text, (character) => character.codePointAt(0) as number);
}
