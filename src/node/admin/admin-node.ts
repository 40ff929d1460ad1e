import type { Pid, Term } from "../../etf/index.ts";
import type { ProcessBody, TimeoutOptions } from "../../process/types.ts";
import type { MemberView } from "../../swim/index.ts";
import type { Route, Trace } from "../mesh/routes.ts";

/** What the admin socket and the shell use of a running node. `MaculaNode` is one. */
export interface AdminNode {
  readonly name: string;
  readonly nodeId: string;
  readonly realm: string;
  readonly address: { readonly host: string; readonly port: number };
  connect(node: string): Promise<boolean>;
  nodes(): string[];
  members(): MemberView[];
  routes(): Route[];
  trace(node: string): Promise<Trace>;
  join(address: string): void;
  ping(node: string): Promise<{ readonly rttMs: number }>;
  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term>;
  spawn(body: ProcessBody): Pid;
  registered(): string[];
  processes(): Pid[];
  processInfo(pid: Pid): unknown;
  stats(): unknown;
  /** Says farewell and stops. */
  close(): Promise<void>;
}
