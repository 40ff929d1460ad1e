import { tuple } from "../../src/etf/index.ts";
import { systemRandom } from "../../src/io/random.ts";
import type { MaculaNode } from "../../src/node/macula-node.ts";
import { is, type Self } from "../../src/process/index.ts";
import type { CallFailure, TrafficView } from "./messages.ts";

const turnMs = 200;
const callTimeoutMs = 20_000;
const bytesMax = 2_000;
/** One turn in so many sends so much at a time that the two nodes make a link for it. */
const heavyEvery = 40;
const heavyCount = 300;

/**
 * What a node says to others all the time: calls, whose answers are compared, and numbered messages, which must come once and in
 * order. They are counted by pairs of nodes, and numbered anew in each life of the sender.
 */
export class Talk {
  readonly #node: MaculaNode;
  readonly #sent: Record<string, number> = {};
  readonly #received: Record<string, number> = {};
  /** By sender and its life: the number that came last. */
  readonly #last = new Map<string, number>();
  readonly #life = systemRandom.u32();
  readonly #failures: CallFailure[] = [];
  #calls = 0;
  #disorder = 0;
  #peers: readonly string[] = [];
  #ended = false;

  constructor(node: MaculaNode) {
    this.#node = node;
    node.exportModule("soak", { echo: (value) => value });
    node.spawn((self) => this.#listen(self), { name: "listener" });
    node.spawn((self) => this.#speak(self));
  }

  view(): TrafficView {
    return {
      calls: this.#calls,
      failures: this.#failures.splice(0),
      sent: { ...this.#sent },
      received: { ...this.#received },
      disorder: this.#disorder,
    };
  }

  with(peers: readonly string[]): void {
    this.#peers = peers.filter((name) => name !== this.#node.name);
  }

  end(): void {
    this.#ended = true;
    this.#peers = [];
  }

  /** A call to each of them, one after the other; what went wrong. */
  async callAll(peers: readonly string[]): Promise<CallFailure[]> {
    const failures: CallFailure[] = [];
    for (const peer of peers) {
      if (peer === this.#node.name) continue;
      const failure = await this.#call(peer);
      if (failure !== undefined) failures.push(failure);
    }
    return failures;
  }

  async #speak(self: Self): Promise<void> {
    for (let turn = systemRandom.integer(heavyEvery); !this.#ended; turn++) {
      await self.sleep(turnMs * (0.5 + systemRandom.float()));
      const peer = this.#peers[systemRandom.integer(Math.max(1, this.#peers.length))];
      if (peer === undefined) continue;
      if (turn % heavyEvery === 0) await this.#send(self, peer, heavyCount);
      else if (turn % 2 === 0) await this.#send(self, peer, 1 + systemRandom.integer(10));
      else {
        // Not awaited: a call that hangs must not keep the node from talking with others.
        void this.#call(peer).then((failure) => failure !== undefined && this.#failures.push(failure));
      }
    }
  }

  async #send(self: Self, peer: string, count: number): Promise<void> {
    const to = { name: "listener", node: peer };
    for (let index = 0; index < count; index++) {
      const number = (this.#sent[peer] ?? 0) + 1;
      this.#sent[peer] = number;
      const filling = new Uint8Array(systemRandom.integer(bytesMax));
      if (!self.send(to, tuple(this.#node.name, this.#life, number, filling))) await self.drained(to);
    }
  }

  async #call(peer: string): Promise<CallFailure | undefined> {
    const value = systemRandom.u32();
    this.#calls++;
    try {
      const answer = await this.#node.rpc(peer, "soak", "echo", [value], { timeoutMs: callTimeoutMs });
      if (answer !== value) throw new Error("a wrong answer");
    } catch (error) {
      const { name } = this.#node;
      if (!this.#ended)
        return { by: name, node: peer, at: Date.now(), error: `${String(error)} ${this.#about(peer)}` };
    }
    return undefined;
  }

  /** What the node thinks of the other: for whoever looks for the cause. */
  #about(peer: string): string {
    const state = this.#node.members().find(({ name }) => name === peer)?.state;
    const route = this.#node.routes().find(({ node }) => node === peer);
    const session = this.#node.nodes().includes(peer) ? "a session" : "no session";
    return `(${state}, way ${route?.way} ${route?.nextHop ?? ""}, ${session})`;
  }

  async #listen(self: Self): Promise<void> {
    for (;;) {
      const { elements } = await self.receive(tuple(is.string, is.number, is.number, is.bytes));
      this.#take(elements[0], elements[1] as number, elements[2] as number);
    }
  }

  #take(from: string, life: number, number: number): void {
    const key = `${from} ${life}`;
    if (number <= (this.#last.get(key) ?? 0)) this.#disorder++;
    this.#last.set(key, number);
    this.#received[from] = (this.#received[from] ?? 0) + 1;
  }
}
