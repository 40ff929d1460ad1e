export { Mesh } from "./mesh.ts";
export type { DirectoryInput, DirectoryOutput, MeshInput, MeshOutput } from "./messages.ts";
export type { MeshOptions, MeshSetup } from "./setup.ts";
export { isAt, type TraceResult } from "./traces.ts";
