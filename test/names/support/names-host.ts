import { RoutesHost } from "../../../sim/routes-host.ts";
import type { NodeId } from "../../../src/base/node-id.ts";
import { earliest, type Instant } from "../../../src/base/time.ts";
import type { KademliaOutput } from "../../../src/kademlia/index.ts";
import {
  Names,
  type NamesInput,
  type NamesNews,
  type NamesRequest,
  resolveNamesOptions,
} from "../../../src/names/index.ts";
import type { HostContext, HostInput, HostOutput, SimulatedHost } from "../../../src/sim/index.ts";

/** What the test knows that a node does not. */
export interface Surroundings {
  addressOf(id: NodeId): string;
  news(by: NodeId, news: NamesNews): void;
}

/** Names over the directory of a mesh node, wired as a node wires them. Who the members are is given. */
export class NamesHost implements SimulatedHost {
  readonly id: NodeId;
  readonly life: number;
  readonly names: Names;
  /** The members that are alive as far as this node knows, and their lives. */
  readonly living = new Map<NodeId, number>();
  readonly #mesh: RoutesHost;
  readonly #surroundings: Surroundings;
  #now: Instant;

  constructor(context: HostContext, life: number, surroundings: Surroundings) {
    this.id = context.id;
    this.life = life;
    this.#now = context.startedAt;
    this.#surroundings = surroundings;
    this.#mesh = new RoutesHost(context, {
      addressOf: (id) => surroundings.addressOf(id),
      isMember: (id) => this.living.has(id),
      directory: (_by, output) => this.#onDirectory(output),
      delivered: () => {},
      lost: () => {},
      forwarded: () => {},
      arrived: () => {},
    });
    this.names = new Names(
      {
        self: context.id,
        life,
        crypto: context.crypto,
        random: context.random,
        wallClock: (now) => 1_700_000_000_000 + now,
        lifeOf: (id) => this.living.get(id),
      },
      resolveNamesOptions(),
    );
  }

  handle(input: HostInput, now: Instant): void {
    this.#now = now;
    this.#mesh.handle(input, now);
    if (input.type === "tick") this.#toNames(input);
  }

  poll(): HostOutput | undefined {
    return this.#mesh.poll();
  }

  deadline(): Instant | undefined {
    return earliest(this.#mesh.deadline(), this.names.deadline());
  }

  /** `life`: of the member that is up; `undefined` when it is down. */
  member(id: NodeId, life: number | undefined, now: Instant): void {
    this.#now = now;
    if (life === undefined) this.living.delete(id);
    else this.living.set(id, life);
    this.#mesh.member(id, life !== undefined, now);
    if (life !== undefined) this.#toNames({ type: "memberUp", id });
  }

  request(input: NamesRequest, now: Instant): void {
    this.#now = now;
    this.#toNames(input);
  }

  #onDirectory(output: KademliaOutput): void {
    if (output.type === "found" || output.type === "published") this.#toNames(output);
    else if (output.type === "refused") {
      const { input, error } = output;
      if (input.type === "get" || input.type === "publish" || input.type === "withdraw")
        this.#toNames({ type: "refused", input, error });
    }
  }

  #toNames(input: NamesInput): void {
    this.names.handle(input, this.#now);
    for (let output = this.names.poll(); output !== undefined; output = this.names.poll()) {
      if (output.type === "get" || output.type === "publish" || output.type === "withdraw")
        this.#mesh.directory(output, this.#now);
      else this.#surroundings.news(this.id, output);
    }
  }
}
