import { assert } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import { at, type Instant } from "../base/time.ts";
import type { HostContext, HostInput, HostOutput, SimulatedHost } from "./host.ts";

export type NodeState = "running" | "paused" | "down";

/** What a node has sent, and what of its datagrams the network lost. */
export interface Traffic {
  datagrams: number;
  datagramBytes: number;
  datagramsLost: number;
  messages: number;
  messageBytes: number;
}

/** What a node needs of the simulation it is in. */
export interface Surroundings {
  nowMs(): number;
  readonly backlogMax: number;
  carryOut(node: SimulatedNode, output: HostOutput): void;
  /** Have `node.wake` called at `atMs`. */
  wakeAt(node: SimulatedNode, atMs: number): void;
}

/** Wakings in a row without time passing from which on a host is taken to be stuck. */
const idleWakingsMax = 10_000;

/** A host, its clock, and what waits for it: one node of a simulation. Made by `Simulation.add`. */
export class SimulatedNode<Host extends SimulatedHost = SimulatedHost> {
  readonly name: string;
  readonly id: NodeId;
  readonly publicKey: Uint8Array;
  readonly traffic: Traffic = {
    datagrams: 0,
    datagramBytes: 0,
    datagramsLost: 0,
    messages: 0,
    messageBytes: 0,
  };
  /** @internal */
  currentAddress: string;
  /** @internal Which side of a partition. */
  side = 0;
  readonly #create: (context: HostContext) => Host;
  readonly #context: Omit<HostContext, "address" | "startedAt">;
  readonly #surroundings: Surroundings;
  readonly #offsetMs: number;
  readonly #rate: number;
  #host: Host;
  #state: NodeState = "down";
  #lives = 0;
  #backlog: HostInput[] = [];
  #wakingMs: number | undefined;
  #idleWakings = 0;
  #lastWokenMs = -1;

  /** @internal */
  constructor(
    context: Omit<HostContext, "startedAt">,
    create: (context: HostContext) => Host,
    clock: { readonly offsetMs: number; readonly rate: number },
    surroundings: Surroundings,
  ) {
    const { address, ...rest } = context;
    this.name = context.name;
    this.id = context.id;
    this.publicKey = context.publicKey;
    this.currentAddress = address;
    this.#context = rest;
    this.#create = create;
    this.#surroundings = surroundings;
    this.#offsetMs = clock.offsetMs;
    this.#rate = clock.rate;
    this.#host = create({ ...rest, address, startedAt: this.now });
  }

  get address(): string {
    return this.currentAddress;
  }

  get state(): NodeState {
    return this.#state;
  }

  /** How often it was started. */
  get lives(): number {
    return this.#lives;
  }

  /** The host of its present life, or of its last. To ask only: whatever changes it goes through `act`. */
  get host(): Host {
    return this.#host;
  }

  /** Its own clock. */
  get now(): Instant {
    return at(this.#offsetMs + this.#surroundings.nowMs() * this.#rate);
  }

  /** Does something with the host, as its program would, and carries out what comes of it. Not while it is down. */
  act<Result>(action: (host: Host, now: Instant) => Result): Result {
    assert(this.#state !== "down", `${this.name} is down`);
    const result = action(this.#host, this.now);
    this.#drain();
    return result;
  }

  /** @internal Begins a life; with a new host from the second on. */
  start(): void {
    assert(this.#state === "down", `${this.name} is running`);
    if (this.#lives > 0) {
      const { currentAddress: address, now: startedAt } = this;
      this.#host = this.#create({ ...this.#context, address, startedAt });
    }
    this.#lives++;
    this.#state = "running";
    this.#drain();
  }

  /** @internal */
  stop(): void {
    this.#state = "down";
    this.#backlog = [];
  }

  /** @internal */
  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  /** @internal Goes on with what has arrived meanwhile, and with the timers that are overdue. */
  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const backlog = this.#backlog;
    this.#backlog = [];
    // The timers first, as an event loop does: a host that does not know that it stood still finds peers silent.
    this.wake();
    for (const input of backlog) this.deliver(input);
  }

  /** @internal False when it is lost: the node is down, or too much waits for it. */
  deliver(input: HostInput): boolean {
    if (this.#state === "down") return false;
    if (this.#state === "running") {
      this.#host.handle(input, this.now);
      this.#drain();
      return true;
    }
    // Only datagrams may be lost: a link holds back what its receiver does not read.
    if (input.type === "datagram" && this.#backlog.length >= this.#surroundings.backlogMax) return false;
    this.#backlog.push(input);
    return true;
  }

  /** @internal Its deadline may have come. */
  wake(): void {
    const nowMs = this.#surroundings.nowMs();
    if (this.#wakingMs !== undefined && this.#wakingMs <= nowMs) this.#wakingMs = undefined;
    if (this.#state !== "running") return;
    const deadline = this.#host.deadline();
    if (deadline === undefined) return;
    if (this.#dueMs(deadline) > nowMs) return this.#arrangeWaking();
    this.#idleWakings = nowMs === this.#lastWokenMs ? this.#idleWakings + 1 : 0;
    this.#lastWokenMs = nowMs;
    assert(this.#idleWakings < idleWakingsMax, `${this.name} has a deadline that no tick moves`);
    // Its clock may be a rounding error short of its own deadline.
    const own = this.now;
    this.#host.handle({ type: "tick" }, own < deadline ? deadline : own);
    this.#drain();
  }

  #drain(): void {
    for (let output = this.#host.poll(); output !== undefined; output = this.#host.poll()) {
      this.#surroundings.carryOut(this, output);
    }
    this.#arrangeWaking();
  }

  /** One waking is arranged at a time, for the earliest deadline so far: one that turns out too early arranges the next. */
  #arrangeWaking(): void {
    const deadline = this.#host.deadline();
    if (deadline === undefined) return;
    const dueMs = Math.max(this.#dueMs(deadline), this.#surroundings.nowMs());
    if (this.#wakingMs !== undefined && this.#wakingMs <= dueMs) return;
    this.#wakingMs = dueMs;
    this.#surroundings.wakeAt(this, dueMs);
  }

  #dueMs(deadline: Instant): number {
    return (deadline - this.#offsetMs) / this.#rate;
  }
}
