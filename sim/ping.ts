import {
  after,
  type HostContext,
  type HostInput,
  type HostOutput,
  type Instant,
  type NodeId,
  type SimulatedHost,
  Simulation,
} from "../src/sim/index.ts";
import type { Scenario } from "./scenario.ts";

/** The smallest host there is: asks somebody every second, answers whoever asks. */
class PingHost implements SimulatedHost {
  answers = 0;
  readonly #context: HostContext;
  readonly #peers: readonly NodeId[];
  readonly #outputs: HostOutput[] = [];
  #due: Instant | undefined;

  constructor(context: HostContext, peers: readonly NodeId[]) {
    this.#context = context;
    this.#peers = peers;
  }

  start(now: Instant): void {
    this.#due = after(now, 1_000 * this.#context.random.float());
  }

  handle(input: HostInput, now: Instant): void {
    if (input.type === "tick") {
      this.#due = after(now, 1_000);
      const to = this.#peers[this.#context.random.integer(this.#peers.length)];
      if (to !== undefined) this.#outputs.push({ type: "datagram", to, bytes: Uint8Array.of(0) });
    } else if (input.type === "datagram") {
      if (input.bytes[0] === 1) this.answers++;
      else this.#outputs.push({ type: "datagram", to: input.from, bytes: Uint8Array.of(1) });
    }
  }

  poll(): HostOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#due;
  }

  describe(bytes: Uint8Array): string {
    return bytes[0] === 0 ? "ping" : "pong";
  }
}

/** Shows what a scenario is, and what the simulator itself costs. */
export const ping: Scenario = {
  about: "every node asks a random other each second for a minute, on a network that loses 1 %",
  nodes: 100,
  run({ seed, nodes, log }) {
    const simulation = new Simulation({ seed, lossRate: 0.01, ...(log === undefined ? {} : { log }) });
    const peers: NodeId[] = [];
    const added = Array.from({ length: nodes }, () =>
      simulation.add({ create: (context) => new PingHost(context, peers) }),
    );
    peers.push(...added.map(({ id }) => id));
    for (const node of added) node.act((host, now) => host.start(now));
    simulation.run({ forMs: 60_000 });
    const answers = added.reduce((sum, node) => sum + node.host.answers, 0);
    return {
      figures: { "pings answered": answers, of: nodes * 60 },
      failures: answers > nodes * 60 * 0.95 ? [] : [`only ${answers} answers`],
      virtualMs: simulation.nowMs,
      events: simulation.eventsRun,
      digest: simulation.digest(),
    };
  },
};
