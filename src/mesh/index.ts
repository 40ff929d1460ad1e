export { Mesh, type MeshSetup } from "./mesh.ts";
export type { DirectoryOutput, MeshInput, MeshOutput } from "./messages.ts";
export { isAt, type TraceResult } from "./traces.ts";
