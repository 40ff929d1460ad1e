import { stat } from "node:fs/promises";
import { basename, extname } from "node:path";
import { pathToFileURL } from "node:url";
import { MeshError, toError } from "../base/errors.ts";
import { type ExportedModule, withSelf } from "../process/index.ts";

const SelfFunction = withSelf(() => undefined).constructor as new (...args: never[]) => object;

/** A module to export, under the name that other nodes call it by. */
export interface LoadedModule {
  readonly name: string;
  readonly functions: ExportedModule;
}

/**
 * Loads the ES modules of the setting `exports`. Each is exported under its file name without the extension, with its
 * named exports that are functions.
 * @throws MeshError `CONFIGURATION` naming the module that cannot be loaded, has no functions or shares its name.
 */
export async function loadExports(paths: readonly string[]): Promise<LoadedModule[]> {
  const modules = new Map<string, LoadedModule>();
  for (const path of paths) {
    const name = basename(path, extname(path));
    if (modules.has(name)) {
      throw new MeshError("CONFIGURATION", `two modules would be exported as ${name}; the second is ${path}`);
    }
    modules.set(name, { name, functions: functionsOf(await load(path), path) });
  }
  return [...modules.values()];
}

async function load(path: string): Promise<object> {
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) throw new MeshError("CONFIGURATION", `there is no module ${path}`);
  try {
    return (await import(pathToFileURL(path).href)) as object;
  } catch (cause) {
    throw new MeshError("CONFIGURATION", `the module ${path} cannot be loaded: ${toError(cause).message}`, {
      cause,
    });
  }
}

function functionsOf(module: object, path: string): ExportedModule {
  const functions = Object.entries(module).filter(
    ([key, value]) => key !== "default" && (typeof value === "function" || value instanceof SelfFunction),
  );
  if (functions.length === 0) {
    throw new MeshError(
      "CONFIGURATION",
      `the module ${path} exports no function: export function add(a, b) { … }`,
    );
  }
  return Object.fromEntries(functions) as ExportedModule;
}
