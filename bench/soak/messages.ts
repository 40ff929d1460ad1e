import type { MemberView } from "../../src/swim/index.ts";

/** What the soak asks one of its processes. */
export type Ask =
  | {
      readonly op: "start";
      readonly name: string;
      readonly stateDir: string | null;
      /** Joined again and again until somebody is met. */
      readonly bootstrap?: string;
    }
  /** Ends a node in order. */
  | { readonly op: "leave"; readonly name: string }
  /** From now on all nodes of the process talk with these at random; none: they are silent. */
  | { readonly op: "talk"; readonly peers: readonly string[] }
  /** An rpc from each node of the process to each of these. */
  | { readonly op: "callAll"; readonly peers: readonly string[] }
  | { readonly op: "look" }
  | { readonly op: "measure" };

export interface Answers {
  readonly start: { readonly name: string; readonly id: string };
  readonly leave: undefined;
  readonly talk: undefined;
  readonly callAll: readonly CallFailure[];
  readonly look: readonly NodeView[];
  readonly measure: Measure;
}

/** One node as it sees the mesh. */
export interface NodeView {
  readonly name: string;
  readonly id: string;
  readonly members: readonly MemberView[];
  readonly routes: readonly { readonly nodeId: string; readonly way: string }[];
  readonly links: number;
  readonly hops: number;
  readonly traffic: TrafficView;
}

export interface CallFailure {
  readonly by: string;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly error: string;
}

export interface TrafficView {
  readonly calls: number;
  /** Since the last look. */
  readonly failures: readonly CallFailure[];
  /** Numbered messages by the node they went to, and by the node they came from. */
  readonly sent: Readonly<Record<string, number>>;
  readonly received: Readonly<Record<string, number>>;
  /** Messages that came twice, or after a later one. */
  readonly disorder: number;
}

/** What a process holds, after a collection. */
export interface Measure {
  readonly heapMB: number;
  readonly rssMB: number;
  readonly externalMB: number;
  readonly descriptors: number;
  /** What keeps the event loop busy. */
  readonly resources: number;
  readonly cpuSeconds: number;
  /** Over the nodes of the process. */
  readonly members: number;
  readonly links: number;
  readonly sessions: number;
  readonly peers: number;
  readonly dialled: number;
  readonly channels: number;
  readonly waitingBytes: number;
  readonly processes: number;
}

/** Something that a node was told, as it happened. */
export type Told =
  | {
      readonly type: "memberUp" | "memberSuspect" | "memberDown" | "memberChanged";
      readonly by: string;
      /** Milliseconds since 1970. */
      readonly at: number;
      readonly id: string;
      readonly state: MemberView["state"];
    }
  | {
      readonly type: "nodeDown";
      readonly by: string;
      readonly at: number;
      readonly node: string;
      readonly reason: string;
    };

export type FromHost =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly told: Told };
