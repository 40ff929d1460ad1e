/** What the demo's first node tells its parent over the IPC channel. */
export type FromNode1 =
  | { readonly type: "ready"; readonly name: string; readonly nodeId: string; readonly pid: number }
  | { readonly type: "greeted"; readonly from: string; readonly name: string }
  | { readonly type: "spawned"; readonly pid: string; readonly number: number };
