import { setTimeout as wait } from "node:timers/promises";
import { comparePoints } from "../../base/id-space.ts";
import type { MemberState } from "../../swim/index.ts";
import { MeshChild } from "./mesh-child.ts";
import type { NodePlan, StartedNode } from "./messages.ts";

/** Neighbours on the ring that a node has links to, on each side. */
const besides = 3;
const lookMs = 200;

/** What all nodes of the demo's mesh say, put together. */
export class MeshView {
  readonly #children: MeshChild[] = [];
  /** What each node holds of each other. */
  readonly #states = new Map<string, Map<string, MemberState>>();
  readonly #secret: { readonly realm: string; readonly cookie: string };
  #onNews: () => void = () => {};

  constructor(secret: { readonly realm: string; readonly cookie: string }) {
    this.#secret = secret;
  }

  /** Those that run. */
  get children(): readonly MeshChild[] {
    return this.#children.filter(({ isRunning }) => isRunning);
  }

  get nodes(): readonly StartedNode[] {
    return this.children.flatMap(({ nodes }) => nodes);
  }

  /** Starts nodes in a process of their own. */
  async start(plans: readonly NodePlan[]): Promise<MeshChild> {
    const child = new MeshChild(({ node, member, state }) => {
      const states = this.#states.get(node) ?? new Map<string, MemberState>();
      this.#states.set(node, states.set(member, state));
      this.#onNews();
    });
    this.#children.push(child);
    await child.start({ ...this.#secret, nodes: plans });
    return child;
  }

  childOf(node: string): MeshChild {
    const found = this.children.find(({ nodes }) => nodes.some(({ name }) => name === node));
    if (found === undefined) throw new Error(`${node} does not run`);
    return found;
  }

  /** How many of `witnesses` hold at least one, or all, of `subjects` to be in one of `states`. */
  count(
    witnesses: readonly StartedNode[],
    which: "some" | "every",
    subjects: readonly StartedNode[],
    ...states: readonly MemberState[]
  ): number {
    return witnesses.filter((witness) => {
      const isSo = ({ name }: StartedNode): boolean => {
        const state = this.#states.get(witness.name)?.get(name);
        return state !== undefined && states.includes(state);
      };
      const others = subjects.filter((subject) => subject !== witness);
      return which === "some" ? others.some(isSo) : others.every(isSo);
    }).length;
  }

  /** The first few that a witness does not hold alive, for who has waited for that in vain. */
  strays(witnesses: readonly StartedNode[], subjects: readonly StartedNode[]): string {
    const all = witnesses.flatMap((witness) =>
      subjects.flatMap((subject) => {
        const state = this.#states.get(witness.name)?.get(subject.name) ?? "unknown";
        return subject === witness || state === "alive"
          ? []
          : [`${subject.name} is ${state} to ${witness.name}`];
      }),
    );
    return `${all.length} are amiss: ${all.slice(0, 5).join(", ")}`;
  }

  /** Resolves as soon as `isSo`, looked at after all news. Rejects after `limitMs`, saying `what` was waited for. */
  async until(isSo: () => boolean, limitMs: number, what: () => string): Promise<void> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#onNews();
    }, limitMs);
    try {
      while (!isSo()) {
        if (late) throw new Error(`not so after ${limitMs / 1_000} s: ${what()}`);
        await new Promise<void>((resolve) => {
          this.#onNews = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when each of `nodes` has links to the nearest of them on the ring of ids, three on either side. */
  async untilRing(nodes: readonly StartedNode[], limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    for (;;) {
      const missing = await this.#missing(nodes);
      if (missing.length === 0) return;
      if (performance.now() > end)
        throw new Error(`no ring after ${limitMs / 1_000} s: ${missing.slice(0, 5).join(", ")} are missing`);
      await wait(lookMs);
    }
  }

  /** Links of each node that runs. */
  async links(): Promise<ReadonlyMap<string, readonly string[]>> {
    const answers = await Promise.all(this.children.map((child) => child.ask({ op: "links" })));
    return new Map(answers.flatMap((answer) => Object.entries(answer)));
  }

  async close(): Promise<void> {
    await Promise.all(this.children.map((child) => child.ask({ op: "close" })));
    await this.kill();
  }

  async kill(): Promise<void> {
    await Promise.all(this.children.map((child) => child.kill()));
  }

  async #missing(nodes: readonly StartedNode[]): Promise<string[]> {
    const links = await this.links();
    const ring = nodes.toSorted((a, b) => comparePoints(a.nodeId, b.nodeId));
    return ring.flatMap(({ name }, index) => {
      const next = Array.from(
        { length: besides },
        (_, step) => ring[(index + step + 1) % ring.length]?.name ?? "",
      );
      return next
        .filter(
          (other) => links.get(name)?.includes(other) !== true || links.get(other)?.includes(name) !== true,
        )
        .map((other) => `${name}–${other}`);
    });
  }
}
