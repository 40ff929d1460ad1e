import { basename, extname } from "node:path";
import { pathToFileURL } from "node:url";
import { MeshError } from "../base/errors.ts";
import { type ExportedModule, SelfFunction } from "../process/index.ts";

/**
 * Loads the ES modules in `files` for export, each under its file name without the extension.
 * @throws MeshError `CONFIGURATION` for one that does not load or has no function to export.
 */
export async function loadExportedFiles(files: readonly string[]): Promise<Map<string, ExportedModule>> {
  const modules = new Map<string, ExportedModule>();
  for (const file of files) {
    const name = basename(file, extname(file));
    if (modules.has(name)) throw new MeshError("CONFIGURATION", `exports: two files are called ${name}`);
    modules.set(name, await loadFunctions(file));
  }
  return modules;
}

async function loadFunctions(file: string): Promise<ExportedModule> {
  let loaded: Record<string, unknown>;
  try {
    loaded = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new MeshError("CONFIGURATION", `exports: ${file} does not load: ${String(cause)}`, { cause });
  }
  const functions = Object.entries(loaded).filter(
    ([, value]) => typeof value === "function" || value instanceof SelfFunction,
  );
  if (functions.length === 0) throw new MeshError("CONFIGURATION", `exports: ${file} exports no function`);
  return Object.fromEntries(functions) as ExportedModule;
}
