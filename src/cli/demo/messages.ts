import type { MemberState, MembershipNews } from "../../swim/index.ts";

/** What the demo's first node tells its parent over the IPC channel. */
export type FromNode1 =
  | { readonly type: "ready"; readonly name: string; readonly nodeId: string; readonly pid: number }
  | { readonly type: "greeted"; readonly from: string; readonly name: string }
  | { readonly type: "spawned"; readonly pid: string; readonly number: number };

/** A node of the mesh, as its process is told to start it. */
export interface NodePlan {
  /** Where the others find it. */
  readonly name: string;
  readonly bootstrap: readonly string[];
  readonly mdns: boolean;
}

/** What a process with some nodes of the mesh is asked; each is answered once, in any order. */
export type MeshQuestion =
  | {
      readonly op: "start";
      readonly realm: string;
      readonly cookie: string;
      readonly nodes: readonly NodePlan[];
    }
  | { readonly op: "join"; readonly to: string }
  | { readonly op: "links" }
  | { readonly op: "ways"; readonly node: string }
  | { readonly op: "trace"; readonly node: string; readonly to: string }
  | { readonly op: "greet"; readonly node: string; readonly to: string }
  | { readonly op: "close" };

export interface StartedNode {
  readonly name: string;
  readonly nodeId: string;
  /** Where it listens itself. */
  readonly port: number;
}

export interface MeshAnswers {
  readonly start: readonly StartedNode[];
  readonly join: null;
  /** Whom each node has links to, by their names. */
  readonly links: Readonly<Record<string, readonly string[]>>;
  /** Living members, by the way to them. */
  readonly ways: Readonly<Record<"link" | "mesh" | "none", readonly string[]>>;
  readonly trace: { readonly hops: readonly string[]; readonly rttMs: number };
  /** What a process there has answered, and after how long. */
  readonly greet: { readonly answer: string; readonly tookMs: number };
  readonly close: null;
}

export type ToMeshProcess = MeshQuestion & { readonly id: number };

export type FromMeshProcess =
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "failure"; readonly id: number; readonly message: string }
  /** News that one of its nodes has of a member. */
  | {
      readonly type: "news";
      readonly news: MembershipNews["type"];
      readonly node: string;
      readonly member: string;
      readonly state: MemberState;
    };
