import type { NodeId } from "../../../src/base/node-id.ts";
import { utf8, utf8Text } from "../../../src/base/text.ts";
import type { NamesNews } from "../../../src/names/index.ts";
import { type SimulatedNode, Simulation } from "../../../src/sim/index.ts";
import { NamesHost } from "./names-host.ts";

export type NamesNode = SimulatedNode<NamesHost>;

type Answer = Exclude<NamesNews, { type: "conflict" }>;

/** A mesh in the simulator whose nodes hear within ten seconds who comes and goes. Names stand for texts. */
export class NamesMesh {
  readonly simulation: Simulation;
  readonly nodes: NamesNode[] = [];
  readonly conflicts: { readonly by: NodeId; readonly name: string; readonly lostTo: NodeId }[] = [];
  readonly #answers = new Map<number, Answer>();
  readonly #byId = new Map<NodeId, NamesNode>();
  #token = 0;
  #lives = 0;

  constructor(size: number, seed: number, options: { readonly clockOffsetMs?: number } = {}) {
    this.simulation = new Simulation({ seed, ...options });
    for (let count = 0; count < size; count++) {
      const node = this.simulation.add({
        create: (context) => {
          return new NamesHost(context, ++this.#lives, {
            addressOf: (id) => this.#byId.get(id)?.address ?? "nowhere:1",
            news: (by, news) => this.#onNews(by, news),
          });
        },
      });
      this.nodes.push(node);
      this.#byId.set(node.id, node);
    }
    for (const node of this.nodes)
      for (const other of this.nodes) this.#tell(node, other, this.#lifeOf(other));
    this.simulation.run({ forMs: 10_000 });
  }

  get running(): NamesNode[] {
    return this.nodes.filter(({ state }) => state === "running");
  }

  /** A node that runs, other than those given. */
  pick(...others: readonly NamesNode[]): NamesNode {
    const some = this.running.filter((node) => !others.includes(node));
    return some[this.simulation.random.integer(some.length)] as NamesNode;
  }

  /** What becomes of it is asked for with `answer`. */
  register(node: NamesNode, name: string, text: string): number {
    const token = this.#token++;
    node.act((host, now) => host.request({ type: "register", token, name, value: utf8(text) }, now));
    return token;
  }

  unregister(node: NamesNode, name: string): void {
    node.act((host, now) => host.request({ type: "unregister", name }, now));
  }

  whereis(node: NamesNode, name: string): number {
    const token = this.#token++;
    node.act((host, now) => host.request({ type: "whereis", token, name }, now));
    return token;
  }

  answer(token: number): Answer | undefined {
    return this.#answers.get(token);
  }

  /** Registers and waits: the answer's type. */
  settle(node: NamesNode, name: string, text: string): Answer["type"] | undefined {
    const token = this.register(node, name, text);
    this.simulation.runUntil(() => this.answer(token) !== undefined, { withinMs: 20_000 });
    return this.answer(token)?.type;
  }

  /** What each of the nodes says that the name stands for; `undefined` for nothing, the type of other answers. */
  ask(nodes: readonly NamesNode[], name: string): (string | undefined)[] {
    const tokens = nodes.map((node) => this.whereis(node, name));
    this.simulation.runUntil(() => tokens.every((token) => this.#answers.has(token)), { withinMs: 20_000 });
    return tokens.map((token) => this.text(token));
  }

  text(token: number): string | undefined {
    const answer = this.answer(token);
    if (answer?.type !== "resolved") return answer?.type ?? "no answer";
    return answer.holder === undefined ? undefined : utf8Text(answer.holder.value);
  }

  crash(node: NamesNode): void {
    this.simulation.crash(node);
    this.#spread([node], this.running, undefined);
  }

  restart(node: NamesNode): void {
    this.simulation.restart(node);
    for (const other of this.running) this.#tell(node, other, this.#lifeOf(other));
    this.#spread([node], this.running, this.#lifeOf(node));
  }

  partition(left: readonly NamesNode[], right: readonly NamesNode[]): void {
    this.simulation.partition([left, right]);
    this.#spread(left, right, undefined);
    this.#spread(right, left, undefined);
  }

  heal(left: readonly NamesNode[], right: readonly NamesNode[]): void {
    this.simulation.heal();
    for (const [some, others] of [
      [left, right],
      [right, left],
    ] as const)
      for (const node of some) this.#spread([node], others, this.#lifeOf(node));
  }

  /** Each of `to` hears of each of `about` within ten seconds. */
  #spread(about: readonly NamesNode[], to: readonly NamesNode[], life: number | undefined): void {
    for (const node of to) {
      for (const other of about)
        this.simulation.later(2_000 + this.simulation.random.integer(8_000), () =>
          this.#tell(node, other, life),
        );
    }
  }

  #tell(node: NamesNode, about: NamesNode, life: number | undefined): void {
    if (node === about || node.state !== "running") return;
    node.act((host, now) => host.member(about.id, life, now));
  }

  #lifeOf(node: NamesNode): number {
    return node.host.life;
  }

  #onNews(by: NodeId, news: NamesNews): void {
    if (news.type === "conflict") this.conflicts.push({ by, name: news.name, lostTo: news.lostTo });
    else {
      if (this.#answers.has(news.token)) throw new Error(`a second answer to ${news.token}`);
      this.#answers.set(news.token, news);
    }
  }
}
