export { Mesh, type MeshOptions, type MeshSetup } from "./mesh.ts";
export type { DirectoryInput, DirectoryOutput, MeshInput, MeshOutput } from "./messages.ts";
export { isAt, type TraceResult } from "./traces.ts";
