import type { HostContext, LogEntry, NodeId, PathOptions, SimulatedNode } from "../src/sim/index.ts";
import { Simulation } from "../src/sim/index.ts";
import type { MembershipNews, RememberedMember } from "../src/swim/index.ts";
import { RecordCache } from "../src/swim/index.ts";
import { introductionOf, type MemberHost, type MemberHostSetup } from "./member-host.ts";

export interface MeshSetup {
  readonly seed: number;
  readonly network?: PathOptions;
  readonly log?: (entry: LogEntry) => void;
  readonly clockDriftRate?: number;
}

/** When the last of some nodes heard of something. */
interface Watch {
  readonly waiting: Set<NodeId>;
  readonly startMs: number;
  lastMs: number;
  readonly eachMs: number[];
}

/** A simulated mesh, and what is to be measured about its membership. */
export class Mesh<Host extends MemberHost = MemberHost> {
  readonly simulation: Simulation;
  readonly nodes: SimulatedNode<Host>[] = [];
  /** Members declared dead while they were running, one for each node that did so. */
  falsePositives = 0;
  suspicions = 0;
  /** Nodes that wait for news of a node: by its id and the kind of news. */
  readonly #watches = new Map<string, Watch>();
  readonly #records = new RecordCache(1 << 20);
  readonly #create: (context: HostContext, setup: MemberHostSetup) => Host;
  readonly #bornMs = new Map<NodeId, number>();
  readonly #remembered = new Map<string, readonly RememberedMember[]>();

  constructor(
    { seed, network, log, clockDriftRate }: MeshSetup,
    create: (context: HostContext, setup: MemberHostSetup) => Host,
  ) {
    this.#create = create;
    this.simulation = new Simulation({
      seed,
      ...network,
      ...(log === undefined ? {} : { log }),
      ...(clockDriftRate === undefined ? {} : { clockDriftRate, clockOffsetMs: 1_000_000 }),
    });
  }

  /** A new node, that knows nobody. */
  add(): SimulatedNode<Host> {
    const node = this.simulation.add({ create: (context) => this.#host(context) });
    this.nodes.push(node);
    return node;
  }

  /**
   * `count` nodes that know each other already: each gets all records in an exchange with another, at once, which is what
   * joining comes to.
   */
  addAcquainted(count: number): void {
    const added = Array.from({ length: count }, () => this.add());
    const said = introductionOf(added.map(({ host }) => host.swim.record.bytes));
    for (const [index, node] of added.entries()) {
      const peer = added[(index + 1) % count] as SimulatedNode<Host>;
      node.act((host, now) => host.introduce(peer, said, now));
    }
  }

  /** Lets a node join through any other, as often as it takes: the discovery of a real node. */
  join(node: SimulatedNode<Host>): void {
    const { lives } = node;
    const attempt = (): void => {
      if (node.state === "down" || node.lives !== lives || node.host.swim.livingCount > 2) return;
      const others = this.running().filter((other) => other !== node);
      const through = others[this.simulation.random.integer(others.length)];
      const address = through?.address ?? node.address;
      if (node.state === "running") node.act((host, now) => host.join(address, now));
      this.simulation.later(5_000, attempt);
    };
    attempt();
  }

  /** Its next life remembers whom this one knew. */
  rememberAndCrash(node: SimulatedNode<Host>): void {
    this.#remembered.set(node.id, node.host.swim.remembered());
    this.simulation.crash(node);
  }

  running(): SimulatedNode<Host>[] {
    return this.nodes.filter(({ state }) => state !== "down");
  }

  /** Whether all running nodes hold each other, and nobody else, for alive. */
  agrees(): boolean {
    const running = this.running();
    return running.every(({ host }) => {
      if (host.swim.livingCount !== running.length) return false;
      return running.every(({ id }) => id === host.swim.id || host.swim.member(id)?.state === "alive");
    });
  }

  /** From now on, notes when each running node but itself hears this of `node`. */
  watch(node: SimulatedNode<Host>, kind: MembershipNews["type"]): Watch {
    const others = this.running().filter((other) => other !== node && other.state === "running");
    const startMs = this.simulation.nowMs;
    const watch = { waiting: new Set(others.map(({ id }) => id)), startMs, lastMs: startMs, eachMs: [] };
    this.#watches.set(`${kind} ${node.id}`, watch);
    return watch;
  }

  #host(context: HostContext): Host {
    const remembered = this.#remembered.get(context.id);
    this.#bornMs.set(context.id, this.simulation.nowMs);
    return this.#create(context, {
      records: this.#records,
      ...(remembered === undefined ? {} : { remembered }),
      onNews: (news, by) => this.#onNews(news, by),
    });
  }

  #onNews({ type, member }: MembershipNews, by: NodeId): void {
    if (type === "memberSuspect") this.suspicions++;
    const subject = this.simulation.nodeOf(member.id);
    if (
      type === "memberDown" &&
      member.state === "dead" &&
      subject !== undefined &&
      subject.state !== "down"
    ) {
      // In a partition, either side is right to give up the other; and the life before the present one did end.
      const isNewborn = this.simulation.nowMs - (this.#bornMs.get(member.id) ?? 0) < 1_000;
      if (this.simulation.nodeOf(by)?.side === subject.side && !isNewborn) this.falsePositives++;
    }
    const watch = this.#watches.get(`${type} ${member.id}`);
    if (watch?.waiting.delete(by) !== true) return;
    watch.lastMs = this.simulation.nowMs;
    watch.eachMs.push(watch.lastMs - watch.startMs);
  }
}

/** The value below which a share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;
}
