import { at } from "../../src/base/time.ts";
import type { Pid, Term } from "../../src/etf/index.ts";
import type { AdminNode } from "../../src/node/admin/admin-node.ts";
import {
  type ExportedModule,
  type ProcessBody,
  type ProcessInfo,
  ProcessRuntime,
} from "../../src/process/index.ts";

/** A node without a network: real processes, nobody else. */
export class LocalNode implements AdminNode {
  readonly name: string;
  readonly nodeId = "a".repeat(52);
  readonly realm = "test";
  readonly address = { host: "127.0.0.1", port: 4433 };
  readonly runtime: ProcessRuntime;

  constructor(name: string) {
    this.name = name;
    this.runtime = new ProcessRuntime({
      node: name,
      creation: 1,
      clock: () => at(performance.now()),
      later: setImmediate,
      wake: () => setImmediate(() => this.runtime.handle({ type: "tick" }, at(performance.now()))),
      sink: { send: () => true },
    });
  }

  connect(): Promise<boolean> {
    return Promise.resolve(false);
  }
  nodes(): string[] {
    return ["other@localhost:1"];
  }
  ping(node: string): Promise<{ rttMs: number } | undefined> {
    return Promise.resolve(node === this.name ? { rttMs: 0.25 } : undefined);
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
