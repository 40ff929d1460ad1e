import { MeshError } from "../base/errors.ts";
import type { Process } from "./process.ts";

/** Names that are never free: `undefined` is what Erlang's `whereis` answers for a name that nobody has. */
const reserved: ReadonlySet<string> = new Set(["undefined", ""]);

/** The registered names of this node: one process per name, one name per process (Erlang's `register/2`). */
export class Registry {
  readonly #processes = new Map<string, Process>();

  find(name: string): Process | undefined {
    return this.#processes.get(name);
  }

  names(): string[] {
    return [...this.#processes.keys()];
  }

  /** @throws MeshError `NO_PROCESS`, or `LIMIT` when the name is taken or the process has one. */
  register(name: string, process: Process | undefined): void {
    if (process === undefined)
      throw new MeshError("NO_PROCESS", `cannot register ${name}: no such process here`);
    if (reserved.has(name) || Array.from(name).length > 255) {
      throw new MeshError("LIMIT", `${JSON.stringify(name)} cannot be a registered name`);
    }
    if (this.#processes.has(name)) throw new MeshError("LIMIT", `the name ${name} is taken`);
    if (process.name !== undefined) {
      throw new MeshError("LIMIT", `the process is already registered as ${process.name}`);
    }
    this.#processes.set(name, process);
    process.name = name;
  }

  /** @throws MeshError `NO_PROCESS` when nobody has the name. */
  unregister(name: string): void {
    const process = this.#processes.get(name);
    if (process === undefined) throw new MeshError("NO_PROCESS", `no process is registered as ${name}`);
    this.release(process);
  }

  /** Frees the name of `process`. */
  release(process: Process): void {
    if (process.name === undefined) return;
    this.#processes.delete(process.name);
    process.name = undefined;
  }
}
