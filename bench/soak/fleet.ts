import { setTimeout as sleep } from "node:timers/promises";
import { Host } from "./host.ts";
import type { CallFailure, Measure, NodeView, Told } from "./messages.ts";

/** How long after a standstill or a restart sessions may still end, and calls fail, because of it. */
const aftermathMs = 30_000;
/** The same for verdicts. */
const verdictAftermathMs = 2_000;
const lookEveryMs = 250;

interface Node {
  readonly name: string;
  readonly id: string;
  readonly host: Host;
}

/** When a node did not run. */
interface Absence {
  readonly from: number;
  to: number;
}

/** The nodes of the soak, which of them run, and what of all that they report cannot be explained by those that did not. */
export class Fleet {
  readonly #hosts = new Set<Host>();
  readonly #running = new Map<string, Node>();
  /** By name, and by id. */
  readonly #absences = new Map<string, Absence[]>();
  readonly #told: Told[] = [];
  readonly #failedCalls: CallFailure[] = [];
  readonly faults: string[] = [];

  host(): Host {
    const host = new Host((told) => this.#told.push(told));
    this.#hosts.add(host);
    return host;
  }

  get running(): readonly Node[] {
    return [...this.#running.values()];
  }

  get names(): readonly string[] {
    return [...this.#running.keys()];
  }

  async start(
    host: Host,
    name: string,
    options: { readonly stateDir?: string; readonly bootstrap?: string } = {},
  ): Promise<Node> {
    const { stateDir = null, bootstrap } = options;
    const started = await host.ask({
      op: "start",
      name,
      stateDir,
      ...(bootstrap !== undefined && { bootstrap }),
    });
    const node = { ...started, host };
    this.#running.set(node.name, node);
    this.#back(node);
    return node;
  }

  async leave(node: Node): Promise<void> {
    this.#gone(node);
    await node.host.ask({ op: "leave", name: node.name });
  }

  /** `kill -9` of the process of each of them. */
  async kill(nodes: readonly Node[]): Promise<void> {
    for (const node of nodes) this.#gone(node);
    await Promise.all(
      nodes.map(async ({ host }) => {
        this.#hosts.delete(host);
        await host.kill();
      }),
    );
  }

  /** Their processes stand still; a standstill that others must not notice is no absence. */
  async standStill(nodes: readonly Node[], forMs: number, noticed: () => Promise<void>): Promise<void> {
    const isNoticed = forMs > 2_500;
    if (isNoticed) for (const node of nodes) this.#gone(node);
    for (const { host } of nodes) host.signal("SIGSTOP");
    const since = Date.now();
    try {
      if (isNoticed) await noticed();
      await sleep(Math.max(0, since + forMs - Date.now()));
    } finally {
      for (const { host } of nodes) host.signal("SIGCONT");
    }
    if (!isNoticed) return;
    for (const node of nodes) {
      this.#running.set(node.name, node);
      this.#back(node);
    }
  }

  async talk(peers: readonly string[]): Promise<void> {
    await Promise.all(Array.from(this.#runningHosts(), (host) => host.ask({ op: "talk", peers })));
  }

  /** Each node calls each. */
  async callAll(): Promise<void> {
    const failures = await Promise.all(
      Array.from(this.#runningHosts(), (host) => host.ask({ op: "callAll", peers: this.names })),
    );
    for (const { by, node, error } of failures.flat()) this.faults.push(`${by} → ${node}: ${error}`);
  }

  async look(): Promise<NodeView[]> {
    const views = await Promise.all(Array.from(this.#runningHosts(), (host) => host.ask({ op: "look" })));
    const all = views.flat();
    for (const { traffic } of all) this.#failedCalls.push(...traffic.failures);
    return all;
  }

  async measure(hosts: readonly Host[]): Promise<Measure> {
    const measures = await Promise.all(hosts.map((host) => host.ask({ op: "measure" })));
    const sum = { ...(measures[0] as Measure) } as Record<keyof Measure, number>;
    for (const each of measures.slice(1)) {
      for (const [key, value] of Object.entries(each)) sum[key as keyof Measure] += value as number;
    }
    return sum;
  }

  /**
   * Looks again and again until `unmet` finds nothing; what it found last is a fault after `withinMs`.
   * @returns how long it took, seconds.
   */
  async until(
    what: string,
    withinMs: number,
    unmet: (views: NodeView[]) => string | undefined,
  ): Promise<number> {
    const since = Date.now();
    for (;;) {
      const missing = unmet(await this.look());
      const tookMs = Date.now() - since;
      if (missing === undefined) return tookMs / 1_000;
      if (tookMs > withinMs) {
        this.faults.push(`${what}, not within ${withinMs / 1_000} s: ${missing}`);
        return tookMs / 1_000;
      }
      await sleep(lookEveryMs);
    }
  }

  /** Seconds from `since` until the last of `nodes` was told that each of `ids` is down. */
  tookToTell(since: number, ids: readonly string[], nodes: readonly string[]): number {
    const first = new Map<string, number>();
    for (const told of this.#told) {
      if (told.type !== "memberDown" || told.at < since || !ids.includes(told.id)) continue;
      const key = `${told.by} ${told.id}`;
      if (!first.has(key)) first.set(key, told.at);
    }
    const times = ids.flatMap((id) => nodes.map((by) => first.get(`${by} ${id}`) ?? Infinity));
    return (Math.max(...times) - since) / 1_000;
  }

  /** What nodes were told or met that no absence explains. */
  unexplained(): string[] {
    const verdicts = this.#told.flatMap((told) => {
      if (told.type !== "memberDown" || this.#wasAbsent(told.id, told.at, verdictAftermathMs)) return [];
      return [`${told.by} holds ${told.id.slice(0, 8)} for ${told.state}, which runs (${clock(told.at)})`];
    });
    const downs = this.#told.flatMap((told) => {
      if (told.type !== "nodeDown" || this.#wereAbsent(told)) return [];
      return [`${told.by} lost its session with ${told.node}: ${told.reason} (${clock(told.at)})`];
    });
    const calls = this.#failedCalls.flatMap((call) => {
      if (this.#wereAbsent(call)) return [];
      return [`${call.by} → ${call.node}: ${call.error} (${clock(call.at)})`];
    });
    return [...verdicts, ...downs, ...calls];
  }

  get suspicions(): number {
    return this.#told.filter(({ type }) => type === "memberSuspect").length;
  }

  async end(): Promise<void> {
    await Promise.all(Array.from(this.#hosts, (host) => host.kill()));
  }

  #runningHosts(): Set<Host> {
    return new Set(Array.from(this.#running.values(), ({ host }) => host));
  }

  #gone({ name, id }: Node): void {
    this.#running.delete(name);
    for (const key of [name, id]) {
      const absences = this.#absences.get(key) ?? [];
      this.#absences.set(key, [...absences, { from: Date.now(), to: Infinity }]);
    }
  }

  #back({ name, id }: Node): void {
    for (const key of [name, id]) {
      const absence = this.#absences.get(key)?.at(-1);
      if (absence !== undefined && absence.to === Infinity) absence.to = Date.now();
    }
  }

  #wasAbsent(key: string, at: number, aftermath: number): boolean {
    return (this.#absences.get(key) ?? []).some(({ from, to }) => at >= from && at <= to + aftermath);
  }

  #wereAbsent({
    by,
    node,
    at,
  }: {
    readonly by: string;
    readonly node: string;
    readonly at: number;
  }): boolean {
    return [by, node].some((name) => this.#wasAbsent(name, at, aftermathMs));
  }
}

function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
