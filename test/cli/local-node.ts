import { MeshError } from "../../src/base/errors.ts";
import type { Pid, Term } from "../../src/etf/index.ts";
import type { AdminNode } from "../../src/node/admin/admin-node.ts";
import type { Route, Trace } from "../../src/node/mesh/routes.ts";
import { ProcessDriver } from "../../src/node/process-driver.ts";
import type { ExportedModule, ProcessBody, ProcessInfo, ProcessRuntime } from "../../src/process/index.ts";
import type { MemberView } from "../../src/swim/index.ts";

/** A node without a network: real processes, nobody else. */
export class LocalNode implements AdminNode {
  readonly name: string;
  readonly nodeId = "a".repeat(52);
  readonly realm = "test";
  readonly address = { host: "127.0.0.1", port: 4433 };
  /** What it says of the mesh. */
  readonly mesh = { members: [] as MemberView[], routes: [] as Route[], traces: new Map<string, Trace>() };
  readonly joined: string[] = [];
  readonly #driver: ProcessDriver;

  constructor(name: string) {
    this.name = name;
    this.#driver = new ProcessDriver({ node: name, creation: 1, sink: { send: () => true } }, () => {});
  }

  get runtime(): ProcessRuntime {
    return this.#driver.runtime;
  }
  close(): Promise<void> {
    this.#driver.close();
    return Promise.resolve();
  }
  members(): MemberView[] {
    return this.mesh.members;
  }
  routes(): Route[] {
    return this.mesh.routes;
  }
  trace(node: string): Promise<Trace> {
    const trace = this.mesh.traces.get(node);
    return trace ? Promise.resolve(trace) : Promise.reject(new MeshError("PEER_UNREACHABLE", `no ${node}`));
  }
  join(address: string): void {
    this.joined.push(address);
  }
  connect(): Promise<boolean> {
    return Promise.resolve(false);
  }
  nodes(): string[] {
    return ["other@localhost:1"];
  }
  ping(node: string): Promise<{ rttMs: number }> {
    if (node === this.name) return Promise.resolve({ rttMs: 0.25 });
    return Promise.reject(new MeshError("REFUSED", `nobody listens at ${node}`));
  }
  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: { timeoutMs?: number },
  ): Promise<Term> {
    return this.runtime.rpc(node, module, name, args, options);
  }
  exportModule(name: string, module: ExportedModule): void {
    this.runtime.exportModule(name, module);
  }
  spawn(body: ProcessBody): Pid {
    return this.runtime.spawn(body);
  }
  registered(): string[] {
    return this.runtime.registered();
  }
  processes(): Pid[] {
    return this.runtime.processes();
  }
  processInfo(pid: Pid): ProcessInfo | undefined {
    return this.runtime.processInfo(pid);
  }
  stats(): unknown {
    return { ...this.runtime.counters };
  }
}
