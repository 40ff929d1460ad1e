import type { Term } from "../etf/index.ts";
import type { Self } from "./types.ts";

/** A function that other nodes may call. What it returns, or its promise gives, is the answer. */
export type PlainFunction = (...args: never[]) => unknown;

/** A function that wants to be a process: see `withSelf`. */
export class SelfFunction {
  readonly body: (self: Self, ...args: readonly Term[]) => unknown;

  constructor(body: (self: Self, ...args: readonly Term[]) => unknown) {
    this.body = body;
  }
}

/**
 * Marks a function that gets `self` before its arguments. The one rule of exported functions: both kinds can be called
 * (`rpc`) and spawned (`spawnOn`); a plain function gets the arguments, a `withSelf` function gets `self` and the arguments.
 */
export function withSelf(body: (self: Self, ...args: never[]) => unknown): SelfFunction {
  return new SelfFunction(body as SelfFunction["body"]);
}

export type ExportedModule = { readonly [name: string]: PlainFunction | SelfFunction };

export type Exported =
  | { readonly kind: "plain"; readonly call: (...args: readonly Term[]) => unknown }
  | { readonly kind: "self"; readonly body: SelfFunction["body"] };

/** The functions that other nodes may call and spawn. Nothing else of this node is within their reach. */
export class Exports {
  readonly #modules = new Map<string, ReadonlyMap<string, Exported>>();

  /** Exports the functions of `module` under `name`, in place of those exported under it before. */
  set(name: string, module: ExportedModule): void {
    const functions = new Map<string, Exported>();
    for (const [key, value] of Object.entries(module)) {
      if (value instanceof SelfFunction) functions.set(key, { kind: "self", body: value.body });
      else if (typeof value === "function") {
        functions.set(key, { kind: "plain", call: value as (...args: readonly Term[]) => unknown });
      } else throw new TypeError(`${name}.${key} is not a function`);
    }
    this.#modules.set(name, functions);
  }

  delete(name: string): void {
    this.#modules.delete(name);
  }

  /** Looked up in maps, so that no name reaches what objects inherit. */
  find(module: string, name: string): Exported | undefined {
    return this.#modules.get(module)?.get(name);
  }

  names(): string[] {
    return [...this.#modules.keys()];
  }
}
